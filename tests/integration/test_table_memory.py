"""Reading a user's table takes a few times its size in memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from support.gunicorn_server import ROOT

PROGRAM = """
import json, resource, sys
from pathlib import Path
from models.options import TableOptions
from models.tables.reader import read_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = read_table(TableOptions(table=Path(sys.argv[1]), label="kind"))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([len(table.individuals.rows), 1024 * (after - before)]))
"""


def test_memory_is_a_few_times_the_size_of_the_file(tmp_path: Path) -> None:
    """It was 16 times, as each cell was an object of Python."""
    rng = np.random.default_rng(0)
    rows = [",".join(f"{value:.4f}" for value in row) for row in rng.normal(0, 100, (2000, 20))]
    block = "".join(f"{row},{'abc'[i % 3]}\n" for i, row in enumerate(rows))
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"f{i}" for i in range(20)) + ",kind\n" + 60 * block)
    command = [sys.executable, "-c", PROGRAM, str(path)]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert completed.returncode == 0, completed.stderr
    count, used = json.loads(completed.stdout)
    assert count == 120_000
    assert used < 7 * path.stat().st_size
