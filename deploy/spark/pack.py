"""`python deploy/spark/pack.py FOLDER`: what the executors need, as one archive: packages, code and the bundle.

The packages are those of the lock, for this platform and this Python's minor version; they are installed once.
"""

import filecmp
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from models.bundle import Bundle
from service.score import served
from service.settings import SHIPPED_STORE, Settings

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements" / "score.txt"
CODE = ("models/__init__.py", "models/bundle.py", "models/manifest.py", "service")


def pack(home: Path) -> Path:
    """The archive, in ``home``: its packages from an earlier time, its code and its bundle as they are now."""
    inside, installed = home / "menagerie", home / "score.txt"
    if not installed.exists() or not filecmp.cmp(installed, LOCK, shallow=False):
        shutil.rmtree(home, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*command, "--require-hashes", "--target", inside, "--requirement", LOCK], check=True)
        shutil.copy(LOCK, installed)
    for name in ("models", "service"):
        shutil.rmtree(inside / name, ignore_errors=True)
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (inside / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, inside / name)
    settings = Settings.load()
    bundle = Bundle.read(served.folder(settings))
    store = inside / SHIPPED_STORE.relative_to(ROOT)
    shutil.copytree(bundle.folder, store / settings.model_name / str(bundle.manifest.version))
    archive = home / "menagerie.tar"
    with tarfile.open(archive, "w") as tar:
        for path in sorted(inside.iterdir()):  # one by one: Spark unpacks no archive that has "." in it
            tar.add(path, path.name, filter=_wanted)
    return archive


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name in {"tests", "include", "__pycache__"} else member


if __name__ == "__main__":
    pack(Path(sys.argv[1]).resolve())
