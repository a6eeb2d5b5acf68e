"""A table scored on a real Spark cluster of several processes, one of which is killed."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.gunicorn_server import ROOT, environment, free_port
from support.known_animals import NAMES
from support.mixed_bundles import FEATURES, publish, raw_rows

from benchmarks.environments import Environment, InstallError
from service.inference.model import Model
from service.score.__main__ import main

SPARK = Environment(ROOT / ".clients" / "spark", ROOT / "deploy" / "spark" / "requirements.txt", complete=True)
INSTALL_SECONDS = 600
START_SECONDS = 120
RUN_SECONDS = 300
LOW_MEMORY_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # six JVMs that live for less than a minute
DAEMON_ENVIRONMENT = {
    "SPARK_DAEMON_MEMORY": "256m",
    "SPARK_DAEMON_JAVA_OPTS": LOW_MEMORY_JAVA,
    "SPARK_LOCAL_IP": "127.0.0.1",
}
JOB_CONFIGURATION = {
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": LOW_MEMORY_JAVA,
    "spark.driver.extraJavaOptions": LOW_MEMORY_JAVA,
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}


class Cluster(NamedTuple):
    """A running cluster: the master's URL, the workers' processes, and environment variables for Spark's programs."""

    master: str
    workers: list[subprocess.Popen[bytes]]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not shutil.which("java"):
        pytest.skip("no Java here: install Debian's default-jre-headless")
    try:
        python = SPARK.install(INSTALL_SECONDS)
    except InstallError as error:
        pytest.skip(f"Spark {error}")
    home = next(python.parent.parent.glob("lib/*/site-packages/pyspark"))
    folder = tmp_path_factory.mktemp("spark")
    spark_environment = environment(SPARK_HOME=str(home), SPARK_LOCAL_DIRS=str(folder), **DAEMON_ENVIRONMENT)
    port = free_port()
    with ExitStack() as stack:
        master = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port)]
        stack.enter_context(
            _daemon([*master, "--webui-port", "0"], folder, spark_environment, "I have been elected leader")
        )
        worker = ["org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g"]
        worker = [*worker, "--webui-port", "0", "--work-dir", str(folder), f"spark://127.0.0.1:{port}"]
        workers = [
            stack.enter_context(_daemon(worker, folder, spark_environment, "Successfully registered with master"))
            for _ in range(2)
        ]
        yield Cluster(f"spark://127.0.0.1:{port}", workers, spark_environment)


@contextmanager
def _daemon(command: list[str], folder: Path, env: dict[str, str], ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Spark process, from when its log contains ``ready``; killed at the end with its child processes."""
    log = folder / f"{command[0].rpartition('.')[2]}-{time.monotonic_ns()}.log"
    spark_class = f"{env['SPARK_HOME']}/bin/spark-class"
    with (
        log.open("wb") as file,
        subprocess.Popen([spark_class, *command], env=env, stdout=file, stderr=file) as process,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while ready not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its descendants with SIGKILL, as if the machine had lost power."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.wait(30)


def write_tables(model: Model, folder: Path, files: int, rows: int) -> int:
    """Write a folder of Parquet in which each row has an ``id``; return how many rows are valid, about 99 %."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    background = np.array(model.manifest.background)
    valid_rows = 0
    for number in range(files):
        values = background[rng.integers(0, len(background), rows)]
        invalid = rng.random(rows) < 0.01
        values[invalid, 0] = -1
        valid_rows += int((~invalid).sum())
        table = {"id": np.arange(rows) + number * rows} | dict(zip(NAMES, values.T, strict=True))
        pq.write_table(pa.table(table), folder / f"{number}.parquet")
    return valid_rows


def write_mixed_table(folder: Path) -> None:
    """Write a folder of Parquet with texts in dictionaries, codes, truth values, gaps and, in some rows, faults."""
    faults: dict[int, dict[str, Any]] = {
        0: {"island": "biscoe"},
        50: {"island": None},
        100: {"ring": 3},
        150: {"sex": ""},
        200: {"year": None},
        250: {"is_breeding": None},
    }
    names = [feature.name for feature in FEATURES]
    rows = [
        {"id": index} | dict(zip(names, row, strict=True)) | faults.get(index, {})
        for index, row in enumerate(raw_rows(500))
    ]
    table = pa.Table.from_pylist(rows)
    for name in ("island", "sex", "ring"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].dictionary_encode())
    folder.mkdir()
    pq.write_table(table, folder / "0.parquet")


def test_categories_and_missing_values(spark: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row has the command line's prediction, warnings and faults, and its values as they were.

    Spark runs in one process here, which spares the start of executors; the other test has those of a cluster.
    """
    publish(tmp_path / "store")
    write_mixed_table(tmp_path / "in")
    model = {"MENAGERIE_MODEL_STORE": str(tmp_path / "store"), "MENAGERIE_MODEL_NAME": "mixed"}
    completed = subprocess.run(
        submit("local[1]", JOB_CONFIGURATION, tmp_path / "in", tmp_path / "out"),
        env=spark.environment | model | {"IN_PLACE": "1"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert "500 rows: 494 predicted, 6 rejected\n" in completed.stdout

    for name, value in model.items():
        monkeypatch.setenv(name, value)
    assert main([str(tmp_path / "in"), str(tmp_path / "local"), "--quiet"]) == 0
    for outcome, local in (("answered", "local"), ("rejected", "local.rejects")):
        expected = pq.read_table(tmp_path / local).sort_by("id").to_pylist()
        found = pq.read_table(tmp_path / "out" / f"outcome={outcome}").sort_by("id").select(expected[0]).to_pylist()
        assert found == expected


def test_a_killed_worker_costs_no_row(spark: Cluster, model: Model, tmp_path: Path, long: bool) -> None:
    """Every row is in the output once, with the command line's prediction or rejected, and is counted once."""
    files, rows = (40, 50_000) if long else (30, 10_000)
    valid_rows = write_tables(model, tmp_path / "in", files, rows)
    one_file_per_task = {"spark.sql.files.maxPartitionBytes": str((tmp_path / "in" / "0.parquet").stat().st_size)}
    command = submit(spark.master, JOB_CONFIGURATION | one_file_per_task, tmp_path / "in", tmp_path / "out")
    job_environment = spark.environment | ({} if long else {"IN_PLACE": "1"})
    with subprocess.Popen(
        command, env=job_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as driver:
        deadline = time.monotonic() + RUN_SECONDS
        while len(list((tmp_path / "out").glob("_temporary/0/task_*"))) < 4:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kill(spark.workers[0])
        output, log = driver.communicate(timeout=RUN_SECONDS)
    assert driver.returncode == 0, log
    total = files * rows
    assert "ExecutorLostFailure" in log or "Lost executor" in log
    counts = f"{total:,} rows: {valid_rows:,} predicted, {total - valid_rows:,} rejected"
    assert output.endswith(f"\n{counts}\n  {total - valid_rows:,} body_mass_kg out_of_bounds\n")  # after Spark's lines

    answered = pq.read_table(tmp_path / "out" / "outcome=answered").sort_by("id")
    rejected = pq.read_table(tmp_path / "out" / "outcome=rejected", columns=["id", "faults"])
    assert sorted(answered["id"].to_pylist() + rejected["id"].to_pylist()) == list(range(total))
    assert main([str(tmp_path / "in"), str(tmp_path / "local"), "--quiet"]) == 0
    local = pq.read_table(tmp_path / "local").sort_by("id")
    numbers = [name for name in local.schema.names if name.startswith(("confidence", "probability"))]
    assert answered.select(numbers).equals(local.select(numbers))
    assert answered["label"].to_pylist() == local["label"].cast(pa.string()).to_pylist()
    assert answered["warnings"].to_pylist() == local["warnings"].to_pylist()
    if long:
        assert_missing_column_is_refused(spark, tmp_path)


def submit(master: str, configuration: dict[str, str], *arguments: object) -> list[str]:
    """The command that submits a job."""
    options = [part for name, value in configuration.items() for part in ("--conf", f"{name}={value}")]
    return [str(ROOT / "deploy" / "spark" / "submit"), "--master", master, *options, "--", *map(str, arguments)]


def assert_missing_column_is_refused(spark: Cluster, folder: Path) -> None:
    """The job ends with one line, before anything is computed, and leaves no folder."""
    command = submit(spark.master, JOB_CONFIGURATION, folder / "in", folder / "none", "--map", "body_mass_kg=mass")
    completed = subprocess.run(
        command, env=spark.environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert completed.returncode == 2
    assert re.search(r"^no column mass: did you mean body_mass_kg\?", completed.stdout + completed.stderr, re.MULTILINE)
    assert not (folder / "none").exists()
