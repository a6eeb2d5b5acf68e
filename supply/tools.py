"""The environment in which the tools live that look after the dependencies."""

from pathlib import Path

from benchmarks.environments import Environment

ROOT = Path(__file__).resolve().parent.parent
INSTALL_SECONDS = 300
TOOLS = Environment(ROOT / ".supply" / "tools", ROOT / "supply" / "requirements.txt")


def tool(name: str) -> Path:
    """The path of a command, once it is installed.

    Raises:
        InstallError: it cannot be.
    """
    return TOOLS.make(INSTALL_SECONDS).with_name(name)
