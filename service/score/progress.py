"""How far a run is, on the standard error: rows, rows a second, time left."""

import sys
import time

_EVERY = 10.0  # seconds between two lines
_EVERY_ON_A_TERMINAL = 0.5


class Progress:
    """One run over tables of so many bytes in all, or of nobody knows how many; ``quiet`` says nothing."""

    def __init__(self, size: int, *, quiet: bool) -> None:
        self._size, self._quiet = size, quiet
        self._terminal = sys.stderr.isatty()
        self._every = _EVERY_ON_A_TERMINAL if self._terminal else _EVERY
        self._started = self._told = time.monotonic()
        self._skipped: float | None = None
        self._done = 0.0
        self.rows = 0

    def at(self, size: int, portion: float, rows: int) -> None:
        """So many rows more, and so much of the table that has this size has been read."""
        self.rows += rows
        at = (self._done + size * portion) / self._size if self._size else 0
        if self._skipped is None:  # what an earlier run did took no time in this one
            self._skipped = at
        if not self._quiet and time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            self._tell(self._sentence(at, self._skipped))

    def past(self, size: int) -> None:
        """The table that has this size is done."""
        self._done += size

    def end(self) -> float:
        """Clear the line, and say how many seconds it took."""
        if self._terminal and not self._quiet:
            sys.stderr.write("\r\x1b[K")
        return time.monotonic() - self._started

    def _sentence(self, at: float, skipped: float) -> str:
        seconds = time.monotonic() - self._started
        rate = f"{self.rows:,} rows, {self.rows / seconds:,.0f} rows/s"
        if at <= skipped:
            return rate
        return f"{at:.0%}, {rate}, {_clock(seconds * (1 - at) / (at - skipped))} left"

    def _tell(self, sentence: str) -> None:
        sys.stderr.write(f"\r{sentence}\x1b[K" if self._terminal else f"{sentence}\n")
        sys.stderr.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
