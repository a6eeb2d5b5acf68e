"""The files that a job reads."""

import os
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from service.score.errors import TableError
from service.score.formats import FileFormat, detect_format, require_format, split_suffix
from service.score.options import STANDARD_STREAM

_LISTED_SKIPPED = 5


class InputFile(NamedTuple):
    """One table to score; ``name`` is its path inside the input folder without the suffix of its format."""

    path: Path
    file_format: FileFormat
    name: str
    size: int  # bytes
    modified_ns: int

    def require_unchanged(self) -> None:
        """Check that the file has not been written to since the job started.

        Raises:
            TableError: it has, so rows may have been read twice, or in part, or not at all.
        """
        if self.path != STANDARD_STREAM:
            status = self.path.stat()
            if (status.st_size, status.st_mtime_ns) != (self.size, self.modified_ns):
                raise TableError(f"{self.path} changed while it was read: start again when it is complete")

    def require_all_rows(self, rows: int, table_rows: int, consequence: str) -> None:
        """Check at the end of the file that each of its rows is among those that were scored or rejected.

        Raises:
            TableError: the file has changed, or a row is missing; the message says what the ``consequence`` is.
        """
        self.require_unchanged()
        if rows != table_rows:
            raise TableError(
                f"{self.path} has {table_rows:,} rows, but {rows:,} were scored or rejected: this is an error in "
                f"this program, please report it; {consequence}"
            )


class InputFiles(NamedTuple):
    """The files that a job reads, and the other files of the input folder, which it does not."""

    tables: list[InputFile]
    skipped: list[Path]

    def describe_skipped(self) -> list[str]:
        """A line on the files that are not read, if there are any."""
        if not self.skipped:
            return []
        names = [path.name for path in self.skipped[:_LISTED_SKIPPED]] + ["..."] * (len(self.skipped) > _LISTED_SKIPPED)
        return [f"{len(self.skipped):,} other files in the input folder were not read: {', '.join(names)}"]


def find_input_files(path: Path, chosen: FileFormat | None) -> InputFiles:
    """The file at ``path``, or all files below that folder except those with a path part that starts with . or _.

    Raises:
        TableError: there is no file, or there are files of several formats, or one cannot be read.
    """
    if path == STANDARD_STREAM:
        file_format = require_format(path, chosen, "--from")
        # Its content may differ in each run: with the time, no run takes it for the input of an earlier one.
        return InputFiles([InputFile(path, file_format, "", 0, time.time_ns())], [])
    if path.is_file():
        return InputFiles([_describe(path, path.parent, require_format(path, chosen, "--from"))], [])
    if not path.is_dir():
        raise TableError(f"{path} is neither a file nor a folder")
    candidates = [(file, detect_format(file)) for file in _visible_files(path)]
    tables = [(file, file_format) for file, file_format in candidates if file_format and chosen in {None, file_format}]
    formats = {file_format for _, file_format in tables}
    if not formats:
        raise TableError(f"{path} contains no table file")
    if len(formats) > 1:
        raise TableError(
            f"{path} contains files of several formats, {', '.join(sorted(formats))}: choose one with --from"
        )
    inputs = [_describe(file, path, file_format) for file, file_format in tables]
    if len({each.name for each in inputs}) < len(inputs):
        raise TableError(f"{path} contains files whose names differ only in their suffix: rename them")
    return InputFiles(inputs, [file for file, file_format in candidates if file_format not in formats])


def _visible_files(folder: Path) -> list[Path]:
    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = filter(_is_visible, folders)
        files += [Path(parent, name) for name in filter(_is_visible, names)]
        for link in (Path(parent, name) for name in folders):
            if link.is_symlink():
                raise TableError(f"{link} is a link to a folder, which is not followed: put the folder in its place")
    return sorted(files)


def _is_visible(name: str) -> bool:
    return not name.startswith((".", "_"))


def _raise(error: OSError) -> NoReturn:
    raise error


def _describe(path: Path, folder: Path, file_format: FileFormat) -> InputFile:
    if not path.is_file():
        raise TableError(f"{path} is not a file, or a link to a file that does not exist")
    status = path.stat()
    name = path.relative_to(folder).with_name(split_suffix(path)[0]).as_posix()
    return InputFile(path, file_format, name, status.st_size, status.st_mtime_ns)
