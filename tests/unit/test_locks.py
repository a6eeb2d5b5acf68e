"""The lock files: what they pin, for which platforms, and that they repeat nothing."""

import re
from itertools import combinations

import pytest

from supply.locks import EXTRAS, LOCKS, included_locks, is_supported


def pins(name: str) -> dict[str, list[str]]:
    """The hashes of each `name==version` in a lock, without those of the locks that it includes."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", (LOCKS / f"{name}.txt").read_text(), flags=re.MULTILINE)
    return {block.split()[0]: re.findall(r"--hash=(\S+)", block) for block in blocks if re.match(r"\S+==", block)}


def all_pins(name: str) -> set[str]:
    return {pin for each in included_locks(name) for pin in pins(each)}


def test_each_lock_has_a_set_of_extras() -> None:
    assert {path.stem for path in LOCKS.glob("*.txt")} == set(EXTRAS)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_has_names_versions_and_hashes_only(name: str) -> None:
    """Any package index can serve it, and pip refuses every file whose hash is not in it."""
    lock = (LOCKS / f"{name}.txt").read_text()
    assert "://" not in lock
    assert all(pins(name).values())
    assert not re.findall(r"^(?!\S+==|-r \w+\.txt$)\S.*", lock, re.MULTILINE)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_includes_the_ones_that_it_extends(name: str) -> None:
    """It repeats none of their pins."""
    lock = (LOCKS / f"{name}.txt").read_text()
    assert re.findall(r"^-r (\w+)\.txt$", lock, re.MULTILINE) == included_locks(name)[1:2]
    assert all(not pins(one).keys() & pins(other).keys() for one, other in combinations(included_locks(name), 2))


@pytest.mark.parametrize("name", EXTRAS)
def test_one_environment_can_grow(name: str) -> None:
    """From serving to training to testing no pin differs."""
    assert all_pins(name) <= all_pins("dev")


@pytest.mark.parametrize(
    ("filename", "supported"),
    [
        ("flask-3.1.3.tar.gz", True),
        ("flask-3.1.3-py3-none-any.whl", True),
        ("six-1.17.0-py2.py3-none-any.whl", True),
        ("ruff-0.17.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("numpy-2.4.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", True),
        ("numpy-2.4.0-cp314-cp314-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl", True),
        ("numpy-2.4.0-cp313-cp313-macosx_14_0_arm64.whl", True),
        ("psutil-7.2.0-cp36-abi3-manylinux2010_x86_64.manylinux_2_12_x86_64.manylinux_2_28_x86_64.whl", True),
        ("orjson-3.13.0-cp313-cp313-macosx_10_15_x86_64.macosx_11_0_arm64.macosx_10_15_universal2.whl", True),
        ("tensorflow-2.21.0-cp313-cp313-linux_x86_64.whl", True),
        ("numpy-2.4.0-cp310-cp310-manylinux_2_27_x86_64.whl", False),  # Python is too old
        ("numpy-2.4.0-cp313-cp313t-manylinux_2_27_x86_64.whl", False),  # free-threaded
        ("numpy-2.4.0-pp311-pypy311_pp73-manylinux_2_27_x86_64.whl", False),  # PyPy
        ("numpy-2.4.0-cp313-cp313-musllinux_1_2_x86_64.whl", False),  # Alpine
        ("numpy-2.4.0-cp313-cp313-manylinux_2_27_ppc64le.whl", False),
        ("numpy-2.4.0-cp313-cp313-macosx_10_13_x86_64.whl", False),  # Intel
        ("numpy-2.4.0-cp313-cp313-win_amd64.whl", False),
        ("ruff-0.17.0-py3-none-win_arm64.whl", False),
    ],
)
def test_hashes_are_of_files_that_a_supported_platform_can_install(filename: str, supported: bool) -> None:
    assert is_supported(filename) == supported


def test_no_lock_pins_a_package_of_windows() -> None:
    assert not [path for path in LOCKS.glob("*.txt") if "== 'win32'" in path.read_text()]


def test_the_image_gets_every_lock_that_another_one_includes() -> None:
    ignored = (LOCKS.parent / ".dockerignore").read_text()
    sent = set(re.findall(r"^!requirements/(\w+)\.txt$", ignored, re.MULTILINE))
    assert sent == {each for name in sent for each in included_locks(name)}
