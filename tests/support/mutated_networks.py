"""Networks with random bytes changed and valid hashes: `python -m support.mutated_networks 10000` checks so many.

A process checks many of them, because starting Python takes longer than a check. If a mutant ends the process, another
one goes on with the next. The process prints a line with the verdict on each mutant.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np

from models.bundle import MANIFEST, MODEL_LITERT, WEIGHTS, Bundle, BundleError
from service.arrays import Array
from service.http.errors import StartupError
from service.inference import engine, sandbox
from service.settings import SHIPPED_STORE

SHIPPED = SHIPPED_STORE / "animals" / "1"
UNCHANGED, CHANGED, REFUSED = "same outputs", "other outputs", "refused"
_ROOT = Path(__file__).resolve().parent.parent.parent
_SECONDS = 5


def mutate(content: bytes, number: int) -> bytes:
    """Change one to eight bytes; in addition truncate one mutant in twenty, and zero 16 bytes of another."""
    random = Random(number)  # noqa: S311 (a reproducible seed, no secret)
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(changed))] ^= random.choice([1 << random.randrange(8), random.randrange(1, 256)])
    start = random.randrange(len(changed))
    if number % 20 == 0:
        del changed[start:]
    elif number % 20 == 10:
        changed[start : start + 16] = bytes(16)
    return bytes(changed)


def write_bundle(store: Path, content: bytes, version: int = 1) -> Path:
    """Write the shipped bundle with ``content`` as its LiteRT file and a manifest that lists it."""
    folder = store / "animals" / str(version)
    if not folder.exists():
        shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("report", "*.keras"))
    manifest = json.loads((SHIPPED / MANIFEST).read_text()) | {"version": version}
    manifest["files"] = {
        WEIGHTS: manifest["files"][WEIGHTS],
        MODEL_LITERT: {"size": len(content), "sha256": sha256(content).hexdigest()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / MODEL_LITERT).write_bytes(content)
    return folder


def check_mutants(count: int, first: int = 0) -> Counter[str]:
    """Count the verdicts on ``count`` mutants; that on a mutant that ends its process names the signal."""
    verdicts: Counter[str] = Counter()
    number = first
    while number < first + count:
        command = [sys.executable, "-m", "support.mutated_networks", str(number), str(first + count)]
        child = subprocess.Popen(
            command,
            cwd=_ROOT / "tests",
            env={"PYTHONPATH": str(_ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with child:
            assert child.stdout
            for line in child.stdout:
                verdicts[line.decode().strip()] += 1
                number += 1
        if child.returncode:
            assert child.returncode < 0, f"mutant {number}: exit code {child.returncode}"
            name = signal.Signals(-child.returncode).name
            verdicts["hangs" if name == "SIGALRM" else f"ends the process by {name}"] += 1
            number += 1
    return verdicts


def _check_range(numbers: range) -> None:
    content = (SHIPPED / MODEL_LITERT).read_bytes()
    with tempfile.TemporaryDirectory() as store:
        rows, expected = _compute_expected()
        sandbox.limit_resources(60 * 60)
        for number in numbers:
            signal.alarm(_SECONDS)  # whose default action ends the process
            sys.stdout.write(_judge(write_bundle(Path(store), mutate(content, number)), rows, expected) + "\n")
            sys.stdout.flush()


def _compute_expected() -> tuple[Array, dict[str, Array]]:
    """Draw rows from the whole feature space, and compute the shipped network's outputs by layer."""
    shipped = Bundle.read(SHIPPED)
    manifest = shipped.manifest
    bounds = np.array([(feature.minimum, feature.maximum) for feature in manifest.features])
    spread = np.random.default_rng(0).uniform(bounds[:, 0], bounds[:, 1], (200, len(bounds)))
    rows = np.concatenate([manifest.background, spread]).astype(np.float32)
    return rows, engine.load("litert", shipped).run(rows, [layer.name for layer in manifest.layers])


def _judge(folder: Path, rows: Array, expected: dict[str, Array]) -> str:
    mutant = Bundle.read(folder)
    try:
        sandbox.require_sound(mutant, "litert")
    except (BundleError, StartupError):
        return REFUSED
    outputs = engine.load("litert", mutant).run(rows, list(expected))
    agrees = all(
        np.allclose(outputs[name], values, rtol=1e-3, atol=1e-3 * np.abs(values).max(initial=1))
        for name, values in expected.items()
    )
    return UNCHANGED if agrees else CHANGED


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _check_range(range(int(sys.argv[1]), int(sys.argv[2])))
    else:
        sys.stdout.writelines(
            f"{count:6} {verdict}\n" for verdict, count in check_mutants(int(sys.argv[1])).most_common()
        )
