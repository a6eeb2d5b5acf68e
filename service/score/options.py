"""What a scoring job is asked to do, and the command-line arguments that it shares with the Spark job."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from models.number_format import NumberFormat
from service.score.formats import FileFormat

STANDARD_STREAM = Path("-")  # as an input path standard input, as an output path standard output


@dataclass(frozen=True)
class ColumnOptions:
    """Which columns hold the features, and which columns the output has.

    ``mapping`` gives the column of each feature whose column has another name; ``keep`` lists the table's own columns
    that are copied to the output, None for all; the names of the prediction columns start with ``prefix``. Text has
    its numbers in the ``number_format``. ``na_values`` stand for missing values.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[str] | None = None
    prefix: str = ""
    number_format: NumberFormat = field(default_factory=NumberFormat)
    na_values: Sequence[str] = ()

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> Self:
        """The values of the arguments that `add_column_arguments` defines."""
        return cls(dict(arguments.map), arguments.keep, arguments.prefix, na_values=tuple(arguments.na_values))


@dataclass(frozen=True)
class ScoreOptions:
    """One run that predicts the rows of tables; a format or a path that is None is derived from the others."""

    input_path: Path
    output_path: Path
    input_format: FileFormat | None
    output_format: FileFormat | None
    rejects_path: Path | None
    columns: ColumnOptions
    delimiter: str
    part_rows: int
    threads: int
    quiet: bool


@dataclass(frozen=True)
class CompareOptions:
    """One run that compares two ``versions``, the one that serves and a new one, on the rows of tables.

    The report is JSON if ``as_json``, else text.
    """

    versions: tuple[int, int]
    input_path: Path
    input_format: FileFormat | None
    columns: ColumnOptions
    delimiter: str
    threads: int
    quiet: bool
    as_json: bool


def add_column_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments behind `ColumnOptions`."""
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        type=_feature_and_column,
        metavar="FEATURE=COLUMN",
        help="column of a feature whose column has another name",
    )
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument(
        "--keep",
        type=_names,
        metavar="COLUMNS",
        help="comma-separated input columns to copy to the output (default: all)",
    )
    keep.add_argument(
        "--only-answers", dest="keep", action="store_const", const=[], help="copy no input columns to the output"
    )
    parser.add_argument("--prefix", default="", help="prefix for the names of the prediction columns")
    parser.add_argument(
        "--na-values",
        action="append",
        default=[],
        metavar="TEXT",
        help="stands for a missing value in the columns of features, as in training (repeatable)",
    )


def _feature_and_column(text: str) -> tuple[str, str]:
    feature, _, column = text.partition("=")
    if not feature or not column:
        raise argparse.ArgumentTypeError(f"{text!r} does not have the form FEATURE=COLUMN")
    return feature, column


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
