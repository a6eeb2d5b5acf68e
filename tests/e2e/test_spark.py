"""A table on a real Spark cluster, each of its parts a process of its own, of which one is killed."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.gunicorn_server import ROOT, environment, free_port
from support.known_animals import NAMES

from benchmarks.environments import Environment, InstallError
from service.inference.model import Model
from service.score.__main__ import main

SPARK = Environment(ROOT / ".clients" / "spark", ROOT / "deploy" / "spark" / "requirements.txt", complete=True)
INSTALL_SECONDS = 600
START_SECONDS = 120
RUN_SECONDS = 300
FRUGAL = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # these six Java machines live for less than a minute
OF_DAEMONS = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": FRUGAL, "SPARK_LOCAL_IP": "127.0.0.1"}
OF_A_JOB = {
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": FRUGAL,
    "spark.driver.extraJavaOptions": FRUGAL,
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}


class Cluster(NamedTuple):
    """A running cluster: where its master listens, its workers' processes, and what to start programs with."""

    master: str
    workers: list[subprocess.Popen[bytes]]
    variables: dict[str, str]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not shutil.which("java"):
        pytest.skip("no Java here: install Debian's default-jre-headless")
    try:
        python = SPARK.make(INSTALL_SECONDS)
    except InstallError as error:
        pytest.skip(f"Spark {error}")
    home = next(python.parent.parent.glob("lib/*/site-packages/pyspark"))
    folder = tmp_path_factory.mktemp("spark")
    variables = environment(SPARK_HOME=str(home), SPARK_LOCAL_DIRS=str(folder), **OF_DAEMONS)
    port = free_port()
    with ExitStack() as running:
        master = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port)]
        running.enter_context(_daemon([*master, "--webui-port", "0"], folder, variables, "I have been elected leader"))
        worker = ["org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g"]
        line = [*worker, "--webui-port", "0", "--work-dir", str(folder), f"spark://127.0.0.1:{port}"]
        workers = [
            running.enter_context(_daemon(line, folder, variables, "Successfully registered with master"))
            for _ in range(2)
        ]
        yield Cluster(f"spark://127.0.0.1:{port}", workers, variables)


@contextmanager
def _daemon(line: list[str], folder: Path, variables: dict[str, str], ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Spark's, once its log says that it is ``ready``; killed at the end with all that it started."""
    log = folder / f"{line[0].rpartition('.')[2]}-{time.monotonic_ns()}.log"
    command = [f"{variables['SPARK_HOME']}/bin/spark-class", *line]
    with log.open("wb") as said, subprocess.Popen(command, env=variables, stdout=said, stderr=said) as process:
        try:
            until = time.monotonic() + START_SECONDS
            while ready not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all below it, at once, as if its machine had lost power."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.wait(30)


def tables(model: Model, folder: Path, files: int, rows: int) -> int:
    """A folder of Parquet, each row with a number; how many of its rows are good, which are nearly all."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    known = np.array(model.manifest.background)
    good = 0
    for number in range(files):
        values = known[rng.integers(0, len(known), rows)]
        bad = rng.random(rows) < 0.01
        values[bad, 0] = -1
        good += int((~bad).sum())
        table = {"id": np.arange(rows) + number * rows} | dict(zip(NAMES, values.T, strict=True))
        pq.write_table(pa.table(table), folder / f"{number}.parquet")
    return good


def test_a_worker_killed_in_the_middle_costs_no_row(spark: Cluster, model: Model, tmp_path: Path, long: bool) -> None:
    """Every row is there once, answered as the command line answers or rejected, and rejected rows are counted once."""
    files, rows = (40, 50_000) if long else (30, 10_000)
    good = tables(model, tmp_path / "in", files, rows)
    a_file_a_task = {"spark.sql.files.maxPartitionBytes": str((tmp_path / "in" / "0.parquet").stat().st_size)}
    line = submit(spark.master, OF_A_JOB | a_file_a_task, tmp_path / "in", tmp_path / "out")
    variables = spark.variables | ({} if long else {"IN_PLACE": "1"})
    with subprocess.Popen(line, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        until = time.monotonic() + RUN_SECONDS
        while len(list((tmp_path / "out").glob("_temporary/0/task_*"))) < 4:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        kill(spark.workers[0])
        said, log = driver.communicate(timeout=RUN_SECONDS)
    assert driver.returncode == 0, log
    total = files * rows
    assert "ExecutorLostFailure" in log or "Lost executor" in log
    counts = f"{total:,} rows: {good:,} answered, {total - good:,} rejected"
    assert said.endswith(f"\n{counts}\n  {total - good:,} body_mass_kg out_of_bounds\n")  # after Spark's own words

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
        refused(spark, tmp_path)


def submit(master: str, settings: dict[str, str], *given: object) -> list[str]:
    """The one command."""
    said = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    return [str(ROOT / "deploy" / "spark" / "submit"), "--master", master, *said, "--", *map(str, given)]


def refused(spark: Cluster, folder: Path) -> None:
    """A column that is not there ends a job with a line, before anything is computed, and without a folder."""
    line = submit(spark.master, OF_A_JOB, folder / "in", folder / "none", "--map", "body_mass_kg=mass")
    ran = subprocess.run(line, env=spark.variables, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert ran.returncode == 2
    assert re.search(r"^no column mass: did you mean body_mass_kg\?", ran.stdout + ran.stderr, re.MULTILINE)
    assert not (folder / "none").exists()
