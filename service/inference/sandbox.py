"""Trying a bundle where it can do no harm: LiteRT may crash or hang on a network that is not what it should be.

A hash says that a file is the one that was vouched for, not that it was ever good. So a network is loaded, asked its
golden rows and run with few rows and with many in a process of its own, bounded in time and memory; what ends that
process does not end the service. `stand` starts a new Python, for a bundle that appears while threads run;
`stand_first` forks, for the start, when there are none: it costs the time to load a network, not that to start Python.
"""

import faulthandler
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path
from signal import SIGKILL, Signals
from typing import NoReturn

import numpy as np

from models.bundle import Bundle, BundleError
from models.manifest import GOLDEN_TOLERANCE, find_golden_mismatch
from service.http.errors import NotExplainableError, StartupError
from service.inference import engine, layers
from service.inference.engine import Engine

Trial = Callable[[Path, str, float], None]

_ROOT = Path(__file__).resolve().parent.parent.parent
_ROWS = (1, 2, 7, 1000)  # among which the golden rows are asked
_MANY = 200
_MOST_BYTES = 2_000_000_000  # of address space beyond what is taken when the trial begins; a good one needs 60 MB
_REFUSED = 3
_ROUGHLY = 1e-3  # of the largest value: far from the golden rows single precision may be a good deal off


def stand(folder: Path, engine_name: str, seconds: float) -> None:
    """Return if the bundle in ``folder`` can be served; safe while threads run.

    Raises:
        BundleError: it was refused, crashed the process that tried it, or did not end within ``seconds``.
    """
    command = [sys.executable, "-m", "service.inference.sandbox", str(folder.resolve()), engine_name, str(seconds)]
    try:
        ended = subprocess.run(  # noqa: S603 (this very Python, this very file)
            command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise _late(folder, seconds) from None
    except OSError as error:
        raise BundleError(f"{folder} cannot be tried ({error.strerror})") from None
    _judge(folder, ended.returncode, ended.stdout.decode("utf-8", "replace").strip())


def stand_first(folder: Path, engine_name: str, seconds: float) -> None:
    """The same by a fork, for a process that has no threads yet; TensorFlow is not loaded twice for it.

    Raises:
        BundleError: as `stand`.
    """
    if engine_name != "litert":
        return
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what LiteRT says of itself is said once, when it is loaded
        _try(folder, engine_name, seconds)
    os.close(writing)
    with open(reading, "rb") as told:  # noqa: PTH123 (a descriptor has no path)
        code = _await(child, folder, seconds)
        _judge(folder, code, told.read().decode("utf-8", "replace").strip())


def pass_over(folder: Path, engine_name: str, seconds: float) -> None:
    """No trial: for a process that may as well crash."""


def require_sound(found: Bundle, engine_name: str) -> None:
    """Load a network and ask it the golden rows, all together, among few and among many; then rows of any kind.

    Raises:
        BundleError: it cannot be run, lacks a layer, or has other answers than the manifest or the weights say.
        StartupError: the engine cannot be had or cannot read it.
    """
    loaded = engine.load(engine_name, found)
    if not {layer.name for layer in found.manifest.layers} <= set(loaded.layers):
        raise BundleError(f"the network in {found.folder} does not have the layers of its manifest: train it again")
    try:
        _ask_golden(found, loaded)
        _ask_any(found, loaded)
    except BundleError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(f"the network in {found.folder} cannot be run ({reason}): train the model again") from error


def _ask_golden(found: Bundle, loaded: Engine) -> None:
    """A row's answer must not depend on how many are asked about: LiteRT plans its memory anew for each number."""
    manifest = found.manifest
    rows = manifest.golden_rows
    for count in (len(rows), *_ROWS):
        outputs = loaded.run(np.resize(rows, (count, rows.shape[1])), [layer.name for layer in manifest.layers])
        if mismatch := find_golden_mismatch(manifest, outputs, rows=count):
            raise BundleError(
                f"{found.folder} fails its self-test: golden row {mismatch.row}, among {count}, gets "
                f"another answer from layer {mismatch.layer} than its manifest says: copy the bundle again, "
                "or train the model again"
            )


def _ask_any(found: Bundle, loaded: Engine) -> None:
    """Rows from all over the schema, held against the weights, where the bundle has them: golden rows are few."""
    try:
        parts = layers.read(found)
    except NotExplainableError:
        return
    bounds = np.array([(feature.minimum, feature.maximum) for feature in found.manifest.features])
    share = np.random.default_rng(0).random((_MANY, len(bounds)))
    rows = (bounds[:, 0] * (1 - share) + bounds[:, 1] * share).astype(np.float32)
    outputs = loaded.run(rows, [part.name for part in parts])
    for part in parts:
        expected, given = part.forward(rows), outputs[part.name]
        sane = np.isfinite(expected).all(axis=1)  # bounds may be so far apart that no network could tell
        largest = float(np.abs(expected[sane]).max(initial=1))
        tolerance = _ROUGHLY * largest
        same_shape = given.shape == expected.shape
        if not (same_shape and np.allclose(given[sane], expected[sane], rtol=GOLDEN_TOLERANCE, atol=tolerance)):
            raise BundleError(f"layer {part.name} in {found.folder} is not what its weights say: train the model again")
        rows = given


def bound(seconds: float, *, memory: bool = True) -> None:
    """Let this process take no more than so many seconds of a processor, so much more memory, and leave no core.

    Where there is less memory than that, as in a container, the kernel is to end this process and no other.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (_taken() + _MOST_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (ceil(seconds) + 1,) * 2)


def _try(folder: Path, engine_name: str, seconds: float) -> NoReturn:
    """Try it in this process, which is for nothing else, and end."""
    faulthandler.disable()  # a crash is told in one line, by who asked for the trial
    bound(seconds, memory=engine_name == "litert")  # TensorFlow reserves more than it ever uses
    reason, code = "", 0
    try:
        require_sound(Bundle.read(folder), engine_name)
    except (BundleError, StartupError) as error:
        reason, code = str(error), _REFUSED
    except BaseException as error:  # noqa: BLE001 (whatever it was, it would have been the service's end)
        reason, code = f"{folder} cannot be loaded ({type(error).__name__}): train the model again", _REFUSED
    os.write(1, " ".join(reason.split()).encode()[:2000])
    os._exit(code)  # destructors of what was loaded would be one more chance to crash


def _taken() -> int:
    """How many bytes of address space this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _await(child: int, folder: Path, seconds: float) -> int:
    """The exit code of a child, as `subprocess` has it."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, SIGKILL)
            os.waitpid(child, 0)
            raise _late(folder, seconds)
        time.sleep(pause)


def _judge(folder: Path, code: int, said: str) -> None:
    if code == _REFUSED and said:
        raise BundleError(said)
    if code < 0:
        raise BundleError(f"{folder} crashes what loads it ({Signals(-code).name}): train the model again")
    if code:
        raise BundleError(f"{folder} cannot be tried (exit code {code})")


def _late(folder: Path, seconds: float) -> BundleError:
    return BundleError(f"{folder} is not loaded after {seconds:g} s: train the model again")


if __name__ == "__main__":
    _try(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
