"""The command-line tools that check dependencies, in an environment of their own."""

from pathlib import Path

from benchmarks.environments import Environment

ROOT = Path(__file__).resolve().parent.parent
INSTALL_SECONDS = 300
TOOLS = Environment(ROOT / ".supply" / "tools", ROOT / "supply" / "requirements.txt")


def install_tool(name: str) -> Path:
    """Install the tools, unless that is done already, and return the path of one.

    Raises:
        InstallError: pip fails.
    """
    return TOOLS.install(INSTALL_SECONDS).with_name(name)
