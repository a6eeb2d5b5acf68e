"""Where a job writes: one file, or a folder of parts, each with the rejected rows beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from service.score.errors import TableError
from service.score.formats import FileFormat, detect_format, require_writable, split_suffix
from service.score.options import STANDARD_STREAM


class PartPaths(NamedTuple):
    """The two files of one part: answered rows in ``output``, rejected rows in ``rejects``."""

    output: Path
    output_format: FileFormat
    rejects: Path
    rejects_format: FileFormat


OutputPaths = Callable[[str, int], PartPaths]
"""Gives the paths of a part, from its input file's name and its number."""


def is_folder_output(input_path: Path, output_path: Path) -> bool:
    """Whether the output is a folder of parts.

    Raises:
        TableError: the input is a folder, and the output is a file.
    """
    is_folder = output_path != STANDARD_STREAM and (output_path.is_dir() or not detect_format(output_path))
    if input_path.is_dir() and not is_folder:
        raise TableError(f"{input_path} is a folder: OUTPUT must be a folder too, not {output_path}")
    return is_folder


def single_file_paths(input_path: Path, output: Path, rejects: Path | None, file_format: FileFormat) -> OutputPaths:
    """The paths of a job that writes one file.

    Raises:
        TableError: the output is standard output and no path for rejected rows is given, a name promises another format
            than is written, or two of the files are one.
    """
    if rejects is None:
        if output == STANDARD_STREAM:
            raise TableError("predictions go to standard output: set a file for rejected rows with --rejects FILE")
        stem, suffix = split_suffix(output)
        rejects = output.with_name(f"{stem}.rejects{suffix}")
    paths = PartPaths(output, file_format, rejects, detect_format(rejects) or file_format)
    require_writable(output, file_format)
    require_writable(rejects, paths.rejects_format)
    if rejects.is_dir():
        raise TableError(f"{output} is a file: rejected rows need a file too, and {rejects} is a folder")
    _require_separate(input_path, output, rejects)
    return lambda _name, _part: paths


def folder_paths(input_path: Path, output: Path, rejects: Path | None, file_format: FileFormat) -> OutputPaths:
    """The paths of a job that writes a folder of parts; the folders are created when a part needs them.

    Raises:
        TableError: a folder's name promises a file, or the rejected rows would be among the input or the predictions.
    """
    rejects_folder = rejects or output.with_name(f"{output.name}.rejects")
    for folder in (output, rejects_folder):
        if not folder.is_dir():
            require_writable(folder, file_format)
    if rejects_folder == STANDARD_STREAM or (detect_format(rejects_folder) and not rejects_folder.is_dir()):
        raise TableError(f"{output} is a folder: --rejects must be a folder too, not {rejects_folder}")
    _require_separate(input_path, output, rejects_folder)

    def part_paths(name: str, part: int) -> PartPaths:
        file_name = Path(f"{name}-{part:05}.{file_format}")
        for folder in (output, rejects_folder):
            (folder / file_name).parent.mkdir(parents=True, exist_ok=True)
        return PartPaths(output / file_name, file_format, rejects_folder / file_name, file_format)

    return part_paths


def _require_separate(input_path: Path, output: Path, rejects: Path) -> None:
    """Check that no path would overwrite another, or be read as input."""
    if output.resolve() == rejects.resolve():
        raise TableError(f"predictions and rejected rows would both be written to {output}: choose another --rejects")
    for path in (output, rejects):
        if STANDARD_STREAM not in {input_path, path} and path.resolve().is_relative_to(input_path.resolve()):
            place = "inside INPUT" if input_path.is_dir() else "INPUT"
            raise TableError(f"{path}, which would be written, is {place}, {input_path}: choose another path")
