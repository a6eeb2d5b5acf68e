"""Progress of a job on standard error: rows, rows per second, time left."""

import sys
import time
from collections.abc import Iterator

from service.score.table_reader import Chunk, TableReader

_INTERVAL_SECONDS = 10.0
_TERMINAL_INTERVAL_SECONDS = 0.5


class Progress:
    """Reports on tables of ``total_size`` bytes in all, 0 if that is unknown; ``quiet`` prints nothing."""

    def __init__(self, total_size: int, *, quiet: bool) -> None:
        self._total_size, self._quiet = total_size, quiet
        self._is_terminal = sys.stderr.isatty()
        self._interval = _TERMINAL_INTERVAL_SECONDS if self._is_terminal else _INTERVAL_SECONDS
        self._started = self._last_report = time.monotonic()
        self._resumed_at: float | None = None
        self._finished_size = 0.0
        self.rows = 0

    def track(self, chunks: Iterator[Chunk], table: TableReader, file_size: int) -> Iterator[Chunk]:
        """Pass the chunks of the current file through, and report on each."""
        for chunk in chunks:
            yield chunk
            self.update(file_size, table.fraction_read(), len(chunk.rows) + len(chunk.malformed))

    def update(self, file_size: int, fraction_read: float, rows: int) -> None:
        """Add ``rows`` rows of the current file, of whose ``file_size`` bytes that fraction has been read."""
        self.rows += rows
        done = (self._finished_size + file_size * fraction_read) / self._total_size if self._total_size else 0
        if self._resumed_at is None:  # what an earlier run did took no time in this one
            self._resumed_at = done
        if not self._quiet and time.monotonic() - self._last_report >= self._interval:
            self._last_report = time.monotonic()
            line = self._format(done, self._resumed_at)
            sys.stderr.write(f"\r{line}\x1b[K" if self._is_terminal else f"{line}\n")
            sys.stderr.flush()

    def finish_file(self, file_size: int) -> None:
        self._finished_size += file_size

    def close(self) -> float:
        """Clear the terminal's line and return how many seconds the job took."""
        if self._is_terminal and not self._quiet:
            sys.stderr.write("\r\x1b[K")
        return time.monotonic() - self._started

    def _format(self, done: float, resumed_at: float) -> str:
        seconds = time.monotonic() - self._started
        rate = f"{self.rows:,} rows, {self.rows / seconds:,.0f} rows/s"
        if done <= resumed_at:
            return rate
        return f"{done:.0%}, {rate}, {_format_duration(seconds * (1 - done) / (done - resumed_at))} left"


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
