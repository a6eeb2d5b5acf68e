"""Exclusive tests, in a pytest run of their own with two workers."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from support.gunicorn_server import ROOT

RENDEZVOUS = """
import time
from pathlib import Path

def test_rendezvous():
    folder = Path("{folder}")
    (folder / Path(__file__).stem).touch()
    deadline = time.monotonic() + 20
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""
LOGGING = """
import time
import pytest
from support.closed_loop_clients import LoadResult

def log(event):
    with open("{log_path}", "a") as file:
        file.write(event + "\\n")

@pytest.mark.alone
@pytest.mark.parametrize("number", range(4))
def test_alone(number, report):
    log("alone")
    time.sleep(0.05)
    log("end")
    report("a fault", number, LoadResult(sent=7))

@pytest.mark.parametrize("number", range(40))
def test_in_parallel(number):
    log("parallel")
    time.sleep(0.01)
"""


WORKER = """
import os
import pytest

@pytest.mark.parametrize("number", range(10))
{mark}
def test_worker(number):
    with open("{log_path}", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def run_pytest(folder: Path, **files: str) -> str:
    """The output of pytest for these files, one for each worker; every test must pass."""
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
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--no-loadscope-reorder", folder],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_files_run_in_parallel(tmp_path: Path) -> None:
    """Two tests that wait for each other both finish."""
    (tmp_path / "rendezvous").mkdir()
    rendezvous = RENDEZVOUS.format(folder=tmp_path / "rendezvous")
    run_pytest(tmp_path, one=rendezvous, other=rendezvous)


def test_alone_test_runs_alone(tmp_path: Path) -> None:
    """No other worker's test runs between its start and its end; its fault report is collected all the same."""
    logging_test = LOGGING.format(log_path=tmp_path / "log")
    output = run_pytest(tmp_path, one=logging_test, other=logging_test)
    events = (tmp_path / "log").read_text().split()
    assert (events.count("alone"), events.count("parallel")) == (8, 80)
    assert all(after == "end" for before, after in pairwise(events) if before == "alone")
    assert output.count("| a fault | 3 | 7 |") == 2


def test_one_worker_runs_all_tests_with_containers_or_browsers(tmp_path: Path) -> None:
    log_path = tmp_path / "log"
    marks = {name: f"@pytest.mark.{name}" for name in ("browser", "container")}
    run_pytest(tmp_path, **{name: WORKER.format(mark=mark, log_path=log_path) for name, mark in marks.items()})
    workers = log_path.read_text().split()
    assert (len(workers), len(set(workers))) == (20, 1)


def test_one_worker_runs_a_file(tmp_path: Path) -> None:
    """Another worker runs the other file."""
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    run_pytest(tmp_path, **{log.stem: WORKER.format(mark="", log_path=log) for log in logs})
    workers = [log.read_text().split() for log in logs]
    assert [len(each) for each in workers] == [10, 10]
    assert len({each[0] for each in workers}) == 2
    assert all(len(set(each)) == 1 for each in workers)
