"""What the command lines of training and adoption share: how they report errors, and how a user's table is written."""

import argparse
import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

SHIPPED_NAME = "animals"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass
class ReadingOptions:
    """How a user's table is read: what pandas' `read_csv` calls the same has the same name."""

    table: Path | None = None  # the user's file
    schema: Path | None = None  # describes the table's columns
    drop_rows_with_gaps: bool = False
    delimiter: str | None = None  # None: detected
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None  # None: UTF-8
    na_values: list[str] = field(default_factory=list)  # in addition to those of pandas


class Parser(argparse.ArgumentParser):
    """A parser that reports an error as one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message} (see {self.prog} --help)\n")


def add_reading_options(group: argparse._ArgumentGroup) -> None:
    """Add the options for how a table's text is written."""
    group.add_argument("--delimiter", type=_parse_delimiter, metavar="SIGN", help=r"between cells, such as ';' or '\t'")
    group.add_argument("--decimal", choices=(".", ","), help="decimal sign")
    group.add_argument("--thousands", choices=(",", ".", " ", "'"), help="sign between thousands")
    group.add_argument("--encoding", type=_parse_encoding, help="character encoding (default: utf-8)")
    group.add_argument(
        "--na-values",
        action="extend",
        nargs=1,
        metavar="TEXT",
        help="stands for a missing value, as NA, NaN, null, None and an empty cell do (repeatable)",
    )


def check_signs(parser: argparse.ArgumentParser, options: ReadingOptions) -> None:
    """Exit if one sign is to separate both decimals and thousands."""
    if options.decimal is not None and options.decimal == options.thousands:
        parser.error("--decimal and --thousands are the same sign: change one")


def parse_name(text: str) -> str:
    """A model's name."""
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid name: use letters, digits, '.', '_' and '-', starting with a letter or digit"
        )
    return text


def name_from_path(path: Path, default: str) -> str:
    """A valid name for a model that comes from a file, or the default if its own has no letter."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or default


def _parse_delimiter(text: str) -> str:
    delimiter = "\t" if text == r"\t" else text
    if len(delimiter) != 1 or not (delimiter == "\t" or " " <= delimiter <= "~") or delimiter in "\"'":
        raise argparse.ArgumentTypeError(f"{text!r} is not one ASCII character other than a quote")
    return delimiter


def _parse_encoding(text: str) -> str:
    try:
        return codecs.lookup(text).name
    except LookupError:
        raise argparse.ArgumentTypeError(f"{text!r} is no encoding: use a name such as cp1252 or utf-16") from None
