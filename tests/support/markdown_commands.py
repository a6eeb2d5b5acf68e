"""Commands in Markdown pages, run as a reader would paste them, and the answers that stand under them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from support.gunicorn_server import Server

_BLOCK = re.compile(r"```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?", re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Every block of commands, and the JSON that stands under it, if any."""
    return [(command.strip(), answer) for command, answer in _BLOCK.findall(page.read_text())]


def curls(page: Path) -> list[tuple[str, str]]:
    """Those that ask the service something."""
    return [(command, answer) for command, answer in blocks(page) if re.search(r"\bcurl\b", command)]


def require_answer(server: Server, command: str, shown: str) -> None:
    """A command that asks the service on port 8000 gets what the page shows, but for the request's own id.

    Raises:
        AssertionError: another answer, or none.
    """
    here = command.replace("localhost:8000", f"127.0.0.1:{server.port}")
    ran = subprocess.run(here, shell=True, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.decode("utf-8", "surrogateescape")  # bytes of tensors may stand behind the JSON
    document, end = json.JSONDecoder().raw_decode(said)
    assert _without_id(document) == _without_id(json.loads(shown))
    assert len(said[end:].encode("utf-8", "surrogateescape")) == _binary_size(document)


def _without_id(document: Any) -> Any:
    return document | {"request_id": ""} if isinstance(document, dict) else document


def _binary_size(document: Any) -> int:
    """How many bytes an answer says that there are behind it."""
    outputs = document.get("outputs", []) if isinstance(document, dict) else []
    told = [output.get("parameters", {}) for output in outputs if isinstance(output, dict)]
    return sum(parameters.get("binary_data_size", 0) for parameters in told)
