"""Trying a bundle where it can do no harm: what crashes, hangs or lies is refused, and the reason told."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import mutants
import pytest
from mutants import ALIKE, REFUSED, SHIPPED, place
from serving import GUNICORN, ROOT, environment, free_port, told

from models.bundle import MANIFEST, MODEL_LITERT, BundleError
from service import trial

CRASHING = sorted((ROOT / "tests" / "fuzz" / "corpus" / "network").iterdir())
Stand = Callable[[Path, str, float], None]


@pytest.fixture(params=[trial.stand, trial.stand_first], ids=lambda stand: stand.__name__)
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
    folder = place(tmp_path, path.read_bytes())
    with pytest.raises(BundleError, match=r"crashes what loads it \(SIG[A-Z]+\)|cannot be run|cannot read") as refused:
        stand(folder, "litert", 30)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", CRASHING, ids=lambda path: path.name)
def test_a_crash_at_the_start_is_told_in_one_line(tmp_path: Path, path: Path) -> None:
    """The service does not come up, and says why."""
    place(tmp_path, path.read_bytes())
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "PORT": str(free_port())}
    ended = subprocess.run(
        GUNICORN, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    (line,) = (line for line in told(ended.stderr) if line["level"] != "info")
    assert line["message"].startswith("menagerie: ")
    assert str(tmp_path) in line["message"]


def test_a_crash_is_told_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was that ended the trial, who asked for it goes on."""
    monkeypatch.setattr(trial, "require_sound", lambda *_: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(BundleError, match=r"crashes what loads it \(SIGSEGV\)"):
        trial.stand_first(place(tmp_path, b""), "litert", 30)


def test_what_hangs_is_given_up(stand: Stand, tmp_path: Path) -> None:
    """After the time that there is; nothing goes on beside."""
    before = children()
    with pytest.raises(BundleError, match="is not loaded after 0 s"):
        stand(place(tmp_path, (SHIPPED / MODEL_LITERT).read_bytes()), "litert", 0)
    assert children() == before


def test_a_refusal_is_told_as_it_is(stand: Stand, tmp_path: Path) -> None:
    """What is not there, what is cut off, what answers otherwise than it says."""
    with pytest.raises(BundleError, match=r"cannot read .*manifest\.json"):
        stand(tmp_path / "animals" / "1", "litert", 30)
    network = (SHIPPED / MODEL_LITERT).read_bytes()
    with pytest.raises(BundleError, match="LiteRT cannot read"):
        stand(place(tmp_path, network[:1000]), "litert", 30)
    folder = place(tmp_path, network)
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
            trial.stand(SHIPPED, "litert", 60)
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
    program = "import sys, service.trial; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.tensorflow
def test_keras_is_tried_likewise(tmp_path: Path) -> None:
    """A file that Keras does not take is refused as well."""
    trial.stand(SHIPPED, "keras", 120)
    folder = place(tmp_path, (SHIPPED / MODEL_LITERT).read_bytes())
    with pytest.raises(BundleError, match=r"does not list model\.keras"):
        trial.stand(folder, "keras", 120)


def test_a_changed_network_is_refused_or_answers_alike() -> None:
    """500 of them with random bytes changed and vouched for; `make fuzz` tries 10,000."""
    verdicts = mutants.run(500)
    assert sum(verdicts.values()) == 500
    assert verdicts.keys() <= {REFUSED, ALIKE, "hangs"} | {
        key for key in verdicts if key.startswith("ends the process")
    }
    assert verdicts[REFUSED] > 400
    assert verdicts[ALIKE] > 10
