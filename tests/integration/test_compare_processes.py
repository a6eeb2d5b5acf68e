"""`service.score --compare` as a process: what it prints is what both versions' scored tables say, joined by hand."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from scipy.stats import binomtest
from support.arrow_tables import read, write
from support.gunicorn_server import ROOT, environment
from support.handmade_bundles import Network, publish

from models import bundle
from models.feature import Feature

SCORE = [sys.executable, "-m", "service.score"]
FEATURES = [
    Feature(name="height", unit="cm", minimum=0, maximum=120),
    Feature(name="mass", unit="kg", minimum=0, maximum=100),
]
LABELS = ["dog", "cat", "bird"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions that differ in the biases of the last layer, a third whose network is damaged, and a table."""
    folder = tmp_path_factory.mktemp("store")
    network = Network.random((2, 6, 3), 18)
    network.normal = np.array([60.0, 50.0]), np.array([30.0, 25.0])
    for shift in (0.0, 0.4, 0.8):
        network.biases[-1] = network.biases[-1] + np.array([0, shift, 0])
        third = publish(folder, network, features=FEATURES, labels=LABELS).folder
    (third / bundle.MODEL_LITERT).write_bytes(b"damaged")
    rng = np.random.default_rng(5)
    columns = {"height": rng.uniform(0, 125, 5_000), "mass": rng.uniform(0, 100, 5_000)}
    write(pa.table({"id": range(5_000), **columns}), folder / "t.parquet")
    return folder


def run(store: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    variables = {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_MODEL_NAME": "handmade", **variables}
    return subprocess.run(
        command, cwd=ROOT, env=environment() | variables, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("program", [SCORE, [sys.executable, "-m", "menagerie", "score"]], ids=["module", "command"])
def test_report_is_that_of_both_scored_tables(store: Path, tmp_path: Path, program: list[str]) -> None:
    """Agreement, interval, changes, labels and ranges."""
    table = str(store / "t.parquet")
    compared = run(store, *program, "--compare", "1", "2", table, "--json")
    assert compared.returncode == 0, compared.stderr
    report = orjson.loads(compared.stdout)
    scored = []
    for version in ("1", "2"):
        path = tmp_path / f"{version}.parquet"
        assert run(store, *program, table, str(path), MENAGERIE_MODEL_VERSION=version).returncode == 0
        scored.append({row["id"]: row for row in read(path)})
    pairs = [(row, scored[1][key]) for key, row in scored[0].items()]
    changes = Counter((old["label"], new["label"]) for old, new in pairs if old["label"] != new["label"])
    agreeing = len(pairs) - changes.total()
    assert report["rows"] == len(pairs) < 5_000
    assert report["rejected"] == {"rows": 5_000 - len(pairs), "faults": {"height out_of_bounds": 5_000 - len(pairs)}}
    interval = binomtest(agreeing, len(pairs)).proportion_ci(method="wilson")
    expected = {"rows": agreeing, "share": agreeing / len(pairs), "low": interval.low, "high": interval.high}
    assert report["agree"] == pytest.approx(expected)
    assert report["verdict"].startswith("version 2 agrees with 1 on 9")
    (output,) = report["outputs"]
    assert {(change["from"], change["to"]): change["rows"] for change in output["changes"]} == changes
    assert len(changes) > 1
    for label, counts in output["labels"].items():
        assert counts["serving"] == sum(old["label"] == label for old, _ in pairs)
        assert counts["shadow"] == sum(new["label"] == label for _, new in pairs)
        shift = np.mean([new[f"probability_{label}"] - old[f"probability_{label}"] for old, new in pairs])
        assert counts["mean_shift"] == pytest.approx(shift, abs=1e-6)
    assert output["ranges"]
    for place in output["ranges"]:
        above, upto = (place[key] if place[key] is not None else edge for key, edge in (("above", -1), ("upto", 999)))
        within = [(old, new) for old, new in pairs if above < np.float32(old[place["feature"]]) <= upto]
        assert place["rows"] == len(within)
        assert place["changed"] == sum(old["label"] != new["label"] for old, new in within)


def test_a_damaged_version_is_refused(store: Path) -> None:
    """By the check that every version has to pass before it is loaded."""
    compared = run(store, *SCORE, "--compare", "1", "3", str(store / "t.parquet"))
    assert compared.returncode == 2
    assert "3/model.tflite does not match manifest.json" in compared.stderr
    assert not compared.stdout


def test_text_for_people(store: Path) -> None:
    """Standard output has the report alone, standard error the summary."""
    compared = run(store, *SCORE, "--compare", "1", "2", str(store / "t.parquet"))
    assert compared.returncode == 0
    assert compared.stdout.startswith("version 2 agrees with 1 on 9")
    assert "rows compared" in compared.stdout
    assert "rejected (at " in compared.stderr
    quiet = run(store, *SCORE, "--compare", "1", "2", str(store / "t.parquet"), "--quiet")
    assert (quiet.stdout, "rejected (at " in quiet.stderr) == (compared.stdout, False)


def test_an_interrupted_comparison_prints_no_report(store: Path) -> None:
    """SIGTERM while it waits for rows."""
    variables = {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_MODEL_NAME": "handmade"}
    with subprocess.Popen(
        [*SCORE, "--compare", "1", "2", "-", "--from", "csv"],
        cwd=ROOT,
        env=environment() | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"height,mass\n1,2\n")
        process.stdin.flush()
        while b"XNNPACK" not in process.stderr.readline():  # a version is loaded
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        assert process.stderr.read().endswith(b"stopped: there is no report\n")
        assert not process.stdout.read()


def test_memory_does_not_grow_with_the_table(store: Path) -> None:
    """Ten times the rows in the same memory."""
    rng = np.random.default_rng(5)
    block = pa.record_batch({name: rng.uniform(0, 100, 50_000) for name in ("height", "mass")})
    peaks = []
    for batches in (4, 40):
        with subprocess.Popen(
            [*SCORE, "--compare", "1", "2", "-", "--from", "arrow", "--json"],
            cwd=ROOT,
            env=environment() | {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_MODEL_NAME": "handmade"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin
            assert process.stdout
            with pa.ipc.new_stream(process.stdin, block.schema) as writer:
                for _ in range(batches):
                    writer.write_batch(block)
            process.stdin.close()
            assert orjson.loads(process.stdout.read())["rows"] == 50_000 * batches
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.15 * peaks[0]
