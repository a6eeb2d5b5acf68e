"""`python -m models.train`: facts or a user's table in, a bundle out."""

import argparse
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from models import bundle
from models.bundle import Bundle, BundleError
from models.errors import DataError

if TYPE_CHECKING:
    from models.dataset import Population

STORE = Path(__file__).resolve().parent / "store"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message} (see python -m models.train --help)\n")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line, every value in its range; exits with 2 and one sentence otherwise."""
    parser = _Parser(
        prog="python -m models.train",
        description="Train the network that tells labels apart by measurements; write it as a bundle's next version.",
        epilog="Without --data it learns cats, dogs, llamas and lizards from the facts in models/traits.csv.",
        allow_abbrev=False,
    )
    out = parser.add_argument_group("where the bundle goes: OUT/NAME/VERSION")
    out.add_argument("--out", type=Path, default=STORE, help="the store (default: models/store of this project)")
    out.add_argument("--name", type=_name, help="default: animals, or the file name of --data")
    how = parser.add_argument_group("how to train")
    how.add_argument("--seed", type=_number(0, 2**32 - 1), default=0, help="same seed, same weights (default: 0)")
    how.add_argument("--rows", type=_number(100, 10**7), default=24_000, help="individuals an epoch (default: 24000)")
    how.add_argument("--epochs", type=_number(1, 100_000), default=150, help="passes over them (default: 150)")
    how.add_argument("--candidates", type=_number(1, 1000), default=4, help="networks to choose from (default: 4)")
    how.add_argument("--folds", type=_folds, default=5, help="of the cross-validation; 0 for none (default: 5)")
    how.add_argument("--no-report", dest="report", action="store_false", help="no cross-validation, no report")
    own = parser.add_argument_group("your own table of individuals")
    own.add_argument("--data", type=Path, metavar="CSV", help="a column for the label, all others numeric")
    own.add_argument("--label", metavar="COLUMN", help="the column that says what each individual is")
    own.add_argument("--group", metavar="COLUMN", help="individuals alike in this are never torn apart by a split")
    own.add_argument("--schema", type=Path, metavar="TOML", help="units, bounds, order of labels (see README)")
    chosen = parser.parse_args(given)
    if chosen.data is None:
        for option in ("label", "group", "schema"):
            if getattr(chosen, option) is not None:
                parser.error(f"--{option} describes --data: give --data too")
    elif chosen.label is None:
        parser.error("--data needs --label COLUMN: the column that says what each individual is")
    chosen.name = chosen.name or (_name_of(chosen.data) if chosen.data else "animals")
    return chosen


def main(given: list[str] | None = None) -> int:
    """Train as the command line says and return the exit code."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _stop)
    chosen = arguments(given)
    try:
        return _train(chosen)
    except KeyboardInterrupt:
        _say("stopped; nothing was written")
        return 130


def _train(chosen: argparse.Namespace) -> int:
    home = chosen.out / chosen.name
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    try:
        population = _population(chosen)
        with bundle.draft(home) as folder:
            from models import assemble  # TensorFlow comes with it, so what can be refused is refused before

            with _progress() as step:
                manifest = assemble.make(population, folder, chosen, step)
            assemble.verify(folder, manifest)
            final = bundle.publish(folder, manifest)
            assemble.tell(Bundle.read(final), chosen)
    except (BundleError, DataError) as error:
        _say(error)
    except ModuleNotFoundError as error:
        _say(f"training needs {error.name}: `pip install -r requirements/train.txt`")
    except OSError as error:
        _say(f"cannot write {error.filename or home} ({error.strerror}): make room, or choose another --out")
    else:
        return 0
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()  # only if it is empty: nothing came of it
    return 2


def _population(chosen: argparse.Namespace) -> "Population":
    if chosen.data is None:
        from models import animals

        return animals.read()
    from models import table

    own = table.read(chosen.data, chosen.label, chosen.schema, chosen.group)
    table.check_groups(own, chosen.folds if chosen.report else 0)
    return own


@contextmanager
def _progress() -> Iterator[Callable[[str, int], Callable[[str], None]]]:
    """Start a bar (on a terminal) or say a line: ``step(what, total)`` returns what to call at each of the total."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def step(what: str, total: int) -> Callable[[str], None]:
            if not console.is_terminal:
                _say(what)
            task = progress.add_task(what, total=total)

            def advance(detail: str) -> None:
                if _stopped:
                    raise _stopped[0]
                progress.update(task, advance=1, description=f"{what}: {detail}" if detail else what)

            return advance

        yield step


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: use letters, digits, '.', '_' and '-' only")
    return text


def _name_of(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or "table"


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return number


def _folds(text: str) -> int:
    if text != "0" and (not re.fullmatch(r"\d{1,2}", text, re.ASCII) or int(text) not in range(2, 13)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither 0 nor a whole number from 2 to 12")
    return int(text)


def _say(what: object) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


# What a signal raised, for the next epoch to raise again: TensorFlow may swallow it where it comes at a bad moment.
_stopped: list[BaseException] = []


def _stop(sent: int, _frame: Any) -> NoReturn:
    _stopped.append(KeyboardInterrupt() if sent == signal.SIGINT else SystemExit(143))
    raise _stopped[0]


if __name__ == "__main__":
    sys.exit(main())
