"""`python -m service.score INPUT OUTPUT`: a table in, its answers out, what cannot be answered beside them."""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from models.bundle import BundleError
from service.http.errors import StartupError, TableError
from service.score import options

_PART = 1_000_000
_STOPPED = 130


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with 2 and a sentence if it is not one."""
    parser = argparse.ArgumentParser(
        prog="python -m service.score",
        description="Score a table with the model that the service would serve (MENAGERIE_MODEL_STORE and so on).",
        epilog="Files end in .csv, .csv.gz (INPUT), .parquet, .arrow or .arrows. Rejected rows go to OUTPUT.rejects, "
        "with what is wrong with each. A folder is written in parts: the same command goes on where it was stopped.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "input", type=Path, metavar="INPUT", help="a file, a folder of files, or - for the standard input"
    )
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="a file, a folder, or - for the standard output")
    kinds = ("csv", "parquet", "arrow")
    parser.add_argument("--from", dest="kind", choices=kinds, help="INPUT's format, if its name does not say it")
    parser.add_argument("--to", choices=kinds, help="OUTPUT's (default: what its name says, or INPUT's)")
    options.add(parser)
    parser.add_argument("--rejects", type=Path, metavar="PATH", help="where rejected rows go (default: OUTPUT.rejects)")
    parser.add_argument("--delimiter", default=",", help="between a CSV's values (default: a comma)")
    parser.add_argument("--part-rows", type=_count, default=_PART, help=f"of each part in a folder (default: {_PART})")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--threads", type=_count, default=cores, help="default: one for each core that it may use")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    chosen = parser.parse_args(given)
    if len(chosen.delimiter) != 1:
        parser.error("--delimiter must be one character")
    return chosen


def main(given: list[str] | None = None) -> int:
    """Score as the command line says and return the exit code."""
    chosen = arguments(given)
    try:
        from service.score import run  # what needs a package that the service does not

        told = run.run(chosen)
    except (BundleError, StartupError, TableError) as error:
        _say(error)
    except ModuleNotFoundError as error:
        _say(f"scoring tables needs {error.name}: `pip install -r requirements/score.txt`")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on, so there is nobody to tell at the end
        _say("whoever read the answers left")
    except OSError as error:
        _say(f"{error.filename or 'a file'}: {error.strerror or error}; what was written so far is whole")
    except KeyboardInterrupt:
        _say("stopped; parts that are done stay, and the same command goes on from there")
        return _STOPPED
    else:
        if not chosen.quiet:
            _say(told)
        return 0
    return 2


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10**12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _say(what: object) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def _stop(_sent: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")  # Arrow's usual one keeps what other threads freed
    if code := main():
        os._exit(code)  # now, even if a thread still reads from who says nothing
