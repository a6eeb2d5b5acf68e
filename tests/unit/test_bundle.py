"""Bundles on disk are published atomically, and only files that match the manifest are read."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.published_bundles import newest_version

from models import bundle
from models.bundle import MANIFEST, MODEL_KERAS, MODEL_LITERT, Bundle, BundleError
from models.golden import GOLDEN_TOLERANCE, find_golden_mismatch
from models.manifest import Manifest
from service.score import model_loader
from service.settings import SHIPPED_STORE, Settings

SHIPPED = SHIPPED_STORE / "animals" / "1"


@pytest.fixture
def folder(store: Path) -> Path:
    return store / "animals" / "1"


@pytest.fixture
def manifest() -> Manifest:
    return Bundle.read(SHIPPED).manifest


def edit(**changes: object) -> Callable[[Path], None]:
    """Change the manifest's top-level keys."""

    def change(folder: Path) -> None:
        path = folder / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def flip(name: str) -> Callable[[Path], None]:
    """Flip one bit in the middle of a file."""

    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return change


def link(folder: Path) -> None:
    (folder / MODEL_LITERT).rename(folder.parent / "elsewhere")
    (folder / MODEL_LITERT).symlink_to(folder.parent / "elsewhere")


def truncate(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, 100)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


FILE_ENTRY = {"size": 1, "sha256": "0" * 64}


def edit_file_entry(name: str, **changes: object) -> Callable[[Path], None]:
    """Change a file's entry in the manifest."""

    def change(folder: Path) -> None:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        edit(files=files | {name: files[name] | changes})(folder)

    return change


def pipe(name: str) -> Callable[[Path], None]:
    """Replace a file by a pipe without a writer, on which a plain open would block."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def fill(name: str, size: int) -> Callable[[Path], None]:
    """Extend a file with zeros, sparsely."""
    return lambda folder: os.truncate(folder / name, size)


def link_folder(folder: Path) -> None:
    (folder / "report").rename(folder.parent / "elsewhere")
    (folder / "report").symlink_to(folder.parent / "elsewhere")


def link_manifest(folder: Path) -> None:
    (folder / MANIFEST).rename(folder.parent / "elsewhere")
    (folder / MANIFEST).symlink_to(folder.parent / "elsewhere")


def replace_by_folder(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def nest(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 1_000_000)


@pytest.mark.parametrize(
    ("break_bundle", "expected"),
    [
        (flip(MODEL_LITERT), MODEL_LITERT),
        (flip(MODEL_KERAS), MODEL_KERAS),
        (truncate(MODEL_LITERT), MODEL_LITERT),
        (truncate(MANIFEST), MANIFEST),
        (remove(MODEL_LITERT), MODEL_LITERT),
        (remove(MANIFEST), MANIFEST),
        (link, MODEL_LITERT),
        (edit(format=2), MANIFEST),
        (edit(labels=["cat", "cat", "llama", "lizard"]), MANIFEST),
        (edit(labels=["cat", "dog"]), MANIFEST),
        (edit(features=[]), MANIFEST),
        (edit(golden=[]), MANIFEST),
        (edit(surplus=1), MANIFEST),
        (edit(background=[[1, 2, 3]]), MANIFEST),
        (edit(background=[[1e39] * 8]), MANIFEST),
        (link_manifest, MANIFEST),
        (link_folder, "report/"),
        (pipe(MODEL_LITERT), MODEL_LITERT),
        (pipe(MANIFEST), MANIFEST),
        (replace_by_folder(MODEL_LITERT), MODEL_LITERT),
        (replace_by_folder(MANIFEST), MANIFEST),
        (fill(MANIFEST, 1_000_000_000_000), MANIFEST),
        (fill(MODEL_LITERT, 1_000_000_000_000), MODEL_LITERT),
        (edit_file_entry(MODEL_LITERT, size=0), MODEL_LITERT),
        (edit_file_entry(MODEL_LITERT, size=1_000_000_000), MODEL_LITERT),
        (edit_file_entry(MODEL_LITERT, size=10**30), MANIFEST),
        (edit_file_entry(MODEL_LITERT, size=-1), MANIFEST),
        (edit_file_entry("weights.json", sha256="0" * 64), "weights.json"),
        (edit_file_entry("report/report.json", sha256="0" * 64), "report/report.json"),
        (flip("weights.json"), "weights.json"),
        (flip("report/index.html"), "report/index.html"),
        (nest, MANIFEST),
        (edit(layers=[{"name": "hidden_1", "units": 10**18, "activation": "relu"}]), MANIFEST),
        (edit(version=10**400), MANIFEST),
        (edit(version=2**53 + 1), f"{MANIFEST} is not a valid manifest"),
        (edit(files={"report/\x00": FILE_ENTRY}), MANIFEST),
        (edit(files={"report\\..\\..": FILE_ENTRY}), MANIFEST),
        (edit(files={"../../secret": FILE_ENTRY}), MANIFEST),
        (edit(files={"/etc/passwd": FILE_ENTRY}), MANIFEST),
        (edit(files={"report/../../../x": FILE_ENTRY}), "report/../../../x"),
    ],
)
def test_a_broken_bundle_is_refused(folder: Path, break_bundle: Callable[[Path], None], expected: str) -> None:
    """The error names the file in one line, whatever is wrong with the bundle."""
    break_bundle(folder)
    with pytest.raises(BundleError) as refused:
        Bundle.read(folder)
    assert str(folder) in str(refused.value)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_are_verified_again_when_they_are_used(folder: Path) -> None:
    """A file that changed after the bundle was read is refused."""
    shipped = Bundle.read(folder)
    assert shipped.read_bytes(MODEL_LITERT) == (SHIPPED / MODEL_LITERT).read_bytes()
    flip(MODEL_LITERT)(folder)
    with pytest.raises(BundleError, match=MODEL_LITERT):
        shipped.read_bytes(MODEL_LITERT)
    with pytest.raises(BundleError, match=r"weights\.bin"):
        shipped.read_bytes("weights.bin")


def test_versions_are_positive_integers_in_numeric_order(store: Path) -> None:
    """Ten follows nine; drafts, files, a link to itself and folders with other names are ignored."""
    for name in ("2", "10", "9", "0", "01", "-1", "latest", ".draft-x", "²"):
        (store / "animals" / name).mkdir()
    (store / "animals" / "11").write_text("a file")
    (store / "animals" / "12").symlink_to("12")
    assert bundle.list_versions(store / "animals") == [1, 2, 9, 10]
    assert newest_version(store / "animals").name == "10"


@pytest.mark.parametrize("name", ["nobody", "../animals", ""])
def test_a_missing_model_is_an_error_with_remedies(tmp_path: Path, name: str) -> None:
    """The error names the folder and both remedies: train a model, or set the location of an existing one."""
    with pytest.raises(BundleError, match=r"models\.train.*MENAGERIE_MODEL_STORE"):
        model_loader.find_bundle(Settings(model_dir=tmp_path / name))


def test_a_published_draft_is_a_bundle(tmp_path: Path, manifest: Manifest) -> None:
    """It gets the next version, an entry for each file, and permissions for any reader."""
    for version in (1, 2):
        with bundle.draft(tmp_path / "animals") as draft:
            (draft / MODEL_LITERT).write_bytes(b"weights")
            (draft / "report").mkdir()
            (draft / "report" / "index.html").write_text("<p>good</p>")
            published = bundle.publish(draft, manifest)
        assert published == tmp_path / "animals" / str(version)
        read = Bundle.read(published).manifest
        assert read.version == version
        assert set(read.files) == {MODEL_LITERT, "report/index.html"}
        assert published.stat().st_mode & 0o055 == 0o055
    assert sorted(entry.name for entry in (tmp_path / "animals").iterdir()) == ["1", "2"]


def test_a_manifest_that_its_reader_would_refuse_is_not_published(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the sizes and the remedy; no version is left."""
    monkeypatch.setattr(bundle, "_MAX_MANIFEST_BYTES", 10_000)
    with pytest.raises(BundleError, match="fewer labels or features"), bundle.draft(tmp_path / "animals") as draft:
        bundle.publish(draft, manifest)
    assert bundle.list_versions(tmp_path / "animals") == []


def test_an_abandoned_draft_leaves_nothing(tmp_path: Path) -> None:
    """If training stops, its files are removed."""
    with pytest.raises(KeyboardInterrupt), bundle.draft(tmp_path / "animals") as draft:
        (draft / MODEL_LITERT).write_bytes(b"half")
        raise KeyboardInterrupt
    assert list((tmp_path / "animals").iterdir()) == []


def test_concurrent_publishers_each_get_a_version(tmp_path: Path, manifest: Manifest) -> None:
    """Eight training runs publish eight versions; none is lost or overwritten."""
    barrier = threading.Barrier(8)

    def train(number: int) -> None:
        with bundle.draft(tmp_path / "animals") as draft:
            (draft / "number").write_text(str(number))
            barrier.wait()
            bundle.publish(draft, manifest)

    threads = [threading.Thread(target=train, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bundles = [Bundle.read(tmp_path / "animals" / str(version)) for version in range(1, 9)]
    assert {published.read_bytes("number") for published in bundles} == {str(number).encode() for number in range(8)}


def test_an_unwritable_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """The error for a path that cannot be a folder names the option to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="--out"), bundle.draft(tmp_path / "file" / "animals"):
        pass


def golden_outputs(manifest: Manifest) -> dict[str, NDArray[np.float64]]:
    return {layer.name: np.array([row.outputs[layer.name] for row in manifest.golden]) for layer in manifest.layers}


def test_golden_rows_are_compared_layer_by_layer(manifest: Manifest) -> None:
    """The first layer that differs in any row is named with that row, in the order of the layers."""
    outputs = golden_outputs(manifest)
    assert manifest.golden_rows.shape == (len(manifest.golden), len(manifest.features))
    assert find_golden_mismatch(manifest, outputs) is None
    outputs["hidden_2"][3] += 0.01
    outputs["probabilities"][1] += 0.01
    assert find_golden_mismatch(manifest, outputs) == (3, "hidden_2")


@pytest.mark.parametrize(("error", "agrees"), [(0.5, True), (3, False), (float("nan"), False)])
def test_golden_rows_may_differ_by_the_tolerance(manifest: Manifest, error: float, agrees: bool) -> None:
    """Relative and absolute tolerance add up, so for a probability near 1 twice the constant is allowed."""
    outputs = golden_outputs(manifest)
    row, label = np.unravel_index(outputs["probabilities"].argmax(), outputs["probabilities"].shape)
    outputs["probabilities"][row, label] += error * GOLDEN_TOLERANCE
    assert (find_golden_mismatch(manifest, outputs) is None) is agrees


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_golden_rows_may_be_repeated(manifest: Manifest, rows: int) -> None:
    """The index is that of the golden row, not of its repetition."""
    outputs = {name: np.resize(values, (rows, values.shape[1])) for name, values in golden_outputs(manifest).items()}
    assert find_golden_mismatch(manifest, outputs, rows=rows) is None
    outputs["hidden_1"][-1] += 0.01
    assert find_golden_mismatch(manifest, outputs, rows=rows) == ((rows - 1) % len(manifest.golden), "hidden_1")


@pytest.mark.parametrize("shape", [(1,), (1, 4), (9, 1), (4, 9), (9,)])
def test_a_layer_of_another_shape_is_a_mismatch(manifest: Manifest, shape: tuple[int, ...]) -> None:
    """No shape is broadcast."""
    outputs = golden_outputs(manifest) | {"probabilities": np.zeros(shape)}
    assert find_golden_mismatch(manifest, outputs) == (0, "probabilities")


VERSION_FILES = pytest.mark.parametrize(
    ("name", "read", "write"),
    [
        (bundle.CURRENT, bundle.read_current_version, bundle.write_current_version),
        (bundle.SHADOW, bundle.read_shadow_version, bundle.write_shadow_version),
    ],
)
_Read = Callable[[Path], int | None]
_Write = Callable[[Path, int], None]


@VERSION_FILES
def test_version_in_a_file_is_replaced_as_a_whole(store: Path, name: str, read: _Read, write: _Write) -> None:
    """Other users can read the file, and nothing else is left."""
    model_dir = store / "animals"
    assert read(model_dir) is None
    assert read(model_dir / "1" / bundle.MANIFEST) is None
    for version in (1, 12, 1_764_420_612, 1_764_420_612_123, 2**53):
        write(model_dir, version)
        assert read(model_dir) == version
        assert (model_dir / name).stat().st_mode & 0o777 == 0o644
    assert {path.name for path in model_dir.iterdir()} == {"1", name}


@VERSION_FILES
def test_version_that_cannot_be_written_is_a_sentence(store: Path, name: str, read: _Read, write: _Write) -> None:
    """A folder in the file's place, or no folder at all: the old state stays."""
    (store / "animals" / name).mkdir()
    for model_dir in (store / "animals", store / "llamas"):
        with pytest.raises(BundleError, match=rf"cannot write .*{name} .*: choose a store that you may write to"):
            write(model_dir, 1)
    with pytest.raises(BundleError, match="must contain a version number only"):
        read(store / "animals")
    assert {path.name for path in (store / "animals").iterdir()} == {"1", name}


@VERSION_FILES
def test_version_file_with_other_content_is_refused(store: Path, name: str, read: _Read, write: _Write) -> None:
    """Also a pipe that nobody writes to, for which no start must wait."""
    path = store / "animals" / name
    for content in (
        b"",
        b"two",
        b"-1",
        b"0",
        b"1 2",
        b"1" * 17,
        b"1" * 100,
        "²".encode(),
        b"\xff",
        b" " * 5_000 + b"1",
    ):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=f"{name} must contain a version number only"):
            read(store / "animals")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match=f"{name} must contain a version number only"):
        read(store / "animals")
    path.unlink()
    write(store / "animals", 7)
    assert read(store / "animals") == 7


@pytest.mark.parametrize("read", [bundle.read_current_version, bundle.read_shadow_version])
def test_a_folder_in_a_files_place_keeps_no_descriptor(store: Path, read: _Read) -> None:
    """Every worker reads these files at every poll: it would have no descriptor left for a connection after an hour."""
    replace_by_folder(MODEL_LITERT)(store / "animals" / "1")
    for name in (bundle.CURRENT, bundle.SHADOW):
        (store / "animals" / name).mkdir()
    before = len([*Path("/dev/fd").iterdir()])
    for _ in range(3):
        with pytest.raises(BundleError, match="must contain a version number only"):
            read(store / "animals")
        with pytest.raises(BundleError, match=MODEL_LITERT):
            Bundle.read(store / "animals" / "1")
    assert len([*Path("/dev/fd").iterdir()]) == before


def test_shadow_version_is_deleted(store: Path) -> None:
    """Whether there is one or not; a folder in its place is a sentence."""
    model_dir = store / "animals"
    bundle.write_shadow_version(model_dir, 2)
    for _ in range(2):
        bundle.delete_shadow_version(model_dir)
        assert bundle.read_shadow_version(model_dir) is None
    (model_dir / bundle.SHADOW).mkdir()
    with pytest.raises(BundleError, match=r"cannot delete .*SHADOW .*: choose a store that you may write to"):
        bundle.delete_shadow_version(model_dir)
