"""`python tests/fuzz/run.py native 60`: a minute of looking for bytes that a parser does not bear.

atheris watches which branches of our code the bytes reach, and keeps those that reach new ones in .fuzz/<target>. What
fails is written to tests/fuzz/corpus/<target>, where tests/test_fuzz.py asks for it again.
"""

import logging
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
with atheris.instrument_imports(
    include=["service", "models.bundle", "models.manifest", "gunicorn.asgi.parser", "json"]
):
    from fuzzing import TARGETS

logging.disable()
name, seconds = sys.argv[1:]
target, found = TARGETS[name], ROOT / "tests" / "fuzz" / "corpus" / name
reached = ROOT / ".fuzz" / name
found.mkdir(parents=True, exist_ok=True)
reached.mkdir(parents=True, exist_ok=True)
for number, seed in enumerate(target.seeds):
    (reached / f"seed-{number}").write_bytes(seed)
options = [
    f"-max_total_time={seconds}",
    f"-artifact_prefix={found}/",
    "-max_len=20000",
    "-timeout=20",
    "-print_final_stats=1",
]
atheris.Setup([sys.argv[0], *options, str(reached), str(found)], target.feed)
atheris.Fuzz()
