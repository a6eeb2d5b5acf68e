"""The models of `lookup_models`, adopted from their files as `python -m models.adopt` does; each once in a run."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from models import bundle
from models.adopt import adopt
from models.adoption.options import parse_options
from models.manifest import Manifest
from support.adoptions import made_once
from support.lookup_models import LookupModel, keras, make

Get = Callable[[str], "Adopted"]
"""Makes and adopts a model by its name, unless that is done already."""


class Adopted(NamedTuple):
    """A made model, the folder of its version, its manifest and what the command said."""

    made: LookupModel
    folder: Path
    manifest: Manifest
    notes: tuple[str, ...]


def publish(made: LookupModel, store: Path, *arguments: str) -> Adopted:
    """Adopt in this process."""
    options = parse_options([*arguments, "--out", str(store)])
    keras().backend.clear_session()  # names count from 0, as in a process of the command's own
    notes: list[str] = []
    with bundle.draft(options.store / options.name) as draft:
        folder = bundle.publish(draft, adopt(options, draft, notes.append))
    return Adopted(made, folder, bundle.Bundle.read(folder).manifest, tuple(notes))


def getter(root: Path) -> Get:
    """Adopts into folders of ``root``."""

    def adopt_by_name(name: str) -> Adopted:
        folder = root / name
        folder.mkdir()
        made = make(name, folder)
        return publish(made, folder / "store", str(made.path), *made.options)

    return lambda name: made_once(root, name, lambda: adopt_by_name(name))
