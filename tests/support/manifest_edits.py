"""Changes the manifest of a bundle in a store, as a broken training run or an attacker might."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.bundle import MANIFEST


def edit_manifest(store: Path, key: str, change: Callable[[Any], object]) -> None:
    """Let ``change`` modify what is under ``key`` in the manifest of ``animals/1``."""
    path = store / "animals" / "1" / MANIFEST
    document = json.loads(path.read_text())
    change(document[key])
    path.write_text(json.dumps(document))
