"""One trained model as a folder of files: the contract between training and serving.

A bundle is the folder ``<store>/<name>/<version>/``. Its ``manifest.json`` describes the model and lists every other
file with its size and SHA-256. Training publishes a bundle atomically; serving reads only what matches the manifest.
This module imports neither TensorFlow nor Flask, so that both halves can share it.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from models.manifest import FileEntry, Manifest

MANIFEST = "manifest.json"
CURRENT = "CURRENT"  # an optional file beside the versions that holds the number of the one to serve
SHADOW = "SHADOW"  # likewise, of the one to compare with it
MODEL_KERAS = "model.keras"
MODEL_LITERT = "model.tflite"
SAVED_MODEL = (
    "saved_model"  # a folder; adopted models have it instead of `MODEL_KERAS`, because it needs no custom code
)
WEIGHTS = "weights.json"
NETWORK = "network"  # the layer of `MODEL_KERAS` behind the preprocessing of raw values, where a model has encoders
_MAX_NUMBER_BYTES = 1_000  # of `CURRENT` and `SHADOW`
_MAX_DIGITS = 16  # of a version, which a manifest limits to 2**53; many are Unix times in seconds or milliseconds
_MAX_MANIFEST_BYTES = 16_000_000  # the shipped one has 40,000


class BundleError(Exception):
    """A bundle cannot be found, trusted or written; the message names the file and the remedy."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files all match its manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path) -> "Bundle":
        """Read the manifest and verify every file that it lists.

        Raises:
            BundleError: a file is missing, unreadable, or differs from its entry in the manifest.
        """
        bundle = cls(folder, _read_manifest(folder))
        for name in bundle.manifest.files:
            bundle.read_bytes(name)
        return bundle

    def read_bytes(self, name: str) -> bytes:
        """Return the content of one file; what is returned is what was verified.

        Raises:
            BundleError: the manifest does not list the file, or the file has changed since.
        """
        expected = self.manifest.files.get(name)
        if expected is None:
            raise BundleError(f"{self.folder / MANIFEST} does not list {name}: train the model again")
        content = _read_file(self.folder, name, expected.size)
        if _file_entry(content) != expected:
            raise BundleError(
                f"{self.folder / name} does not match {MANIFEST} (size or SHA-256 differs): "
                "copy the bundle again, or train the model again"
            )
        return content

    @property
    def is_trained(self) -> bool:
        """Whether `models.train` has made it, not `models.adopt`; in format 3 only the former writes Keras' file."""
        return self.manifest.format == 1 or (self.manifest.format == 3 and MODEL_KERAS in self.manifest.files)  # noqa: PLR2004

    @property
    def remedy(self) -> str:
        """What to do about a bundle that is not as it should be."""
        return "train the model again" if self.is_trained else "adopt the model again"

    def with_name(self, name: str) -> "Bundle":
        """Copy the bundle under another model name."""
        return Bundle(self.folder, self.manifest.model_copy(update={"name": name}))


def list_models(store: Path) -> list[str]:
    """List the models in a store by name: the folders that have a version, and whose name can be part of a URL's path.

    Raises:
        OSError: the store cannot be read.
    """
    folders = [entry for entry in store.iterdir() if is_path_name(entry.name)]
    return sorted(folder.name for folder in folders if list_versions(folder))


def is_path_name(name: str) -> bool:
    """Whether a model's name can be part of a URL's path, of a list of names, and of JSON."""
    return bool(name) and name.isprintable() and not re.search(r"^\.|[/:,]", name)


def is_unreadable(folder: Path) -> bool:
    """Whether something keeps a folder from being read, so that it may or may not have a model."""
    try:
        with os.scandir(folder):
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def list_versions(model_dir: Path) -> list[int]:
    """List a model's versions in ascending order: the folders that are named by a positive integer."""
    try:
        with os.scandir(model_dir) as entries:
            return sorted(int(entry.name) for entry in entries if _is_version(entry.name) and _is_folder(entry))
    except OSError:
        return []


def find_version_folders(model_dir: Path) -> dict[int, Path]:
    """Map a model's versions, in ascending order, to their folders.

    They lie in ``model_dir``, unless ``model_dir`` is itself a bundle.

    Raises:
        BundleError: ``model_dir`` cannot be read, or is a bundle whose manifest cannot.
    """
    try:
        if (model_dir / MANIFEST).exists():
            return {_read_manifest(model_dir).version: model_dir}
        return {version: model_dir / str(version) for version in list_versions(model_dir)}
    except OSError as error:
        raise BundleError(f"cannot read {model_dir} ({error.strerror}): name a folder that can be read") from None


def missing_model_message(model_dir: Path) -> str:
    """Return the error message for a model without a version that may serve."""
    if list_versions(model_dir):
        return f"{model_dir / SHADOW} names the only version, so that none may serve: delete the file, or train another"
    return (
        f"no model in {model_dir}: train one with "
        f"`python -m models.train --out {model_dir.parent} --name {model_dir.name}`, "
        "or set MENAGERIE_MODEL_STORE and MENAGERIE_MODEL_NAME to those of an existing model"
    )


def read_current_version(model_dir: Path) -> int | None:
    """Return the version that the file ``CURRENT`` selects; None if there is no such file.

    Raises:
        BundleError: the file holds anything but the number of a version.
    """
    return _read_number(model_dir / CURRENT)


def write_current_version(model_dir: Path, version: int) -> None:
    """Let the file ``CURRENT`` select a version; a reader sees the old content or the new one.

    Raises:
        BundleError: the file cannot be written.
    """
    _write_number(model_dir / CURRENT, version)


def read_shadow_version(model_dir: Path) -> int | None:
    """As `read_current_version`, for the file ``SHADOW``."""
    return _read_number(model_dir / SHADOW)


def write_shadow_version(model_dir: Path, version: int) -> None:
    """As `write_current_version`, for the file ``SHADOW``; the version need not exist yet."""
    _write_number(model_dir / SHADOW, version)


def delete_shadow_version(model_dir: Path) -> None:
    """Delete the file ``SHADOW`` if there is one.

    Raises:
        BundleError: it cannot be deleted.
    """
    path = model_dir / SHADOW
    try:
        path.unlink(missing_ok=True)
        _fsync(model_dir)
    except OSError as error:
        raise BundleError(f"cannot delete {path} ({error.strerror}): choose a store that you may write to") from None


@contextmanager
def draft(model_dir: Path) -> Iterator[Path]:
    """Yield an empty folder in ``model_dir`` to fill and `publish`; remove it at the end if it was not published.

    Raises:
        BundleError: the folder cannot be made.
    """
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".draft-", dir=model_dir))
        folder.chmod(0o755)  # mkdtemp makes it private, but the service may run as another user
    except OSError as error:
        raise BundleError(f"cannot write to {model_dir} ({error.strerror}): choose another folder with --out") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, manifest: Manifest) -> Path:
    """Turn a filled draft into the model's next version, and return its folder.

    The manifest gets the entries of all files; then the draft is renamed into place, so that a reader sees all of the
    version or none. If two training runs publish at once, each gets a version of its own.

    Raises:
        BundleError: the files cannot be written, or the manifest would be too large to be read.
    """
    model_dir = folder.parent
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = {path.relative_to(folder).as_posix(): _file_entry(path.read_bytes()) for path in paths}
    version = max(list_versions(model_dir), default=0) + 1
    try:
        while True:
            final = manifest.model_copy(update={"name": model_dir.name, "version": version, "files": files})
            content = final.to_json().encode()
            if len(content) > _MAX_MANIFEST_BYTES:
                raise BundleError(
                    f"the manifest has {len(content) / 1e6:.0f} MB, but only {_MAX_MANIFEST_BYTES / 1e6:.0f} MB can be "
                    "read, so nothing was published: train with fewer labels or features"
                )
            (folder / MANIFEST).write_bytes(content)
            for path in (*paths, folder / MANIFEST):
                _fsync(path)
            target = model_dir / str(version)
            try:
                folder.rename(target)
            except OSError:
                if not target.exists():
                    raise
                version += 1
            else:
                _fsync(model_dir)
                return target
    except OSError as error:
        target = model_dir / str(version)
        raise BundleError(f"cannot write {target} ({error.strerror}): free disk space, or change --out") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say
        return False


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit() and text[0] != "0"


def _read_number(path: Path) -> int | None:
    """The version in a file that holds nothing else; None if there is no such file. Of a pipe, nothing is read."""
    try:
        text = (_read_regular(path, _MAX_NUMBER_BYTES) or b"").decode().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError):
        text = ""
    if not (_is_version(text) and len(text) <= _MAX_DIGITS):
        raise BundleError(f"{path} must contain a version number only: correct it or delete it")
    return int(text)


def _write_number(path: Path, version: int) -> None:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        temporary = Path(name)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 (a descriptor has no path)
                file.write(f"{version}\n")
            temporary.chmod(0o644)  # mkstemp makes it private, but the service may run as another user
            _fsync(temporary)
            temporary.rename(path)
            _fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BundleError(f"cannot write {path} ({error.strerror}): choose a store that you may write to") from None


def _read_manifest(folder: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(_read_file(folder, MANIFEST, _MAX_MANIFEST_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        location = ".".join(map(str, first["loc"])) or "top level"
        raise BundleError(
            f"{folder / MANIFEST} is not a valid manifest ({location}: {first['msg']}): train the model again"
        ) from None


def _read_file(folder: Path, name: str, max_bytes: int) -> bytes:
    """Read a regular file that lies inside the folder and is not a link, so that a manifest cannot point elsewhere.

    At most one byte more than ``max_bytes`` is returned. A pipe is refused without waiting for its writer.
    """
    relative = PurePosixPath(name)
    path = folder / relative
    try:
        if not _is_inside(folder, relative):
            raise BundleError(f"{path} is a link or outside the bundle: copy it again, or train the model again")
        content = _read_regular(path, max_bytes + 1, os.O_NOFOLLOW)
    except OSError as error:
        raise BundleError(
            f"cannot read {path} ({error.strerror or error}): copy the bundle again, or train the model again"
        ) from None
    if content is None:
        raise BundleError(f"{path} is not a regular file: copy the bundle again, or train the model again")
    return content


def _read_regular(path: Path, max_bytes: int, flags: int = 0) -> bytes | None:
    """At most so many bytes of a file; None if it is not a regular one. A pipe is not waited for.

    ``open`` would not close the descriptor of a folder.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)


def _is_inside(folder: Path, relative: PurePosixPath) -> bool:
    """Whether a path below a folder leads to where it says: over no link, and not up again."""
    if relative.is_absolute() or ".." in relative.parts:
        return False
    return not any((folder / part).is_symlink() for part in (relative, *relative.parents[:-1]))


def _file_entry(content: bytes) -> FileEntry:
    return FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
