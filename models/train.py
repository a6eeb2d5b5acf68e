"""`python -m models.train`: trains a network on facts or on a user's table and publishes it as a bundle."""

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from models import bundle
from models.bundle import Bundle, BundleError
from models.errors import DataError
from models.installation import install_command
from models.options import PROGRAM, TrainingOptions, parse_options
from models.progress import log, show_progress

if TYPE_CHECKING:
    from models.dataset import Dataset


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Train as the command line of ``program`` says and return the exit code."""
    options = parse_options(arguments, program)
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop_signal, _stop)
    model_dir = options.store / options.name
    new_folders = [folder for folder in (model_dir, *model_dir.parents) if not folder.exists()]
    try:
        _train_or_stop(options)
    except KeyboardInterrupt:
        log("stopped; nothing was written")
        return 130
    except (BundleError, DataError) as error:
        log(error)
    except ModuleNotFoundError as error:
        log(f"training requires the package {error.name}: run `{install_command('train')}`")
    except OSError as error:
        log(f"cannot write {error.filename or model_dir} ({error.strerror}): free disk space, or choose another --out")
    else:
        return 0
    finally:
        for folder in new_folders:
            with suppress(OSError):
                folder.rmdir()  # removes only what is empty: nothing was published
    return 2


def _train_or_stop(options: TrainingOptions) -> None:
    """As `train`, but a stop is a stop even where TensorFlow raises an error of its own in its place."""
    try:
        train(options)
    except Exception:
        _require_no_stop()
        raise


def train(options: TrainingOptions) -> None:
    """Run a training from the data to the published bundle.

    Raises:
        DataError: the data is unfit for training.
        BundleError: the draft cannot be made or published, or an engine does not reproduce the golden rows.
        OSError: a file cannot be written.
    """
    dataset = load_dataset(options)
    with bundle.draft(options.store / options.name) as folder:
        # TensorFlow is imported only once the data has been accepted.
        from models import network, packaging, recipe
        from models.report import Report
        from models.summary import print_summary

        all_groups = np.arange(len(dataset.groups))
        steps = recipe.count_steps(dataset, options)
        cross_validation = None
        with show_progress(_require_no_stop) as start_phase:
            result = recipe.train(dataset, all_groups, options, start_phase("training", steps))
            if options.folds:
                rounds = options.folds + (dataset.split_extremes() is not None)
                advance = start_phase("cross-validation", rounds * steps)
                cross_validation = recipe.cross_validate(dataset, options, advance)
        network.export(result.network, folder, packaging.build_whole(result))
        manifest = packaging.build_manifest(dataset, result, cross_validation, options)
        if options.report:
            Report(dataset, manifest, result, cross_validation).write(folder / "report")
        packaging.verify_exports(folder, manifest)
        published = bundle.publish(folder, manifest)
    print_summary(Bundle.read(published), options)


def load_dataset(options: TrainingOptions) -> "Dataset":
    """Load the user's table, or the animals if there is none.

    Raises:
        DataError: the data is unfit for training.
    """
    if options.table is None or options.label is None:
        from models.animals import Animals

        return Animals.read()
    from models.tables.dataset import check_groups, check_size
    from models.tables.reader import read_table

    table = read_table(options, log)
    check_groups(table, options.folds, options.group)
    check_size(table, options.hidden[0])
    return table


# The exception that a signal raised, for the next epoch to raise again: TensorFlow may swallow the first.
_pending_stop: list[BaseException] = []


def _require_no_stop() -> None:
    if _pending_stop:
        raise _pending_stop[0]


def _stop(signal_number: int, _frame: Any) -> NoReturn:
    _pending_stop.append(KeyboardInterrupt() if signal_number == signal.SIGINT else SystemExit(143))
    raise _pending_stop[0]


if __name__ == "__main__":
    sys.exit(main())
