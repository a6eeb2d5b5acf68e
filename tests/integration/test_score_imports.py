"""Scoring a table uses the model only: no metrics, no shared counters, no web framework."""

import json
import subprocess
import sys
from pathlib import Path

from support.gunicorn_server import ROOT, environment
from support.known_animals import LLAMA, NAMES

PROGRAM = """
import json, sys
from service.score.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit as exit:
    assert not exit.code, exit.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def test_scoring_does_not_import_monitoring(tmp_path: Path) -> None:
    """Importing it would allocate shared counters for nothing."""
    (tmp_path / "rows.csv").write_text(",".join(NAMES) + "\n" + ",".join(map(str, LLAMA)) + "\n")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "rows.csv"), str(tmp_path / "scored.csv")]
    completed = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert completed.returncode == 0, completed.stderr
    assert "llama" in (tmp_path / "scored.csv").read_text()
    modules = json.loads(completed.stderr.splitlines()[-1])
    assert "service.inference.model" in modules
    assert [
        name for name in modules if name.startswith(("service.monitoring", "service.app", "flask", "gunicorn"))
    ] == []
