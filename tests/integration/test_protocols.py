"""The curl commands of docs/protocols.md."""

import pytest
from support import markdown_commands
from support.gunicorn_server import ROOT, Server

CURLS = markdown_commands.curl_blocks(ROOT / "docs" / "protocols.md")


def test_page_shows_every_protocol() -> None:
    """And all its commands call the service."""
    commands = " ".join(command for command, _ in CURLS)
    assert all(f"localhost:8000/{protocol}" in commands for protocol in ("v1", "v2"))
    assert markdown_commands.command_blocks(ROOT / "docs" / "protocols.md") == CURLS


@pytest.mark.parametrize(("command", "shown"), CURLS)
def test_curl_output_is_that_of_the_page(server: Server, command: str, shown: str) -> None:
    """The shipped model gives the response on the page."""
    markdown_commands.require_output(server, command, shown)
