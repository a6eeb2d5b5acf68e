"""Where a job writes: one file, or a folder of parts, each with the rejected rows beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from service.score.errors import TableError
from service.score.formats import FileFormat, detect_format, split_suffix
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
        TableError: the input is a folder, and the output is a file or a folder inside it.
    """
    is_folder = output_path != STANDARD_STREAM and (output_path.is_dir() or not detect_format(output_path))
    if input_path.is_dir() and not is_folder:
        raise TableError(f"{input_path} is a folder: OUTPUT must be a folder too, not {output_path}")
    if is_folder and input_path.is_dir() and output_path.resolve().is_relative_to(input_path.resolve()):
        raise TableError(f"{output_path} is inside INPUT, {input_path}: choose a folder outside it")
    return is_folder


def single_file_paths(output: Path, rejects: Path | None, file_format: FileFormat) -> OutputPaths:
    """The paths of a job that writes one file.

    Raises:
        TableError: the output is standard output and no path for rejected rows is given.
    """
    if rejects is None:
        if output == STANDARD_STREAM:
            raise TableError("predictions go to standard output: set a file for rejected rows with --rejects FILE")
        stem, suffix = split_suffix(output)
        rejects = output.with_name(f"{stem}.rejects{suffix}")
    paths = PartPaths(output, file_format, rejects, detect_format(rejects) or file_format)
    return lambda _name, _part: paths


def folder_paths(output: Path, rejects: Path | None, file_format: FileFormat) -> OutputPaths:
    """The paths of a job that writes a folder of parts; the folders are created when a part needs them."""
    rejects_folder = rejects or output.with_name(f"{output.name}.rejects")

    def part_paths(name: str, part: int) -> PartPaths:
        file_name = Path(f"{name}-{part:05}.{file_format}")
        for folder in (output, rejects_folder):
            (folder / file_name).parent.mkdir(parents=True, exist_ok=True)
        return PartPaths(output / file_name, file_format, rejects_folder / file_name, file_format)

    return part_paths
