"""`python -m models.adopt`: publishes a user's own Keras model as a bundle."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from models import bundle
from models.adoption.options import PROGRAM, AdoptionOptions, parse_options
from models.bundle import Bundle, BundleError
from models.errors import DataError
from models.installation import install_command
from models.manifest import Manifest
from models.progress import log, show_progress

Note = Callable[[str], None]
_STEPS = 6


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Adopt as the command line of ``program`` says and return the exit code."""
    options = parse_options(arguments, program)
    model_dir = options.store / options.name
    new_folders = [folder for folder in (model_dir, *model_dir.parents) if not folder.exists()]
    try:
        with bundle.draft(model_dir) as folder:
            code = _adopt_in_subprocess(options, folder)
            if code:
                return code
            manifest = Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
            published = bundle.publish(folder, manifest)
    except KeyboardInterrupt:
        log("stopped; nothing was written")
        return 130
    except BundleError as error:
        log(error)
        return 2
    finally:
        for each in new_folders:
            with suppress(OSError):
                each.rmdir()  # removes only what is empty: nothing was published
    from models.adoption.summary import print_summary

    print_summary(Bundle.read(published), options)
    return 0


def adopt(options: AdoptionOptions, folder: Path, note: Note = log, on_step: Note = lambda _: None) -> Manifest:
    """Write a model's files into a draft and return its manifest.

    ``note`` gets a sentence for everything that was guessed or changed, ``on_step`` a word for each step that begins.

    Raises:
        DataError: the sample is unfit, or the model cannot be adopted (`AdoptionError`).
        OSError: a file cannot be written.
    """
    from models.adoption.sample import SampleTable

    on_step("reading")
    table = SampleTable(options, options.table, note) if options.table else None
    # TensorFlow is imported only once the sample's file has been read.
    from models.adoption import packaging
    from models.adoption.agreement import require_agreement, require_encoded_agreement
    from models.adoption.cut_network import encode_model
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.adoption.report import write_report
    from models.adoption.understanding import understand
    from models.adoption.wrapping import wrap

    loaded = load(options.model, options.custom)
    on_step("predicting")
    model = understand(options, loaded, table, note)
    on_step("wrapping")
    encoded = encode_model(model.loaded, model.loaded.cut, model.features) if model.loaded.cut else None
    wrapped = wrap(encoded.network if encoded else model.loaded, [each.head for each in model.decided])
    for sentence in wrapped.notes:
        note(sentence)
    on_step("exporting")
    export(wrapped, folder, options.engine)
    on_step("comparing")
    if encoded:
        require_encoded_agreement(wrapped, encoded, folder, model.raw, options.engine)
    else:
        require_agreement(model.loaded, wrapped, folder, model.rows, options.engine)
    on_step("describing")
    encoders = encoded.encoders if encoded else ()
    manifest = packaging.build_manifest(options, model, wrapped, folder, encoders)
    if model.evaluations:
        write_report(folder / "report", manifest, model.evaluations)
    return manifest


def _adopt_in_subprocess(options: AdoptionOptions, folder: Path) -> int:
    """Fill the draft in a process of its own, so that a crash of TensorFlow is a sentence, and return the exit code."""
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_fill_draft_and_exit, args=(options, folder))
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child inherits it: only the parent stops on Ctrl+C
    try:
        child.start()
    finally:
        signal.signal(signal.SIGINT, previous)
    handlers = {each: signal.signal(each, _stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        child.join()
    finally:
        child.kill()
        child.join()
        for each, handler in handlers.items():
            signal.signal(each, handler)
    code = child.exitcode or 0
    if code >= 0:
        return code
    if -code == signal.SIGKILL:
        log("the adoption was killed, perhaps because memory ran out: close other programs, or use a smaller sample")
    else:
        log(
            f"TensorFlow crashed ({signal.Signals(-code).name}) while it adopted {options.model}: save the model again "
            "with a current Keras, or report this with the model's file"
        )
    return 2


def fill_draft(options: AdoptionOptions, folder: Path) -> int:
    """Adopt into a draft with its manifest, report on stderr, and return the exit code."""
    notes: list[str] = []
    try:
        with show_progress(lambda: None) as start_phase:
            advance = start_phase(f"adopting {options.model.name}", _STEPS)
            manifest = adopt(options, folder, notes.append, advance)
        (folder / bundle.MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        message = None
    except DataError as error:
        message = str(error)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        message = f"the model cannot be described ({first['msg']}): choose other names with --columns or --labels"
    except ModuleNotFoundError as error:
        message = f"adoption requires the package {error.name}: run `{install_command('train')}`"
    except MemoryError:
        message = "memory ran out: use a smaller sample, or close other programs"
    except OSError as error:
        message = f"cannot write {error.filename or folder} ({error.strerror}): free disk space, or change --out"
    for sentence in notes:
        log(sentence)
    if message:
        log(message)
    return 2 if message else 0


def _fill_draft_and_exit(options: AdoptionOptions, folder: Path) -> None:
    code = fill_draft(options, folder)
    sys.stdout.flush()
    os._exit(code)  # at a normal exit, threads of TensorFlow can hang


def _stop(signal_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt if signal_number == signal.SIGINT else SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
