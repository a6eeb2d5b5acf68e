"""Handmade bundles under names of their own, so that a store has several models."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from models.bundle import MANIFEST, Bundle, list_versions
from support.handmade_bundles import Network, publish


def publish_named(store: Path, name: str, widths: Sequence[int] = (3, 4, 2), seed: int = 1) -> Path:
    """Publish a random network as the next version of a model; the folder of the version."""
    return rename_into(store, name, lambda folder: publish(folder, Network.random(widths, seed=seed)))


def rename_into(store: Path, name: str, publish_in: Callable[[Path], Bundle]) -> Path:
    """Publish a bundle elsewhere, and move it into a store under another name, as the next version."""
    (store / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = publish_in(Path(elsewhere)).folder
        version = max(list_versions(store / name), default=0) + 1
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(manifest | {"name": name, "version": version}))
        return Path(shutil.move(folder, store / name / str(version)))
