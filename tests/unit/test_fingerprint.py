"""The fingerprint of a version's folder: the same until a file changes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.inference.fingerprint import read_fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, one of them in a folder of its own, and a link to itself."""
    (tmp_path / "report").mkdir()
    for name in ("manifest.json", "report/index.html"):
        (tmp_path / name).write_text("old")
        os.utime(tmp_path / name, ns=(1, 1))
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


def replace_in_place(folder: Path) -> None:
    (folder / "report" / "index.html").write_text("new")


def touch(folder: Path) -> None:
    os.utime(folder / "manifest.json", ns=(2, 2))


def add_file(folder: Path) -> None:
    (folder / "report" / "late").touch()


def remove_file(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def turn_into_link(folder: Path) -> None:
    (folder / "manifest.json").rename(folder.parent / "elsewhere")
    (folder / "manifest.json").symlink_to(folder.parent / "elsewhere")


CHANGES = [replace_in_place, touch, add_file, remove_file, turn_into_link]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_fingerprint_changes_with_the_files(folder: Path, change: Callable[[Path], None]) -> None:
    """Files in folders below count; what has not changed gives the same."""
    before = read_fingerprint(folder)
    assert {Path(path).relative_to(folder).as_posix() for path, *_ in before} == {
        "loop",
        "manifest.json",
        "report/index.html",
    }
    assert read_fingerprint(folder) == before
    change(folder)
    assert read_fingerprint(folder) != before


def test_folder_that_is_missing_has_no_fingerprint(tmp_path: Path) -> None:
    """Nor has one that cannot be read."""
    assert read_fingerprint(tmp_path / "nowhere") == []
    (tmp_path / "file").touch()
    assert read_fingerprint(tmp_path / "file") == []
