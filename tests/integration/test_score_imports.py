"""Scoring a table uses the model only: no metrics, no shared counters, no web framework."""

import json
import shutil
import subprocess
import sys
import tarfile
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


def test_archive_for_spark_executors_has_all_that_scoring_imports(tmp_path: Path) -> None:
    """Outside the checkout, which has more modules; its packages stand for those that the archive installs."""
    (tmp_path / "menagerie").mkdir()
    shutil.copy(ROOT / "requirements" / "score.txt", tmp_path)  # as if they were installed
    pack = [sys.executable, "deploy/spark/pack.py", str(tmp_path)]
    subprocess.run(pack, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, check=True, timeout=120)
    with tarfile.open(tmp_path / "menagerie.tar") as archive:
        archive.extractall(tmp_path / "executor", filter="data")
    program = """
from service.score.arrow_operator import ArrowOperator
from service.score.model_loader import load_model
from service.settings import Settings
model = load_model(Settings())
print(model.bundle.folder, *model.labels)
"""
    command = [sys.executable, "-c", program]
    completed = subprocess.run(
        command, cwd=tmp_path / "executor", env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert completed.returncode == 0, completed.stderr
    folder = tmp_path / "executor" / "models" / "store" / "animals" / "1"
    assert completed.stdout.split() == [str(folder), "cat", "dog", "llama", "lizard"]
