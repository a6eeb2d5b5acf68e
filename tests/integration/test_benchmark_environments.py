"""Virtual environments beside the project's own."""

import subprocess
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest

from benchmarks.environments import Environment, InstallError


def test_an_environment_is_created_once_and_again_when_its_requirements_change(tmp_path: Path) -> None:
    """It has a Python of its own; a failed installation raises an error and does not count as current."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    environment = Environment(tmp_path / "environments" / "one", requirements)
    assert not environment.is_current

    python = environment.install(60)
    process = subprocess.run(
        [python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == str(environment.folder)
    assert environment.is_current
    created = python.parent.stat().st_ctime_ns
    assert environment.install(0).parent.stat().st_ctime_ns == created

    requirements.write_text("./nowhere-1.0-py3-none-any.whl\n")
    assert not environment.is_current
    with pytest.raises(InstallError, match=r"cannot be installed: .*nowhere"):
        environment.install(60)
    assert not environment.is_current


def test_an_environment_that_several_ask_for_at_once_is_created_once(tmp_path: Path) -> None:
    """The others wait for it."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    environment = Environment(tmp_path / "environments" / "one", requirements)
    with ThreadPoolExecutor(3) as pool:
        pythons = [pool.submit(environment.install, 60) for _ in range(3)]
        created = {python.result().parent.stat().st_ctime_ns for python in as_completed(pythons)}
    assert len(created) == 1
