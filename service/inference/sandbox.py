"""Checks a bundle in a process of its own: LiteRT may crash or hang on a network that is not what it should be.

A hash proves that a file is the one that was published, not that it was ever good. So the network is loaded, given its
golden rows and run on other rows in a subprocess with bounded time and memory; what ends that process does not end the
service. `check_in_subprocess` starts a new Python, for a bundle that appears while threads run. `check_in_fork` is for
the start of the service, when there are no threads: it costs the time to load a network, not that to start Python.
`check_together_in_fork` is for many bundles at the start: a process for each would take longer than their checks.
"""

import faulthandler
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import ceil
from pathlib import Path
from signal import SIGKILL, Signals
from typing import NoReturn

from models.bundle import WEIGHTS, Bundle, BundleError
from service.http.errors import NotExplainableError, StartupError
from service.inference import engine, layers
from service.inference.engine_protocol import Engine
from service.inference.fingerprint import read_fingerprint
from service.inference.golden import require_golden_outputs
from service.inference.weight_check import find_weight_mismatch, random_rows

SandboxCheck = Callable[[Path, str], None]

_ROOT = Path(__file__).resolve().parent.parent.parent
_MAX_SECONDS = 60  # TensorFlow, as the Keras engine, takes some to load
_BATCH_SIZES = (1, 2, 7, 1000)
_MAX_MEMORY = 2_000_000_000  # bytes of address space beyond what is used at the start; a good network needs 60 MB
_EXIT_REFUSED = 3


def check_in_subprocess(folder: Path, engine_name: str, seconds: float = _MAX_SECONDS) -> None:
    """Return if the bundle in ``folder`` can be served; safe while threads run.

    Raises:
        BundleError: it was refused, crashed the process that checked it, or took longer than ``seconds``.
    """
    absolute = folder.absolute()  # the new process has another working directory
    command = [sys.executable, "-m", "service.inference.sandbox", str(absolute), engine_name, str(seconds)]
    try:
        completed = subprocess.run(  # noqa: S603 (this very Python, this very file)
            command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise _timeout_error(folder, seconds) from None
    except OSError as error:
        raise BundleError(f"{folder} cannot be checked ({error.strerror})") from None
    # The reason names the folder as it was given: `Registry.hide_path` knows it so.
    _require_success(folder, completed.returncode, completed.stdout.replace(os.fsencode(absolute), os.fsencode(folder)))


def check_in_fork(folder: Path, engine_name: str, seconds: float = _MAX_SECONDS) -> None:
    """The same in a fork, for a process without threads; the Keras engine is not checked, TensorFlow can't fork.

    On macOS, whose libraries cannot either, it is a new process.

    Raises:
        BundleError: as `check_in_subprocess`.
    """
    if engine_name != "litert":
        return
    if sys.platform == "darwin":
        check_in_subprocess(folder, engine_name, seconds)
        return
    child, reader = _fork(partial(_check_and_exit, folder, engine_name, seconds))
    with open(reader, "rb") as output:  # noqa: PTH123 (a descriptor has no path)
        exit_code = _wait(child, folder, seconds)
        _require_success(folder, exit_code, output.read())


def check_together_in_fork(folders: Sequence[Path], engine_name: str, seconds: float = _MAX_SECONDS) -> SandboxCheck:
    """`check_in_fork`, done at once for bundles, in one process: they are not checked again unless changed.

    That process ends at the first bundle whose files are as its manifest says, but whose network does not pass; another
    one goes on behind it. Such a bundle is checked alone later, which gives the reason.
    """
    if engine_name != "litert" or sys.platform == "darwin":
        return check_in_fork
    states = {folder: read_fingerprint(folder) for folder in folders}
    faults: dict[Path, str] = {}
    while folders:
        found = _find_faults(folders, engine_name, seconds)
        faults.update(zip(folders, found, strict=False))
        folders = folders[len(found) + 1 :]

    def check(folder: Path, engine_name: str) -> None:
        if folder not in faults or read_fingerprint(folder) != states[folder]:
            check_in_fork(folder, engine_name, seconds)
        elif fault := faults[folder]:
            raise BundleError(fault)

    return check


def no_check(folder: Path, engine_name: str) -> None:
    """Skip the sandbox, for a process that a crash does not harm."""


def require_sound(bundle: Bundle, engine_name: str) -> None:
    """Load a network, compare its outputs with the golden rows and, on random rows, with its weights.

    Raises:
        BundleError: it cannot be run, lacks a layer, or gives other outputs than the manifest or the weights say.
        StartupError: the engine is not available or cannot read the network.
    """
    loaded = engine.load(engine_name, bundle)
    try:
        require_golden_outputs(bundle, loaded, _BATCH_SIZES)
        _require_outputs_of_weights(bundle, loaded)
    except BundleError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(f"the network in {bundle.folder} cannot be run ({reason}): train the model again") from error


def _require_outputs_of_weights(bundle: Bundle, engine: Engine) -> None:
    """Compare outputs for random rows with those that the weights give, if the bundle has weights.

    A model that was adopted is served whatever its weights are: its explanations leave out the layers. So its rows are
    run here, but compared where an explanation first needs them (`Model.layer_weights`).
    """
    manifest = bundle.manifest
    if not bundle.is_trained:
        if WEIGHTS in manifest.files:
            engine.run(random_rows(manifest), [layer.name for layer in manifest.layers])
        return
    try:
        network = layers.read(bundle)
    except NotExplainableError:
        return
    if mismatch := find_weight_mismatch(manifest, network, engine):
        raise BundleError(
            f"the output of layer {mismatch} in {bundle.folder} does not match its weights: train the model again"
        )


def limit_resources(seconds: float, *, memory: bool = True) -> None:
    """Limit the CPU time and memory of this process, and write no core dump.

    Where there is less memory than the limit, as in a container, the kernel is to kill this process first.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if memory and (used := _address_space()):
        resource.setrlimit(resource.RLIMIT_AS, (used + _MAX_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (ceil(seconds) + 1,) * 2)


def _check_and_exit(folder: Path, engine_name: str, seconds: float) -> NoReturn:
    """Check the bundle, print the reason if it is refused, and end this process."""
    faulthandler.disable()  # the parent reports a crash, in one line
    limit_resources(seconds, memory=engine_name == "litert")  # TensorFlow reserves more than it ever uses
    reason, exit_code = b"", 0
    try:
        require_sound(Bundle.read(folder), engine_name)
    except (BundleError, StartupError) as error:
        reason, exit_code = _one_line(error), _EXIT_REFUSED
    except BaseException as error:  # noqa: BLE001 (whatever it is, it would have ended the service)
        reason = f"{folder} cannot be loaded ({type(error).__name__}): train the model again".encode()
        exit_code = _EXIT_REFUSED
    os.write(1, reason)
    os._exit(exit_code)  # destructors of what was loaded would be one more chance to crash


def _find_faults(folders: Sequence[Path], engine_name: str, seconds: float) -> Sequence[str]:
    """What is wrong with each bundle, empty if nothing is; up to one that ends the process or takes some seconds."""
    child, reader = _fork(partial(_check_each_and_exit, folders, engine_name, seconds))
    lines = b""
    try:
        while lines.count(b"\n") < len(folders) and select.select([reader], [], [], seconds)[0]:
            if not (more := os.read(reader, 1 << 16)):
                break
            lines += more
    finally:
        os.close(reader)
        os.kill(child, SIGKILL)
        os.waitpid(child, 0)
    return lines.decode("utf-8", "replace").split("\n")[:-1]


def _check_each_and_exit(folders: Sequence[Path], engine_name: str, seconds: float) -> NoReturn:
    """Check one bundle after the other and print a line about each; end this process at a network that fails.

    What fails may have wanted the memory that the networks before it use.
    """
    faulthandler.disable()
    limit_resources(seconds)
    try:
        for folder in folders:
            fault = b""
            try:
                bundle = Bundle.read(folder)
            except BundleError as error:
                fault = _one_line(error)
            else:
                require_sound(bundle, engine_name)
            os.write(1, fault + b"\n")
    finally:
        os._exit(0)


def _one_line(error: Exception) -> bytes:
    return " ".join(str(error).split()).encode("utf-8", "replace")[:2000]


def _fork(work: Callable[[], NoReturn]) -> tuple[int, int]:
    """A child process that does some work, and the descriptor that reads what it prints."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LiteRT's greeting is printed once, when the parent loads it
        work()
    os.close(writer)
    return child, reader


def _address_space() -> int | None:
    """The size of this process's address space in bytes; None where the system has no /proc to tell it."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return None


def _wait(child: int, folder: Path, seconds: float) -> int:
    """Wait for a child process; its exit code is that of the `subprocess` module."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, SIGKILL)
            os.waitpid(child, 0)
            raise _timeout_error(folder, seconds)
        time.sleep(pause)


def _require_success(folder: Path, exit_code: int, output: bytes) -> None:
    reason = output.decode("utf-8", "replace").strip()
    if exit_code == _EXIT_REFUSED and reason:
        raise BundleError(reason)
    if exit_code < 0:
        raise BundleError(
            f"{folder} crashes the process that loads it ({Signals(-exit_code).name}): train the model again"
        )
    if exit_code:
        raise BundleError(f"{folder} cannot be checked (exit code {exit_code})")


def _timeout_error(folder: Path, seconds: float) -> BundleError:
    return BundleError(f"{folder} does not load within {seconds:g} s: train the model again")


if __name__ == "__main__":
    _check_and_exit(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
