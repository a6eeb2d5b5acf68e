"""Packs what Spark executors need into one archive: `python deploy/spark/pack.py FOLDER`.

The archive holds the locked packages, for this platform and this minor version of Python, the code and the bundle.
"""

import filecmp
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from models.bundle import Bundle
from service.score.model_loader import find_bundle
from service.settings import SHIPPED_STORE, Settings

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements" / "score.txt"
CODE = ("models", "service")


def pack(folder: Path) -> Path:
    """Create the archive in ``folder``. Code and bundle are copied each time; packages only if the lock has changed."""
    content, installed_lock = folder / "menagerie", folder / "score.txt"
    if not installed_lock.exists() or not filecmp.cmp(installed_lock, LOCK, shallow=False):
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*command, "--require-hashes", "--target", content, "--requirement", LOCK], check=True)
        shutil.copy(LOCK, installed_lock)
    for name in CODE:
        shutil.rmtree(content / name, ignore_errors=True)
        shutil.copytree(ROOT / name, content / name, ignore=shutil.ignore_patterns(SHIPPED_STORE.name))
    settings = Settings.load()
    bundle = Bundle.read(find_bundle(settings))
    store = content / SHIPPED_STORE.relative_to(ROOT)
    shutil.copytree(bundle.folder, store / settings.model_name / str(bundle.manifest.version))
    archive = folder / "menagerie.tar"
    with tarfile.open(archive, "w") as tar:
        for path in sorted(content.iterdir()):  # one by one, because Spark does not unpack an archive with an entry "."
            tar.add(path, path.name, filter=_skip_unused)
    return archive


def _skip_unused(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name in {"tests", "include", "__pycache__"} else member


if __name__ == "__main__":
    pack(Path(sys.argv[1]).resolve())
