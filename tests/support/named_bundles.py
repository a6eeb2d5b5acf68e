"""Bundles under names of their own, so that a store has several models."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from models.bundle import MANIFEST, Bundle, list_versions
from support.handmade_bundles import Network, publish


def copy_bundle(source: Path, store: Path, name: str, version: int = 1) -> Path:
    """Copy a bundle into a store under another name and version; return its folder."""
    folder = store / name / str(version)
    shutil.copytree(source, folder)
    manifest = Bundle.read(source).manifest.model_copy(update={"name": name, "version": version})
    (folder / MANIFEST).write_text(manifest.to_json())
    return folder


def publish_named(store: Path, name: str, widths: Sequence[int] = (3, 4, 2), seed: int = 1) -> Path:
    """Publish a random network as the next version of a model; the folder of the version."""
    return rename_into(store, name, lambda folder: publish(folder, Network.random(widths, seed=seed)))


def rename_into(store: Path, name: str, publish_in: Callable[[Path], Bundle]) -> Path:
    """Publish a bundle elsewhere, and move it into a store under another name, as the next version."""
    (store / name).mkdir(parents=True, exist_ok=True)
    version = max(list_versions(store / name), default=0) + 1
    with tempfile.TemporaryDirectory() as elsewhere:
        published = publish_in(Path(elsewhere)).folder
        return Path(
            shutil.move(copy_bundle(published, Path(elsewhere) / "copy", name, version), store / name / str(version))
        )
