"""The command line of `python -m models.adopt` as typed options."""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.command_line import (
    Parser,
    ReadingOptions,
    add_reading_options,
    check_signs,
    name_from_path,
    parse_name,
)
from models.installation import default_store
from models.names import normalize_name

PROGRAM = "python -m models.adopt"


@dataclass
class AdoptionOptions(ReadingOptions):
    """Everything that decides an adoption, with the defaults of the command line; ``table`` is the sample."""

    model: Path = Path()
    label: list[str] = field(default_factory=list)  # each a column, several with commas between them, or OUTPUT=that
    columns: tuple[str, ...] = ()  # in the order in which the model takes them; (): decided by the model and the sample
    labels: list[str] = field(default_factory=list)  # each A,B,C or OUTPUT=A,B,C, in the order of the output's units
    targets: list[str] = field(default_factory=list)  # likewise, the names of the quantities that a regression predicts
    threshold: float | None = None
    from_logits: bool = False
    custom: list[str] = field(default_factory=list)  # each module:name
    engine: Literal["litert", "keras"] = "litert"
    store: Path = field(default_factory=default_store)
    name: str = ""


def parse_options(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> AdoptionOptions:
    """Parse and validate the command line of ``program``; exit with code 2 and one sentence if it is invalid."""
    parser = build_parser(program)
    options = AdoptionOptions(**vars(parser.parse_args(arguments)))
    if options.table is None:
        defaults = ReadingOptions()
        given = [name for name in vars(defaults) if name != "schema" and getattr(options, name) != vars(defaults)[name]]
        for name in [*(["label"] if options.label else []), *given]:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option} is only valid with --sample: add --sample or leave out {option}")
    check_signs(parser, options)
    options.name = options.name or name_from_path(options.model.resolve(), "model")
    return options


def split_names(text: str) -> list[str]:
    """The names in a value with commas between them; one that has a comma stands in double quotes."""
    return [normalize_name(name) for name in next(csv.reader([text], skipinitialspace=True), [])]


def join_names(names: Sequence[str]) -> str:
    """The value from which `split_names` gets the names."""
    return ",".join(f'"{name}"' if set(name) & set(',"') else name for name in names)


def build_parser(program: str = PROGRAM) -> Parser:
    """The parser of the command line, without the checks of options that exclude each other."""
    parser = Parser(
        prog=program,
        description="Adopt a Keras model of yours; publish it as the next version of a model.",
        epilog="See docs/adopting.md.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # so that the defaults are those of AdoptionOptions
    )
    parser.add_argument("model", type=Path, metavar="FILE", help=".keras, .h5, or the folder of a SavedModel")
    out = parser.add_argument_group("output, in OUT/NAME/VERSION")
    out.add_argument(
        "--out",
        dest="store",
        type=Path,
        metavar="OUT",
        help="model store (default: models/store of the clone, or of the current folder)",
    )
    out.add_argument("--name", type=parse_name, help="model name (default: the file name)")
    out.add_argument(
        "--engine", choices=("litert", "keras"), help="that serves the model (default: litert); keras needs TensorFlow"
    )
    sample = parser.add_argument_group("sample: rows as the model takes them")
    sample.add_argument(
        "--sample", dest="table", type=Path, metavar="FILE", help="CSV, also compressed with gzip, or Parquet"
    )
    sample.add_argument(
        "--label",
        action="extend",
        nargs=1,
        metavar="COLUMN",
        help="column with the label or the quantity to predict; repeatable, OUTPUT=COLUMN for several outputs",
    )
    sample.add_argument(
        "--columns", type=_parse_columns, metavar="A,B,C", help="columns in the order in which the model takes them"
    )
    sample.add_argument("--schema", type=Path, metavar="TOML", help="units and bounds (see docs/adopting.md)")
    sample.add_argument("--drop-rows-with-gaps", action="store_true", help="leave out rows with missing values")
    outputs = parser.add_argument_group("what the model's output means, where it cannot be told")
    outputs.add_argument(
        "--labels", action="extend", nargs=1, metavar="A,B,C", help="labels in the order of the output's units"
    )
    outputs.add_argument(
        "--targets", action="extend", nargs=1, metavar="A,B,C", help="the output is these quantities (a regression)"
    )
    outputs.add_argument("--from-logits", action="store_true", help="the output is logits, not probabilities")
    outputs.add_argument(
        "--threshold", type=_parse_threshold, metavar="P", help="a label is predicted above it (default: 0.5)"
    )
    outputs.add_argument(
        "--custom",
        action="extend",
        nargs=1,
        metavar="MODULE:NAME",
        help="your own layer or function that the model uses; this runs your code (repeatable)",
    )
    add_reading_options(parser.add_argument_group("how the sample is written, where it is not detected"))
    return parser


def _parse_columns(text: str) -> tuple[str, ...]:
    names = split_names(text)
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name: write names with commas between them")
    return tuple(names)


def _parse_threshold(text: str) -> float:
    try:
        threshold = float(text)
    except ValueError:
        threshold = 0
    if not 0 < threshold < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return threshold
