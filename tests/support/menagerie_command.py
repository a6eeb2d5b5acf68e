"""The command `menagerie` in a process of its own."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from support.gunicorn_server import ROOT, environment


def run_command(
    *arguments: str | Path,
    program: tuple[str, ...] = (sys.executable, "-m", "menagerie"),
    cwd: Path = ROOT,
    standard_input: str = "",
    settings: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*program, *map(str, arguments)],
        cwd=cwd,
        env=environment(**settings),
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refusal(completed: subprocess.CompletedProcess[str]) -> str:
    """What a command that ended with exit code 2 says, without LiteRT's greeting."""
    assert completed.returncode == 2, completed
    return "\n".join(line for line in completed.stderr.splitlines() if not line.startswith("INFO: "))
