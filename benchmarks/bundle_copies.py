"""Copies of a bundle, so that a store has several models or versions."""

import shutil
from pathlib import Path

from models.bundle import MANIFEST, Bundle


def copy_bundle(source: Bundle, store: Path, name: str, version: int) -> None:
    """Copy a bundle into a store under another name and version."""
    folder = store / name / str(version)
    shutil.copytree(source.folder, folder)
    manifest = source.manifest.model_copy(update={"name": name, "version": version})
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
