"""Networks with random bytes changed, each vouched for anew: `python -m support.mutated_networks 10000` tries as many.

They are tried many to a process, which is begun again when one of them has ended it: starting Python takes longer than
a trial. Each verdict is a line: the mutant's number and what became of it.
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
from service.http.errors import StartupError
from service.inference import engine, sandbox
from service.prediction import Array
from service.settings import SHIPPED_STORE

SHIPPED = SHIPPED_STORE / "animals" / "1"
ALIKE, OTHER, REFUSED = "answers alike", "answers otherwise", "refused"
_ROOT = Path(__file__).resolve().parent.parent.parent
_SECONDS = 5


def mutate(content: bytes, number: int) -> bytes:
    """One to eight bytes changed; every tenth mutant is cut off as well, or has a stretch of zeros."""
    random = Random(number)  # noqa: S311 (it need not be a secret)
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(changed))] ^= random.choice([1 << random.randrange(8), random.randrange(1, 256)])
    start = random.randrange(len(changed))
    if number % 20 == 0:
        del changed[start:]
    elif number % 20 == 10:
        changed[start : start + 16] = bytes(16)
    return bytes(changed)


def place(home: Path, content: bytes, version: int = 1) -> Path:
    """The shipped bundle in ``home``, with a network of these bytes and a manifest that vouches for them."""
    folder = home / "animals" / str(version)
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


def run(count: int, first: int = 0) -> Counter[str]:
    """How many of ``count`` mutants ended in which way; a process that one of them ended is told by its signal."""
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


def _try_many(numbers: range) -> None:
    content = (SHIPPED / MODEL_LITERT).read_bytes()
    with tempfile.TemporaryDirectory() as home:
        rows, expected = _expected()
        sandbox.limit_resources(60 * 60)
        for number in numbers:
            signal.alarm(_SECONDS)  # whose default is to end the process, whatever it is in
            sys.stdout.write(_verdict(place(Path(home), mutate(content, number)), rows, expected) + "\n")
            sys.stdout.flush()


def _expected() -> tuple[Array, dict[str, Array]]:
    """Rows from all over the schema, and what the network that ships answers to them, by layer."""
    found = Bundle.read(SHIPPED)
    bounds = np.array([(feature.minimum, feature.maximum) for feature in found.manifest.features])
    spread = np.random.default_rng(0).uniform(bounds[:, 0], bounds[:, 1], (200, len(bounds)))
    rows = np.concatenate([found.manifest.background, spread]).astype(np.float32)
    return rows, engine.load("litert", found).run(rows, [layer.name for layer in found.manifest.layers])


def _verdict(folder: Path, rows: Array, expected: dict[str, Array]) -> str:
    found = Bundle.read(folder)
    try:
        sandbox.require_sound(found, "litert")
    except (BundleError, StartupError):
        return REFUSED
    outputs = engine.load("litert", found).run(rows, list(expected))
    alike = all(
        np.allclose(outputs[name], values, rtol=1e-3, atol=1e-3 * np.abs(values).max(initial=1))
        for name, values in expected.items()
    )
    return ALIKE if alike else OTHER


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _try_many(range(int(sys.argv[1]), int(sys.argv[2])))
    else:
        sys.stdout.writelines(f"{count:6} {verdict}\n" for verdict, count in run(int(sys.argv[1])).most_common())
