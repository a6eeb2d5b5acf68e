"""Sandbox checks: a bundle that crashes, hangs or contradicts its manifest is refused with the reason."""

import json
import os
import re
import shutil
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
from support.named_bundles import copy_bundle

from models.bundle import MANIFEST, MODEL_LITERT, Bundle, BundleError
from service.inference import sandbox
from service.inference.catalog import Catalog
from service.settings import Settings

CRASHING = sorted((ROOT / "tests" / "fuzz" / "corpus" / "network").iterdir())
FAULTS = {"crashes": "SIGSEGV", "hangs": "does not load within 2 s", "is-refused": "no good"}
SandboxCheck = Callable[[Path, str, float], None]


@pytest.fixture(params=[sandbox.check_in_subprocess, sandbox.check_in_fork], ids=lambda check: check.__name__)
def check(request: pytest.FixtureRequest) -> SandboxCheck:
    sandbox_check: SandboxCheck = request.param
    return sandbox_check


def child_pids() -> set[str]:
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def test_valid_bundle_passes(check: SandboxCheck) -> None:
    """And leaves no process behind."""
    before = child_pids()
    check(SHIPPED, "litert", 30)
    assert child_pids() == before


@pytest.mark.parametrize("path", CRASHING, ids=lambda path: path.name)
def test_network_that_crashes_litert_is_refused(check: SandboxCheck, tmp_path: Path, path: Path) -> None:
    """Whether it crashes varies from run to run, as it reads out of bounds; either way the error is one line."""
    folder = write_bundle(tmp_path, path.read_bytes())
    with pytest.raises(
        BundleError, match=r"crashes the process that loads it \(SIG[A-Z]+\)|cannot be run|cannot read"
    ) as refused:
        check(folder, "litert", 30)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", CRASHING, ids=lambda path: path.name)
def test_crash_during_the_start_is_one_log_line(tmp_path: Path, path: Path) -> None:
    """The service does not start and logs the reason."""
    write_bundle(tmp_path, path.read_bytes())
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "PORT": str(free_port())}
    completed = subprocess.run(
        GUNICORN, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert completed.returncode == 1
    (line,) = (line for line in parse_log(completed.stderr) if line["level"] != "info")
    assert line["message"].startswith("menagerie: ")
    assert str(tmp_path) in line["message"]


@pytest.mark.parametrize("given", ["store/animals/1", "./store/../store/animals/1", "link/animals/1"])
def test_reason_names_the_folder_as_it_was_given(
    check: SandboxCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """So that the store's path, which is private, can be taken out of it for clients."""
    copy_bundle(SHIPPED, tmp_path / "store", "animals")
    (tmp_path / "store" / "animals" / "1" / MANIFEST).write_text("{")
    (tmp_path / "link").symlink_to("store")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=f"^{Path(given)}/{MANIFEST} is not a valid manifest"):
        check(Path(given), "litert", 30)


def test_crash_is_reported_with_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that runs the check goes on."""
    monkeypatch.setattr(sandbox, "require_sound", lambda *_: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(BundleError, match=r"crashes the process that loads it \(SIGSEGV\)"):
        sandbox.check_in_fork(write_bundle(tmp_path, b""), "litert", 30)


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were forked."""
    pids: list[int] = []
    fork = os.fork

    def counted() -> int:
        pid = fork()
        pids.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", counted)
    return pids


@pytest.fixture
def faulty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of models: some are sound, the others are named by what happens to the process that checks them."""
    for name in ("a", "crashes", "b", "c", "exits", "is-refused"):
        copy_bundle(SHIPPED, tmp_path, name)
    write_bundle(tmp_path, runaway_networks.build_endless())
    (tmp_path / "animals").rename(tmp_path / "hangs")
    check = sandbox.require_sound

    def require_sound(bundle: Bundle, engine_name: str) -> None:
        match bundle.manifest.name:
            case "crashes":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exits":
                os._exit(0)
            case "is-refused":
                raise BundleError("no good")
        check(bundle, engine_name)

    monkeypatch.setattr(sandbox, "require_sound", require_sound)
    return tmp_path


def test_many_bundles_are_checked_in_one_process(tmp_path: Path, forks: list[int]) -> None:
    """At the start of the service; none is left."""
    folders = [copy_bundle(SHIPPED, tmp_path, f"m{number}") for number in range(5)]
    before = child_pids()
    check = sandbox.check_together_in_fork(folders, "litert", 30)
    assert child_pids() == before
    for folder in folders:
        check(folder, "litert")
    assert len(forks) == 1


def test_damaged_bundles_need_no_process_each(tmp_path: Path, forks: list[int]) -> None:
    """A store full of folders that are no models must not keep the service from starting for minutes."""
    folders = [copy_bundle(SHIPPED, tmp_path, f"m{number}") for number in range(6)]
    (folders[0] / MANIFEST).unlink()
    (folders[2] / MANIFEST).write_text("{")
    (folders[4] / MODEL_LITERT).write_bytes(b"")
    shutil.rmtree(folders[5])
    check = sandbox.check_together_in_fork(folders, "litert", 30)
    for folder in (folders[1], folders[3]):
        check(folder, "litert")
    for folder, reason in (
        (folders[0], "cannot read .*manifest.json"),
        (folders[2], "not a valid manifest"),
        (folders[4], "does not match manifest.json"),
        (folders[5], "cannot read .*manifest.json"),
    ):
        with pytest.raises(BundleError, match=reason) as refused:
            check(folder, "litert")
        assert str(folder) in str(refused.value)
    assert len(forks) == 1


def test_bundle_that_ends_their_process_is_the_only_one_that_does_not_pass(
    faulty_store: Path, forks: list[int]
) -> None:
    """Those behind it are checked in another process; it is checked alone, for the reason."""
    folders = {name: faulty_store / name / "1" for name in ("a", "crashes", "b", "hangs", "exits", "c", "is-refused")}
    before = child_pids()
    check = sandbox.check_together_in_fork([*folders.values()], "litert", 2)
    assert len(forks) == 4
    assert child_pids() == before
    for name in ("a", "b", "c"):
        check(folders[name], "litert")
    assert len(forks) == 4
    for name, reason in FAULTS.items():
        with pytest.raises(BundleError, match=reason):
            check(folders[name], "litert")
    assert len(forks) == 4 + len(FAULTS)


def test_catalog_loads_what_passes(faulty_store: Path, forks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions of each sound model are loaded, and nothing else; what did not pass is reported."""
    for name in ("a", "b", "c"):
        copy_bundle(SHIPPED, faulty_store, name, 2)
    shutil.rmtree(faulty_store / "exits")
    monkeypatch.setattr(sandbox.check_together_in_fork, "__defaults__", (2,))
    catalog = Catalog(Settings(model_store=faulty_store, models="*"), sandbox.check_in_fork)
    assert [(model.name, model.version) for model in catalog.models] == [
        (name, version) for name in ("a", "b", "c") for version in (1, 2)
    ]
    for name, reason in FAULTS.items():
        assert re.search(reason, catalog.fault(catalog.by_path[name]))
    assert len(forks) == 3 + 3


def test_bundle_changed_after_the_common_check_is_checked_again(tmp_path: Path, forks: list[int]) -> None:
    """What is loaded is what has passed."""
    folders = [copy_bundle(SHIPPED, tmp_path, name) for name in ("a", "b")]
    check = sandbox.check_together_in_fork(folders, "litert", 30)
    (folders[0] / MODEL_LITERT).write_bytes(b"")
    check(folders[1], "litert")
    with pytest.raises(BundleError, match="does not match"):
        check(folders[0], "litert")
    assert len(forks) == 2


@pytest.mark.parametrize("seconds", [0, 2])
def test_endless_network_times_out(check: SandboxCheck, tmp_path: Path, seconds: float) -> None:
    """And its process is completed."""
    before = child_pids()
    with pytest.raises(BundleError, match=f"does not load within {seconds} s"):
        check(write_bundle(tmp_path, runaway_networks.build_endless()), "litert", seconds)
    assert child_pids() == before


def test_network_beyond_the_memory_limit_is_refused(check: SandboxCheck, tmp_path: Path) -> None:
    """It needs 3 GB for a thousand rows where 2 GB are allowed; with fewer rows it passes."""
    with pytest.raises(BundleError, match="cannot be run"):
        check(write_bundle(tmp_path, runaway_networks.build_greedy()), "litert", 30)
    check(write_bundle(tmp_path, runaway_networks.build_greedy(times=100)), "litert", 30)


def test_refused_version_does_not_disturb_the_serving_one(store: Path, tmp_path: Path) -> None:
    """No worker ends, and health has the reason."""
    settings = {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_POLL_SECONDS": "0.2", "MENAGERIE_DRAIN_SECONDS": "0"}
    with serving(**settings, WEB_CONCURRENCY="1") as server:
        before = requests.get(f"{server.url}/health", timeout=5).json()
        write_bundle(tmp_path, runaway_networks.build_greedy(), version=2).rename(store / "animals" / "2")
        deadline = time.monotonic() + 60
        while not (health := requests.get(f"{server.url}/health", timeout=5).json())["refused"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        response = requests.post(f"{server.url}/predict", GOOD, headers={"Content-Type": "application/json"}, timeout=5)
    assert "cannot be run" in health["refused"]["2"]
    assert health["uptime_seconds"] > before["uptime_seconds"]
    assert response.json()["model"] == health["model"] == before["model"]


def test_error_of_the_check_is_passed_on(check: SandboxCheck, tmp_path: Path) -> None:
    """A missing bundle, a truncated network, a golden-row mismatch."""
    with pytest.raises(BundleError, match=r"cannot read .*manifest\.json"):
        check(tmp_path / "animals" / "1", "litert", 30)
    network = (SHIPPED / MODEL_LITERT).read_bytes()
    with pytest.raises(BundleError, match="LiteRT cannot read"):
        check(write_bundle(tmp_path, network[:1000]), "litert", 30)
    folder = write_bundle(tmp_path, network)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["golden"][0]["outputs"]["hidden_1"][0] += 0.1
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="fails its self-test"):
        check(folder, "litert", 30)


def test_checks_may_run_in_threads() -> None:
    """Eight at once."""
    errors: list[BaseException] = []

    def run_check() -> None:
        try:
            sandbox.check_in_subprocess(SHIPPED, "litert", 60)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run_check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_check_imports_no_tensorflow() -> None:
    """It needs LiteRT only."""
    program = (
        "import sys, service.inference.sandbox; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.tensorflow
def test_keras_bundle_is_checked(tmp_path: Path) -> None:
    """A bundle without a Keras file is refused."""
    sandbox.check_in_subprocess(SHIPPED, "keras", 120)
    folder = write_bundle(tmp_path, (SHIPPED / MODEL_LITERT).read_bytes())
    with pytest.raises(BundleError, match=r"does not list model\.keras"):
        sandbox.check_in_subprocess(folder, "keras", 120)


def test_mutated_network_is_refused_or_equivalent() -> None:
    """500 mutants with valid hashes; `make fuzz` checks 10,000."""
    verdicts = mutated_networks.check_mutants(500)
    assert sum(verdicts.values()) == 500
    assert verdicts.keys() <= {REFUSED, UNCHANGED, "hangs"} | {
        key for key in verdicts if key.startswith("ends the process")
    }
    assert verdicts[REFUSED] > 400
    assert verdicts[UNCHANGED] > 10
