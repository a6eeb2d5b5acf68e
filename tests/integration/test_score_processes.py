"""`python -m service.score` as a process: streaming, signals and memory."""

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


def test_standard_input_is_streamed_to_standard_output(model: Model, tmp_path: Path) -> None:
    """Predictions appear while rows still arrive; the job ends with one line if the reader closes the pipe."""
    table = animals(model, 40_000)
    content = io.BytesIO()
    csv.write_csv(table, content)
    command = [*COMMAND, "-", "-", "--from", "csv", "--only-answers", "--rejects", str(tmp_path / "bad.csv")]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        stdin = process.stdin
        assert stdin
        assert process.stdout
        assert process.stderr

        def feed() -> None:
            with suppress(BrokenPipeError):
                while True:
                    stdin.write(content.getvalue().partition(b"\n")[2])

        stdin.write(content.getvalue())
        feeder = threading.Thread(target=feed)
        feeder.start()
        assert process.stdout.readline().startswith(b'"label","confidence",')
        assert [json.loads(process.stdout.readline().split(b",")[0]) for _ in KNOWN] == list(KNOWN)
        process.stdout.close()
        assert process.wait(60) == 2
        feeder.join(60)
        assert process.stderr.read().endswith(b"standard output was closed before all predictions were written\n")


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
def test_standard_input_may_have_any_line_ends(model: Model, tmp_path: Path, end: bytes) -> None:
    """It arrives in small pieces, and begins with a byte order mark."""
    content = io.BytesIO()
    csv.write_csv(animals(model, 20_000), content)
    sent = b"\xef\xbb\xbf" + content.getvalue().replace(b"\n", end)
    command = [*COMMAND, "-", str(tmp_path / "o.parquet"), "--from", "csv", "--keep", "id"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin
        assert process.stderr
        for size, pieces in ((1, sent[:100]), (50_000, sent[100:])):
            for start in range(0, len(pieces), size):
                process.stdin.write(pieces[start : start + size])
        process.stdin.close()
        assert b"20,000 rows: 20,000 predicted" in process.stderr.read()
        assert process.wait(60) == 0
    assert pq.read_table(tmp_path / "o.parquet", columns=["id"])["id"].to_pylist() == list(map(str, range(20_000)))


@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_job_leaves_no_partial_table(model: Model, tmp_path: Path, signal_sent: signal.Signals) -> None:
    """An existing output file keeps its old content, and a folder holds complete parts only."""
    table = write(animals(model, 100_000), tmp_path / "t.csv")
    (tmp_path / "out.parquet").write_bytes(b"before")
    to_file = [*COMMAND, str(table), str(tmp_path / "out.parquet")]
    to_folder = [*COMMAND, str(table), str(tmp_path / "out"), "--part-rows", "4000", "--to", "parquet"]
    for command, awaited in ((to_file, ".out.parquet.writing"), (to_folder, "out/t-00003.parquet")):
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE) as process:
            while not (tmp_path / awaited).exists():
                assert process.poll() is None
                time.sleep(0.001)
            process.send_signal(signal_sent)
            process.wait(60)
    assert (tmp_path / "out.parquet").read_bytes() == b"before"
    parts = sorted((tmp_path / "out").glob("t-*"))
    assert 4 <= len(parts) < 25
    assert {pq.read_metadata(part).num_rows for part in parts} == {4000}
    subprocess.run(to_folder, cwd=ROOT, env=environment(), check=True, capture_output=True)
    assert pq.read_table(tmp_path / "out", columns=["id"])["id"].to_pylist() == list(map(str, range(100_000)))
    assert not list(tmp_path.rglob("out/.*"))


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_silent_standard_input_does_not_delay_the_exit(model: Model, tmp_path: Path, threads: str) -> None:
    """SIGTERM ends the job although a thread is blocked in a read."""
    command = [*COMMAND, "-", str(tmp_path / "out.csv"), "--from", "csv", "--threads", threads]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stderr
        csv.write_csv(animals(model, 100_000), process.stdin)
        while not (tmp_path / ".out.csv.writing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(1)  # until it only waits for input
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
        assert b"stopped: " in process.stderr.read()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file_format", ["arrow", "parquet"])
def test_memory_does_not_grow_with_the_table(
    model: Model, tmp_path: Path, file_format: str, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten times the rows in the same memory; with --long, a thousand times, 10^8 of them (17 GB of Parquet)."""
    block = animals(model, 50_000)
    peak_rss = {}
    for count in (10**5, 10**6, 10**7, 10**8) if long else (10**5, 10**6):
        usage = (score_stream if file_format == "arrow" else score_file)(block, count, tmp_path)
        peak_rss[count] = usage.ru_maxrss
        with capsys.disabled():
            if long:
                print(f"\n{count:,} rows: {usage.ru_maxrss // 1000} MB, {usage.ru_utime + usage.ru_stime:.1f} s")  # noqa: T201
    max_growth = 1.15 if file_format == "arrow" else 1.2  # the index of a Parquet file grows with its row groups
    assert max(peak_rss.values()) < max_growth * peak_rss[10**6]


def score_stream(block: pa.Table, count: int, folder: Path) -> resource.struct_rusage:
    """Resources used to score ``count`` rows of an Arrow stream, which are generated as they are read."""
    command = [*COMMAND, "-", "-", "--from", "arrow", "--rejects", str(folder / "bad.arrow")]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        with pa.ipc.new_stream(process.stdin, block.schema) as writer:
            for _ in range(count // len(block)):
                writer.write_table(block)
        process.stdin.close()
        return wait(process, count)


def score_file(block: pa.Table, count: int, folder: Path) -> resource.struct_rusage:
    """The same from Parquet to Parquet, with all rows in a single row group, the hardest case."""
    table, out = folder / "t.parquet", folder / "out.parquet"
    pq.write_table(pa.concat_tables([block] * (count // len(block))), table, use_dictionary=False, row_group_size=10**7)
    with subprocess.Popen(
        [*COMMAND, str(table), str(out)], cwd=ROOT, env=environment(), stderr=subprocess.PIPE
    ) as process:
        try:
            return wait(process, count)
        finally:
            table.unlink()
            out.unlink(missing_ok=True)


def wait(process: subprocess.Popen[bytes], count: int) -> resource.struct_rusage:
    """Wait for a job that answers ``count`` rows and return the resources that it used."""
    assert process.stderr
    summary = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert f"{count:,} rows: {count:,} predicted" in summary
    return usage
