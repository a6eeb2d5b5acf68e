"""`python tests/fuzz/run.py native 60` fuzzes one target with atheris for a minute.

Inputs that reach new branches are kept in .fuzz/<target>. An input that fails is written to
tests/fuzz/corpus/<target>, and from then on tests/fuzz/test_fuzz.py checks it.
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
    from support.fuzz_targets import TARGETS

logging.disable()
name, seconds = sys.argv[1:]
target = TARGETS[name]
failures, corpus = ROOT / "tests" / "fuzz" / "corpus" / name, ROOT / ".fuzz" / name
failures.mkdir(parents=True, exist_ok=True)
corpus.mkdir(parents=True, exist_ok=True)
for number, seed in enumerate(target.seeds):
    (corpus / f"seed-{number}").write_bytes(seed)
options = [
    f"-max_total_time={seconds}",
    f"-artifact_prefix={failures}/",
    "-max_len=20000",
    "-timeout=20",
    "-print_final_stats=1",
]
atheris.Setup([sys.argv[0], *options, str(corpus), str(failures)], target.check)
atheris.Fuzz()
