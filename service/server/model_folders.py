"""Where models lie in a folder, found without reading more than their names.

Only the standard library is imported: every start waits for this module.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

_MANIFEST = "manifest.json"
_DEPTH = 3  # of <folder>/<store>/<name>/<version>


def find_models(folder: Path) -> dict[str, Path]:
    """The folders of the models in a folder, by name: each is a bundle, or has one for each version."""
    return {read_name(home) or home.name: home for home in _find_homes(folder, _DEPTH)}


def read_name(home: Path) -> str | None:
    """The name in the manifest of a model; None if it cannot be read, which loading the model reports."""
    for manifest in (home / _MANIFEST, *sorted(home.glob(f"[0-9]*/{_MANIFEST}"))):
        try:
            name = json.loads(manifest.read_bytes())["name"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(name, str) and name:
            return name
    return None


def _find_homes(folder: Path, depth: int) -> Iterator[Path]:
    folders = _subfolders(folder)
    if (folder / _MANIFEST).is_file() or any(each.name.isdigit() and (each / _MANIFEST).is_file() for each in folders):
        yield folder
    elif depth > 1:
        for each in folders:
            yield from _find_homes(each, depth - 1)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
