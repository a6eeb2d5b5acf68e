"""Stores with several models."""

import shutil
from pathlib import Path

from models.bundle import MANIFEST, Bundle


def copy_bundle(source: Path, store: Path, name: str, version: int = 1) -> Path:
    """Copy a bundle into a store under another name and version; return its folder."""
    folder = store / name / str(version)
    shutil.copytree(source, folder)
    manifest = Bundle.read(source).manifest.model_copy(update={"name": name, "version": version})
    (folder / MANIFEST).write_text(manifest.to_json())
    return folder
