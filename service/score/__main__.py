"""The command line of table scoring: `python -m service.score INPUT OUTPUT`, or `--compare 6 7 INPUT`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from models.bundle import BundleError
from models.installation import install_command
from models.number_format import NumberFormat
from service.http.errors import StartupError
from service.score.errors import TableError
from service.score.formats import FileFormat
from service.score.options import ColumnOptions, CompareOptions, ScoreOptions, add_column_arguments

PROGRAM = "python -m service.score"
_DEFAULT_PART_ROWS = 1_000_000
_EXIT_INTERRUPTED = 130
_COMPARE = "--compare"


def build_parser(program: str = PROGRAM, *, compares: bool = False) -> argparse.ArgumentParser:
    """The parser of the command line of ``program``; a job that ``compares`` versions has no output."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Score a table with the model that the service would serve (see MENAGERIE_MODEL_STORE).",
        epilog="File formats: .csv, .csv.gz, .parquet, .arrow and .arrows. Rejected rows go to "
        "OUTPUT.rejects with their errors. A folder is written in parts: to resume a stopped run, repeat the command.",
        allow_abbrev=False,
    )
    parser.add_argument("input", type=Path, metavar="INPUT", help="a file, a folder of files, or - for standard input")
    # Only then optional: argparse would take an optional one for absent if options are between INPUT and OUTPUT.
    count = "?" if compares else None
    parser.add_argument(
        "output", type=Path, metavar="OUTPUT", help="a file, a folder, or - for standard output", nargs=count
    )
    parser.add_argument(
        _COMPARE,
        nargs=2,
        type=_positive,
        metavar=("SERVING", "NEW"),
        help="compare two versions on the rows of INPUT instead, and print what would change; there is no OUTPUT",
    )
    parser.add_argument("--json", action="store_true", help="with --compare: print the report as JSON")
    formats = [file_format.value for file_format in FileFormat]
    parser.add_argument("--from", dest="from_", choices=formats, help="format of INPUT (default: by its suffix)")
    parser.add_argument("--to", choices=formats, help="format of OUTPUT (default: by its suffix, else that of INPUT)")
    add_column_arguments(parser)
    parser.add_argument(
        "--rejects", type=Path, metavar="PATH", help="file or folder for rejected rows (default: OUTPUT.rejects)"
    )
    parser.add_argument(
        "--delimiter",
        type=_delimiter,
        default=",",
        help="delimiter of CSV input (default: comma); CSV output has commas",
    )
    parser.add_argument("--decimal", choices=(".", ","), help="decimal sign in CSV input (default: point)")
    parser.add_argument(
        "--thousands", choices=(",", ".", " ", "'"), help="sign between thousands in CSV input (default: none)"
    )
    rows = _DEFAULT_PART_ROWS
    parser.add_argument(
        "--part-rows", type=_positive, default=rows, help=f"rows per part of a folder (default: {rows})"
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument(
        "--threads", type=_positive, default=cores, help="number of threads (default: one per available core)"
    )
    parser.add_argument("--quiet", action="store_true", help="print neither progress nor summary")
    return parser


def parse_arguments(argv: Sequence[str] | None = None, program: str = PROGRAM) -> ScoreOptions | CompareOptions:
    """The options on the command line of ``program``; if they are invalid, prints why and exits with status 2."""
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser(program, compares=_COMPARE in argv)
    arguments = parser.parse_args(argv)
    decimal = arguments.decimal or ("," if arguments.thousands == "." else ".")
    if decimal == arguments.thousands:
        parser.error("--decimal and --thousands are the same sign: change one")
    columns = replace(
        ColumnOptions.from_arguments(arguments), number_format=NumberFormat(decimal, arguments.thousands or "")
    )
    input_format = FileFormat(arguments.from_) if arguments.from_ else None
    if arguments.compare:
        _require_comparison(parser, arguments)
        return CompareOptions(
            versions=tuple(arguments.compare),
            input_path=arguments.input,
            input_format=input_format,
            columns=columns,
            delimiter=arguments.delimiter,
            threads=arguments.threads,
            quiet=arguments.quiet,
            as_json=arguments.json,
        )
    if arguments.json:
        parser.error("--json needs --compare")
    return ScoreOptions(
        input_path=arguments.input,
        output_path=arguments.output,
        input_format=input_format,
        output_format=FileFormat(arguments.to) if arguments.to else None,
        rejects_path=arguments.rejects,
        columns=columns,
        delimiter=arguments.delimiter,
        part_rows=arguments.part_rows,
        threads=arguments.threads,
        quiet=arguments.quiet,
    )


def _require_comparison(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what a comparison, which writes no predictions, has no use for."""
    serving, new = arguments.compare
    if serving == new:
        parser.error(f"--compare {serving} {new}: name two versions, the one that serves and the new one")
    if arguments.output:
        parser.error(f"--compare takes no OUTPUT, the report goes to standard output: leave out {arguments.output}")
    for name, is_given in {
        "--to": arguments.to,
        "--rejects": arguments.rejects,
        "--keep and --only-answers": arguments.keep is not None,
        "--prefix": arguments.prefix,
        "--part-rows": arguments.part_rows != _DEFAULT_PART_ROWS,
    }.items():
        if is_given:
            parser.error(f"--compare writes no predictions: leave out {name}")


def run(argv: Sequence[str] | None = None, program: str = PROGRAM) -> None:
    """Run `main` as all that this process does, and end it if the job fails."""
    signal.signal(signal.SIGTERM, _interrupt)
    # Arrow's default allocator keeps memory that other threads freed: docs/tables.md, "Memory".
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    if code := main(argv, program):
        os._exit(code)  # do not wait for a thread that is blocked on a silent standard input


def main(argv: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run the job that the command line of ``program`` describes and return the exit status."""
    options = parse_arguments(argv, program)
    compares = isinstance(options, CompareOptions)
    try:
        summary = _run(options)
    except (BundleError, StartupError, TableError) as error:
        _print_to_stderr(error)
    except ModuleNotFoundError as error:
        _print_to_stderr(f"scoring a table requires {error.name}: run `{install_command('score')}`")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python's flush of standard output at exit succeeds
        _print_to_stderr(
            f"standard output was closed before {'the report was' if compares else 'all predictions were'} written"
        )
    except OSError as error:
        consequence = "" if compares else "; the files written so far are complete"
        _print_to_stderr(f"{error.filename or 'a file'}: {error.strerror or error}{consequence}")
    except KeyboardInterrupt:
        _print_to_stderr(
            "stopped: there is no report"
            if compares
            else "stopped: finished parts are kept; repeat the command to resume"
        )
        return _EXIT_INTERRUPTED
    else:
        if not options.quiet:
            _print_to_stderr(summary)
        return 0
    return 2


def _run(options: ScoreOptions | CompareOptions) -> str:
    """Run the job and return its summary. It needs pyarrow, which the service itself does not."""
    if isinstance(options, CompareOptions):
        from service.score.compare import compare_versions

        return compare_versions(options)
    from service.score.job import run_job

    return run_job(options)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10**12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def _delimiter(text: str) -> str:
    delimiter = "\t" if text == r"\t" else text
    if len(delimiter) != 1 or not (delimiter == "\t" or " " <= delimiter <= "~") or delimiter == '"':
        raise argparse.ArgumentTypeError(f"{text!r} is not one ASCII character other than a quote")
    return delimiter


def _print_to_stderr(message: object) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    run()
