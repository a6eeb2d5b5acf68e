"""What the command line and an engine's job are both told of a table."""

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Options for `Plan`: ``map`` of pairs, ``keep`` of names or None, ``prefix``."""
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        type=_pair,
        metavar="FEATURE=COLUMN",
        help="a feature's column, if named else",
    )
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument("--keep", type=_names, metavar="COLUMNS", help="that go through, commas between (default: all)")
    kept.add_argument("--only-answers", dest="keep", action="store_const", const=[], help="none goes through")
    parser.add_argument("--prefix", default="", help="what the names of the answers' columns begin with")


def _pair(text: str) -> tuple[str, str]:
    feature, _, column = text.partition("=")
    if not feature or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is not FEATURE=COLUMN")
    return feature, column


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
