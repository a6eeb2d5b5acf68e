"""Shell commands in Markdown pages, with the JSON output that the page shows under each."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from support.gunicorn_server import Server

_BLOCK = re.compile(r"```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?", re.DOTALL)


def command_blocks(page: Path) -> list[tuple[str, str]]:
    """Each block of commands with the JSON block that follows it, or an empty string."""
    return [(command.strip(), output) for command, output in _BLOCK.findall(page.read_text())]


def curl_blocks(page: Path) -> list[tuple[str, str]]:
    """The blocks that call curl."""
    return [(command, output) for command, output in command_blocks(page) if re.search(r"\bcurl\b", command)]


def require_output(server: Server, command: str, shown: str) -> None:
    """Run a command against ``server`` instead of port 8000, and compare its output, except for the request id.

    Raises:
        AssertionError: the command fails, or its output differs from ``shown``.
    """
    local_command = command.replace("localhost:8000", f"127.0.0.1:{server.port}")
    completed = subprocess.run(local_command, shell=True, capture_output=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stderr
    output = completed.stdout.decode("utf-8", "surrogateescape")  # the bytes of tensors may follow the JSON
    document, end = json.JSONDecoder().raw_decode(output)
    assert _without_id(document) == _without_id(json.loads(shown))
    assert len(output[end:].encode("utf-8", "surrogateescape")) == _binary_size(document)


def _without_id(document: Any) -> Any:
    return document | {"request_id": ""} if isinstance(document, dict) else document


def _binary_size(document: Any) -> int:
    """The number of bytes that, according to the JSON, follow it."""
    outputs = document.get("outputs", []) if isinstance(document, dict) else []
    parameters = [output.get("parameters", {}) for output in outputs if isinstance(output, dict)]
    return sum(each.get("binary_data_size", 0) for each in parameters)
