"""Cells for each version of a model, in a block: whichever versions there are, and however many follow each other."""

from service.monitoring.shared_counters import Cells, ModelBlock

MAX_VERSIONS = 16  # that one process counts at a time; one more replaces the lowest


class VersionTable:
    """Rows of ``width`` cells, the first of which is the version's number, from a cell of ``block`` on."""

    def __init__(self, block: ModelBlock, width: int, start: int = 0) -> None:
        self._block = block
        self._width = width
        self._cells = slice(start, start + MAX_VERSIONS * width)

    def here(self, version: int) -> Cells:
        """The cells of a version in this process, [width]: those of an earlier one in this slot, if there was one."""
        rows = self._block.here[self._cells].reshape(MAX_VERSIONS, self._width)
        versions = rows[:, 0].tolist()
        if version in versions:
            row: Cells = rows[versions.index(version)]
            return row
        row = rows[versions.index(min(versions))]
        row[:] = 0
        row[0] = version
        return row

    def by_version(self) -> dict[int, Cells]:
        """The cells of every version in all processes that have met it, [processes, width]."""
        rows = self._block.of(self._block.used)[:, self._cells].reshape(-1, self._width)
        return {version: rows[rows[:, 0] == version] for version in sorted({*rows[:, 0].tolist()} - {0})}
