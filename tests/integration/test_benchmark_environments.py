"""Environments beside the project's own."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.environments import Environment, InstallError


def test_an_environment_is_made_once_and_anew_when_its_file_changes(tmp_path: Path) -> None:
    """It is a Python of its own; what cannot be installed is said in a sentence, and leaves nothing that seems made."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    environment = Environment(tmp_path / "homes" / "one", requirements)
    assert not environment.is_made

    python = environment.make(60)
    said = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(environment.home)
    assert environment.is_made
    changed = python.parent.stat().st_ctime_ns
    assert environment.make(0).parent.stat().st_ctime_ns == changed

    requirements.write_text("./nowhere-1.0-py3-none-any.whl\n")
    assert not environment.is_made
    with pytest.raises(InstallError, match=r"cannot be installed: .*nowhere"):
        environment.make(60)
    assert not environment.is_made
