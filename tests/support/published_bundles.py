"""Bundles that a training run has published."""

from pathlib import Path

from models import bundle


def newest_version(model_dir: Path) -> Path:
    """The folder of a model's highest version."""
    return [*bundle.find_version_folders(model_dir).values()][-1]
