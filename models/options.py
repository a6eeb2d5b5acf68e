"""The command line of `python -m models.train` as typed options."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from models.command_line import (
    SHIPPED_NAME,
    Parser,
    ReadingOptions,
    add_reading_options,
    check_signs,
    name_from_path,
    parse_name,
)
from models.installation import default_store

PROGRAM = "python -m models.train"
MAX_HIDDEN_LAYERS = 5


@dataclass
class TableOptions(ReadingOptions):
    """How the user's table is read for training; ``table`` is None for the animals of traits.csv."""

    label: str | None = None  # a column of the table
    group: str | None = None
    drop: list[str] = field(default_factory=list)  # each a column, or several with commas between them
    keep: list[str] = field(
        default_factory=list
    )  # likewise, columns that would be left out, as those that number the rows
    category: list[str] = field(default_factory=list)  # likewise, columns whose values are categories
    drop_rare_labels: bool = False
    keep_na_labels: bool = False


@dataclass
class TrainingOptions(TableOptions):
    """Everything that decides a training run, with the defaults of the command line."""

    store: Path = field(default_factory=default_store)
    name: str = ""
    seed: int = 0
    rows: int = 24_000  # individuals in an epoch
    epochs: int = 150
    candidates: int = 4
    hidden: tuple[int, ...] = (6, 6)  # units of each hidden layer
    balance: bool = False  # whether a table's labels count as equally frequent
    folds: int = 5  # 0 without cross-validation
    report: bool = True


def parse_options(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> TrainingOptions:
    """Parse and validate the command line of ``program``; exit with code 2 and one sentence if it is invalid."""
    parser = build_parser(program)
    given = vars(parser.parse_args(arguments))
    options = TrainingOptions(**given)
    if options.table is not None:
        for name in ("rows", "epochs", "candidates"):
            if name in given:
                parser.error(f"--{name} is only valid without --data, whose rows decide it: leave out --{name}")
    if options.table is None:
        defaults = TableOptions()
        for name in (each.name for each in fields(TableOptions)):
            option = f"--{name.replace('_', '-')}"
            if getattr(options, name) != getattr(defaults, name):
                parser.error(f"{option} is only valid with --data: add --data or leave out {option}")
        if options.balance:
            parser.error("--balance is only valid with --data: the animals are balanced")
    elif options.label is None:
        parser.error("--data requires --label COLUMN, the column with the labels")
    check_signs(parser, options)
    options.name = options.name or (name_from_path(options.table, "table") if options.table else SHIPPED_NAME)
    options.folds = options.folds if options.report else 0
    return options


def build_parser(program: str = PROGRAM) -> Parser:
    """The parser of the command line, without the checks of options that exclude each other."""
    parser = Parser(
        prog=program,
        description="Train a network that classifies individuals by measurements; publish it as the next version.",
        epilog="Without --data, trains on cats, dogs, llamas and lizards sampled from the facts in models/traits.csv.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # so that the defaults are those of TrainingOptions
    )
    out = parser.add_argument_group("output, in OUT/NAME/VERSION")
    out.add_argument(
        "--out",
        dest="store",
        type=Path,
        metavar="OUT",
        help="model store (default: models/store of the clone, or of the current folder)",
    )
    out.add_argument("--name", type=parse_name, help="model name (default: animals, or the file name of --data)")
    how = parser.add_argument_group("training")
    how.add_argument("--seed", type=_integer(0, 2**32 - 1), help="the same seed gives the same weights (default: 0)")
    how.add_argument("--hidden", type=_hidden, metavar="UNITS", help="units of each hidden layer (default: 6,6)")
    how.add_argument("--folds", type=_folds, help="folds of the cross-validation; 0 skips it (default: 5)")
    how.add_argument("--no-report", dest="report", action="store_false", help="skip cross-validation and report")
    animals = parser.add_argument_group("training on the animals")
    animals.add_argument("--rows", type=_integer(100, 10**7), help="training rows per epoch (default: 24000)")
    animals.add_argument("--epochs", type=_integer(1, 100_000), help="epochs of each training round (default: 150)")
    animals.add_argument("--candidates", type=_integer(1, 1000), help="networks to select the best of (default: 4)")
    own = parser.add_argument_group("training on your own table")
    own.add_argument(
        "--data", dest="table", type=Path, metavar="FILE", help="CSV, also compressed with gzip, or Parquet"
    )
    own.add_argument("--label", metavar="COLUMN", help="column with the labels")
    own.add_argument("--group", metavar="COLUMN", help="column whose values keep rows together in every split")
    own.add_argument(
        "--schema", type=Path, metavar="TOML", help="kinds, units, bounds, order of labels (see docs/models.md)"
    )
    own.add_argument(
        "--drop", action="extend", nargs=1, metavar="COLUMNS", help="leave out columns (comma-separated; repeatable)"
    )
    own.add_argument(
        "--keep", action="extend", nargs=1, metavar="COLUMNS", help="train on columns that would be left out"
    )
    own.add_argument(
        "--category", action="extend", nargs=1, metavar="COLUMNS", help="columns whose numbers are codes of categories"
    )
    own.add_argument("--drop-rows-with-gaps", action="store_true", help="leave out rows with missing values")
    own.add_argument("--drop-rare-labels", action="store_true", help="leave out labels with fewer than 10 rows")
    own.add_argument("--balance", action="store_true", help="probabilities as if all labels were equally frequent")
    text = parser.add_argument_group("how your table is written, where it is not detected")
    add_reading_options(text)
    text.add_argument("--keep-na-labels", action="store_true", help="read NA, None and the like as labels")
    return parser


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not minimum <= int(text) <= maximum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def _hidden(text: str) -> tuple[int, ...]:
    units = text.split(",")
    if len(units) > MAX_HIDDEN_LAYERS or not all(re.fullmatch(r"[1-9]\d{0,2}", unit, re.ASCII) for unit in units):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not 1 to {MAX_HIDDEN_LAYERS} numbers of units from 1 to 999: write 16,8 for two hidden layers"
        )
    return tuple(map(int, units))


def _folds(text: str) -> int:
    if text != "0" and (not re.fullmatch(r"\d{1,2}", text, re.ASCII) or int(text) not in range(2, 13)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 0 nor a whole number from 2 to 12")
    return int(text)
