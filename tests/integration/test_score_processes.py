"""Scoring a table in a process of its own: streamed, stopped, killed, and its memory."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from support.arrow_tables import animals, write
from support.gunicorn_server import ROOT, environment
from support.known_animals import KNOWN

from service.inference.model import Model

COMMAND = [sys.executable, "-m", "service.score"]


def test_a_table_streams_from_input_to_output(model: Model, tmp_path: Path) -> None:
    """Answers come out while rows still come in, in order, and whoever reads no further ends it without noise."""
    table = animals(model, 40_000)
    file = io.BytesIO()
    csv.write_csv(table, file)
    line = [*COMMAND, "-", "-", "--from", "csv", "--only-answers", "--rejects", str(tmp_path / "bad.csv")]
    with subprocess.Popen(
        line, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        stdin = process.stdin
        assert stdin
        assert process.stdout
        assert process.stderr

        def feed() -> None:
            with suppress(BrokenPipeError):
                while True:
                    stdin.write(file.getvalue().partition(b"\n")[2])

        stdin.write(file.getvalue())
        feeder = threading.Thread(target=feed)
        feeder.start()
        assert process.stdout.readline().startswith(b'"label","confidence",')
        assert [json.loads(process.stdout.readline().split(b",")[0]) for _ in KNOWN] == list(KNOWN)
        process.stdout.close()
        assert process.wait(60) == 2
        feeder.join(60)
        assert process.stderr.read().endswith(b"whoever read the answers left\n")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_there_is_whole(model: Model, tmp_path: Path, sent: signal.Signals) -> None:
    """Stopped at any moment, a file of before stays as it was, and a folder has whole parts only."""
    table = write(animals(model, 100_000), tmp_path / "t.csv")
    (tmp_path / "out.parquet").write_bytes(b"before")
    one = [*COMMAND, str(table), str(tmp_path / "out.parquet")]
    many = [*COMMAND, str(table), str(tmp_path / "out"), "--part-rows", "4000", "--to", "parquet"]
    for line, begun in ((one, ".out.parquet.writing"), (many, "out/t-00003.parquet")):
        with subprocess.Popen(line, cwd=ROOT, env=environment(), stderr=subprocess.PIPE) as process:
            while not (tmp_path / begun).exists():
                assert process.poll() is None
                time.sleep(0.001)
            process.send_signal(sent)
            process.wait(60)
    assert (tmp_path / "out.parquet").read_bytes() == b"before"
    parts = sorted((tmp_path / "out").glob("t-*"))
    assert 4 <= len(parts) < 25
    assert {pq.read_metadata(part).num_rows for part in parts} == {4000}
    subprocess.run(many, cwd=ROOT, env=environment(), check=True, capture_output=True)
    assert pq.read_table(tmp_path / "out", columns=["id"])["id"].to_pylist() == list(map(str, range(100_000)))
    assert not list(tmp_path.rglob("out/.*"))


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_silent_input_does_not_keep_it_from_stopping(model: Model, tmp_path: Path, threads: str) -> None:
    """Whoever writes to the standard input may pause for ever: a signal ends the run all the same."""
    line = [*COMMAND, "-", str(tmp_path / "out.csv"), "--from", "csv", "--threads", threads]
    with subprocess.Popen(line, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        csv.write_csv(animals(model, 100_000), process.stdin)
        while not (tmp_path / ".out.csv.writing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(1)  # until nothing is left to do but to read
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
        assert b"stopped; " in process.stderr.read()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_memory_does_not_grow_with_the_table(
    model: Model, tmp_path: Path, kind: str, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten times the rows in the same memory; with --long, a thousand times, 10^8 of them (17 GB of Parquet)."""
    block = animals(model, 50_000)
    most = {}
    for count in (10**5, 10**6, 10**7, 10**8) if long else (10**5, 10**6):
        used = (streamed if kind == "arrow" else filed)(block, count, tmp_path)
        most[count] = used.ru_maxrss
        with capsys.disabled():
            if long:
                print(f"\n{count:,} rows: {used.ru_maxrss // 1000} MB, {used.ru_utime + used.ru_stime:.1f} s")  # noqa: T201
    growth = 1.15 if kind == "arrow" else 1.2  # the index of a Parquet file grows with its row groups
    assert max(most.values()) < growth * most[10**6]


def streamed(block: pa.Table, count: int, folder: Path) -> resource.struct_rusage:
    """What it took to answer so many rows, made while they are read."""
    line = [*COMMAND, "-", "-", "--from", "arrow", "--rejects", str(folder / "bad.arrow")]
    with subprocess.Popen(
        line, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        with pa.ipc.new_stream(process.stdin, block.schema) as writer:
            for _ in range(count // len(block)):
                writer.write_table(block)
        process.stdin.close()
        return used(process, count)


def filed(block: pa.Table, count: int, folder: Path) -> resource.struct_rusage:
    """The same from Parquet of a single row group, the hardest, to Parquet."""
    table, out = folder / "t.parquet", folder / "out.parquet"
    pq.write_table(pa.concat_tables([block] * (count // len(block))), table, use_dictionary=False, row_group_size=10**7)
    with subprocess.Popen(
        [*COMMAND, str(table), str(out)], cwd=ROOT, env=environment(), stderr=subprocess.PIPE
    ) as process:
        try:
            return used(process, count)
        finally:
            table.unlink()
            out.unlink(missing_ok=True)


def used(process: subprocess.Popen[bytes], count: int) -> resource.struct_rusage:
    """What a run took that answers so many rows."""
    assert process.stderr
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert f"{count:,} rows: {count:,} answered" in said
    return used
