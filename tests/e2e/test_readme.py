"""The commands of the README and of docs/api.md."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from support import markdown_commands, mixed_tables
from support.gunicorn_server import ROOT, Server, await_ready, environment, free_port
from support.keras_models import make

README = ROOT / "README.md"
API = ROOT / "docs" / "api.md"
CURLS = [block for page in (README, API) for block in markdown_commands.curl_blocks(page)]
ADOPT = 'make adopt ARGS="churn.keras --sample customers.csv --label churned --name churn"'
TRAIN = 'make train ARGS="--data my.csv --label species --name mine"'
# Commands that another test or CI runs.
TESTED_ELSEWHERE = {
    "make run": "test_a_fresh_clone_runs",
    "docker compose up": "test_container.py",
    TRAIN: "test_an_own_table_is_served_by_two_commands",
    "MENAGERIE_MODEL_NAME=mine make run": "test_an_own_table_is_served_by_two_commands",
    ADOPT: "test_an_own_model_is_served_by_two_commands",
    "MENAGERIE_MODEL_NAME=churn make run": "test_an_own_model_is_served_by_two_commands",
}


def test_every_command_is_tested() -> None:
    """Each command of the two pages runs in a test."""
    blocks = [block for page in (README, API) for block, _ in markdown_commands.command_blocks(page)]
    commands = {line for block in blocks for line in block.splitlines()}
    assert commands == set(TESTED_ELSEWHERE) | {command for command, _ in CURLS}


@pytest.mark.parametrize(("command", "shown"), CURLS)
def test_curl_output_is_that_of_the_page(server: Server, command: str, shown: str) -> None:
    """The shipped model gives the response that the page shows, except for the request id."""
    markdown_commands.require_output(server, command, shown)


def test_a_fresh_clone_runs(tmp_path: Path) -> None:
    """`make run` in a new clone installs and serves within two minutes, and starts at once the second time."""
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "clone"], check=True)
    for seconds in (120, 10):
        with make_run(tmp_path / "clone", seconds) as server:
            assert requests.get(f"{server.url}/health", timeout=5).json()["ready"]
        assert not list((tmp_path / "clone" / ".venv" / "lib").rglob("tensorflow"))


@pytest.mark.tensorflow
def test_an_own_model_is_served_by_two_commands(tmp_path: Path) -> None:
    """A clone with a .keras file and a CSV: adopted, served, explained and drawn."""
    clone = make_clone(tmp_path)
    churn = make("churn", clone)
    is_churned = churn.expected["churned"][:, 0] > np.median(churn.expected["churned"])
    sample = replace(churn, labels={"churned": ["yes" if each else "no" for each in is_churned]})
    sample.write_csv(clone / "customers.csv")
    adopted = run(ADOPT, clone)
    assert "serve   MENAGERIE_MODEL_NAME=churn make run" in adopted.stdout.splitlines()
    with make_run(clone, 60, MENAGERIE_MODEL_NAME="churn") as server:
        row = churn.rows[0].tolist()
        prediction = requests.post(f"{server.url}/predict", json={"features": row}, timeout=30).json()
        assert prediction["probabilities"]["yes"] == pytest.approx(float(churn.expected["churned"][0, 0]), abs=1e-5)
        explanation = requests.post(f"{server.url}/explain", json={"features": row}, timeout=30).json()
        assert len(explanation["layers"]) > 5
        assert explanation["attributions"]
        page = requests.get(server.url, headers={"Accept": "text/html"}, timeout=30)
        assert page.headers["Content-Type"].startswith("text/html")
        assert requests.get(f"{server.url}/page/report/index.html", timeout=30).ok


@pytest.mark.tensorflow
def test_an_own_table_is_served_by_two_commands(tmp_path: Path) -> None:
    """A clone with the penguins, which have text and gaps: trained, served, explained and drawn."""
    clone = make_clone(tmp_path)
    mixed_tables.penguins().write_csv(clone / "my.csv")
    trained = run(TRAIN, clone)
    assert "serve   MENAGERIE_MODEL_NAME=mine make run" in trained.stdout.splitlines()
    penguin = {"island": "Biscoe", "bill_length_mm": 47, "bill_depth_mm": 15, "flipper_length_mm": 218, "year": 2008}
    with make_run(clone, 60, MENAGERIE_MODEL_NAME="mine") as server:
        prediction = requests.post(f"{server.url}/predict", json={"features": penguin}, timeout=30).json()
        assert prediction["label"] == "Gentoo"
        explanation = requests.post(f"{server.url}/explain", json={"features": penguin}, timeout=30).json()
        assert set(explanation["attributions"]["values"]) == {*penguin, "body_mass_g", "sex"}
        assert [each["label"] for each in explanation["sweeps"]["island"]["categories"]]
        assert requests.get(server.url, headers={"Accept": "text/html"}, timeout=30).ok
        assert requests.get(f"{server.url}/page/report/index.html", timeout=30).ok


def make_clone(folder: Path) -> Path:
    """A clone of the project, with the environment of the tests, into which make need not install anything."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    (clone / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (clone / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    for installed in ("serve", "train"):
        (clone / ".venv" / installed).touch()
    return clone


def run(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the README in a clone."""
    completed = subprocess.run(
        command,
        shell=True,
        cwd=clone,
        env=environment(VIRTUAL_ENV=""),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    return completed


@contextmanager
def make_run(clone: Path, seconds: float, **variables: str) -> Iterator[Server]:
    """`make run` in a clone, ready within some seconds; afterwards it is stopped as by Ctrl-C."""
    port = free_port()
    with subprocess.Popen(
        ["make", "run"],
        cwd=clone,
        env=environment(**{"PORT": str(port), "VIRTUAL_ENV": ""} | variables),
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            server = Server(f"http://127.0.0.1:{port}", port, process)
            await_ready(server, seconds=seconds)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
