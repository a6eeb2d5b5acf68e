"""Trying a bundle where it can do no harm: what crashes, hangs or lies is refused, and the reason told."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from support import mutated_networks, runaway_networks
from support.bad_input import GOOD
from support.gunicorn_server import GUNICORN, ROOT, environment, free_port, parse_log, serving
from support.mutated_networks import REFUSED, SHIPPED, UNCHANGED, write_bundle

from models.bundle import MANIFEST, MODEL_LITERT, BundleError
from service.inference import sandbox

CRASHING = sorted((ROOT / "tests" / "fuzz" / "corpus" / "network").iterdir())
Stand = Callable[[Path, str, float], None]


@pytest.fixture(params=[sandbox.check_in_subprocess, sandbox.check_in_fork], ids=lambda stand: stand.__name__)
def stand(request: pytest.FixtureRequest) -> Stand:
    found: Stand = request.param
    return found


def children() -> set[str]:
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def test_a_good_bundle_stands(stand: Stand) -> None:
    """The one that ships, which leaves no process behind."""
    before = children()
    stand(SHIPPED, "litert", 30)
    assert children() == before


@pytest.mark.parametrize("path", CRASHING, ids=lambda path: path.name)
def test_a_network_that_crashes_litert_is_refused(stand: Stand, tmp_path: Path, path: Path) -> None:
    """Whether it does, by reading where it should not, changes from run to run: either way there is one sentence."""
    folder = write_bundle(tmp_path, path.read_bytes())
    with pytest.raises(BundleError, match=r"crashes what loads it \(SIG[A-Z]+\)|cannot be run|cannot read") as refused:
        stand(folder, "litert", 30)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", CRASHING, ids=lambda path: path.name)
def test_a_crash_at_the_start_is_told_in_one_line(tmp_path: Path, path: Path) -> None:
    """The service does not come up, and says why."""
    write_bundle(tmp_path, path.read_bytes())
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "PORT": str(free_port())}
    ended = subprocess.run(
        GUNICORN, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    (line,) = (line for line in parse_log(ended.stderr) if line["level"] != "info")
    assert line["message"].startswith("menagerie: ")
    assert str(tmp_path) in line["message"]


def test_a_crash_is_told_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was that ended the trial, who asked for it goes on."""
    monkeypatch.setattr(sandbox, "require_sound", lambda *_: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(BundleError, match=r"crashes what loads it \(SIGSEGV\)"):
        sandbox.check_in_fork(write_bundle(tmp_path, b""), "litert", 30)


@pytest.mark.parametrize("seconds", [0, 2])
def test_what_hangs_is_given_up(stand: Stand, tmp_path: Path, seconds: float) -> None:
    """A network that loops for ever, after the time that there is; nothing goes on beside."""
    before = children()
    with pytest.raises(BundleError, match=f"is not loaded after {seconds} s"):
        stand(write_bundle(tmp_path, runaway_networks.build_endless()), "litert", seconds)
    assert children() == before


def test_what_wants_too_much_memory_is_refused(stand: Stand, tmp_path: Path) -> None:
    """A network that needs 3 GB for a thousand rows, where 2 GB are allowed; the same with less is a good one."""
    with pytest.raises(BundleError, match="cannot be run"):
        stand(write_bundle(tmp_path, runaway_networks.build_greedy()), "litert", 30)
    stand(write_bundle(tmp_path, runaway_networks.build_greedy(times=100)), "litert", 30)


def test_a_greedy_version_is_refused_while_the_old_one_serves(store: Path, tmp_path: Path) -> None:
    """It costs no worker, and health tells why it is not served."""
    settings = {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_POLL_SECONDS": "0.2", "MENAGERIE_DRAIN_SECONDS": "0"}
    with serving(**settings, WEB_CONCURRENCY="1") as server:
        before = requests.get(f"{server.url}/health", timeout=5).json()
        write_bundle(tmp_path, runaway_networks.build_greedy(), version=2).rename(store / "animals" / "2")
        deadline = time.monotonic() + 60
        while not (health := requests.get(f"{server.url}/health", timeout=5).json())["refused"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        answer = requests.post(f"{server.url}/predict", GOOD, headers={"Content-Type": "application/json"}, timeout=5)
    assert "cannot be run" in health["refused"]["2"]
    assert health["uptime_seconds"] > before["uptime_seconds"]
    assert answer.json()["model"] == health["model"] == before["model"]


def test_a_refusal_is_told_as_it_is(stand: Stand, tmp_path: Path) -> None:
    """What is not there, what is cut off, what answers otherwise than it says."""
    with pytest.raises(BundleError, match=r"cannot read .*manifest\.json"):
        stand(tmp_path / "animals" / "1", "litert", 30)
    network = (SHIPPED / MODEL_LITERT).read_bytes()
    with pytest.raises(BundleError, match="LiteRT cannot read"):
        stand(write_bundle(tmp_path, network[:1000]), "litert", 30)
    folder = write_bundle(tmp_path, network)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["golden"][0]["outputs"]["hidden_1"][0] += 0.1
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="fails its self-test"):
        stand(folder, "litert", 30)


def test_a_trial_may_run_while_threads_do() -> None:
    """Eight at once in a process that is busy otherwise."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            sandbox.check_in_subprocess(SHIPPED, "litert", 60)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_trial_loads_no_tensorflow() -> None:
    """It costs what LiteRT does."""
    program = (
        "import sys, service.inference.sandbox; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.tensorflow
def test_keras_is_tried_likewise(tmp_path: Path) -> None:
    """A file that Keras does not take is refused as well."""
    sandbox.check_in_subprocess(SHIPPED, "keras", 120)
    folder = write_bundle(tmp_path, (SHIPPED / MODEL_LITERT).read_bytes())
    with pytest.raises(BundleError, match=r"does not list model\.keras"):
        sandbox.check_in_subprocess(folder, "keras", 120)


def test_a_changed_network_is_refused_or_answers_alike() -> None:
    """500 of them with random bytes changed and vouched for; `make fuzz` tries 10,000."""
    verdicts = mutated_networks.check_mutants(500)
    assert sum(verdicts.values()) == 500
    assert verdicts.keys() <= {REFUSED, UNCHANGED, "hangs"} | {
        key for key in verdicts if key.startswith("ends the process")
    }
    assert verdicts[REFUSED] > 400
    assert verdicts[UNCHANGED] > 10
