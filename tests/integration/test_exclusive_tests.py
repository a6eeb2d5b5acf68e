"""How tests share the machine, seen in a run of their own with two workers."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from support.gunicorn_server import ROOT

MEETING = """
import time
from pathlib import Path

def test_meets():
    met = Path("{folder}")
    (met / Path(__file__).stem).touch()
    until = time.monotonic() + 20
    while len(list(met.iterdir())) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
"""
TELLING = """
import time
import pytest
from support.closed_loop_clients import LoadResult

def tell(what):
    with open("{told}", "a") as told:
        told.write(what + "\\n")

@pytest.mark.alone
@pytest.mark.parametrize("number", range(4))
def test_alone(number, report):
    tell("alone")
    time.sleep(0.05)
    tell("over")
    report("a fault", number, LoadResult(sent=7))

@pytest.mark.parametrize("number", range(40))
def test_beside(number):
    tell("beside")
    time.sleep(0.01)
"""


BROWSER_AND_CONTAINER = """
import time
import pytest

@pytest.mark.parametrize("number", range(10))
@pytest.mark.{what}
def test_it(number):
    for what in ("begin", "end"):
        with open("{told}", "a") as told:
            told.write(what + "\\n")
        time.sleep(0.02)
"""


def run(folder: Path, **files: str) -> str:
    """What pytest says to some files of tests, one for each worker; the run must be green."""
    for name, content in files.items():
        (folder / f"test_{name}.py").write_text(content)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n alone\n browser\n container\n")
    options = [
        "-p",
        "support.fault_reports",
        "-p",
        "support.exclusive_tests",
        "-p",
        "no:schemathesis",
        "--numprocesses=2",
        "--dist=loadfile",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--no-loadscope-reorder", folder],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_files_run_beside_one_another(tmp_path: Path) -> None:
    """Two tests that wait for each other do meet."""
    (tmp_path / "met").mkdir()
    meeting = MEETING.format(folder=tmp_path / "met")
    run(tmp_path, one=meeting, other=meeting)


def test_what_is_alone_has_the_machine_to_itself(tmp_path: Path) -> None:
    """Nothing of another worker happens between its begin and its end; what it reports is in the table all the same."""
    telling = TELLING.format(told=tmp_path / "told")
    said = run(tmp_path, one=telling, other=telling)
    told = (tmp_path / "told").read_text().split()
    assert (told.count("alone"), told.count("beside")) == (8, 80)
    assert all(after == "over" for what, after in pairwise(told) if what == "alone")
    assert said.count("| a fault | 3 | 7 |") == 2


def test_no_container_comes_or_goes_beside_a_browser(tmp_path: Path) -> None:
    told = tmp_path / "told"
    run(tmp_path, **{what: BROWSER_AND_CONTAINER.format(what=what, told=told) for what in ("browser", "container")})
    assert told.read_text().split() == ["begin", "end"] * 20
