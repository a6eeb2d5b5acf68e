"""The files that a job reads."""

from pathlib import Path
from typing import NamedTuple

from service.score.errors import TableError
from service.score.formats import FileFormat, detect_format, require_format, split_suffix
from service.score.options import STANDARD_STREAM


class InputFile(NamedTuple):
    """One table to score; ``name`` is its path inside the input folder without the suffix of its format."""

    path: Path
    file_format: FileFormat
    name: str
    size: int  # bytes
    modified_ns: int


def find_input_files(path: Path, chosen: FileFormat | None) -> list[InputFile]:
    """The file at ``path``, or all files below that folder except those with a path part that starts with . or _.

    Raises:
        TableError: there is no file, or there are files of several formats.
    """
    if path == STANDARD_STREAM:
        return [InputFile(path, require_format(path, chosen, "--from"), "", 0, 0)]
    if path.is_file():
        return [_describe(path, path.parent, require_format(path, chosen, "--from"))]
    if not path.is_dir():
        raise TableError(f"{path} is neither a file nor a folder")
    names = [file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file()]
    visible = [path / name for name in names if not any(part.startswith((".", "_")) for part in name.parts)]
    candidates = [(file, detect_format(file)) for file in visible]
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
    return inputs


def _describe(path: Path, folder: Path, file_format: FileFormat) -> InputFile:
    status = path.stat()
    name = path.relative_to(folder).with_name(split_suffix(path)[0]).as_posix()
    return InputFile(path, file_format, name, status.st_size, status.st_mtime_ns)
