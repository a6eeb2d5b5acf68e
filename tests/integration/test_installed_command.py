"""The wheel in an environment of its own, outside the checkout: served, asked and scored by the command `menagerie`."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from support.gunicorn_server import ROOT, Server, environment, free_port, serving_by
from support.known_animals import GREAT_DANE, KNOWN, NAMES, named
from support.menagerie_command import run_command

from service.version import VERSION

DANE = [f"{name}={value}" for name, value in named(GREAT_DANE).items()]
PACKAGES = ("menagerie", "models", "service")
SITE_PACKAGES = sysconfig.get_path("purelib", vars={"base": "."}).removeprefix("./")


def build(source: Path, target: str, folder: Path) -> Path:
    """The distribution that hatchling builds, as pip, pipx and uv do it in an environment that they make for that."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, capture_output=True, check=True, timeout=120)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def prefix(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; it borrows all other packages from the one that runs the tests."""
    prefix = tmp_path_factory.mktemp("environment")
    venv.create(prefix, symlinks=True)
    (prefix / SITE_PACKAGES / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(prefix), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], capture_output=True, check=True, timeout=120)
    return prefix


@pytest.fixture(scope="module")
def program(prefix: Path) -> tuple[str]:
    """The command, as an installer makes it."""
    return (str(prefix / "bin" / "menagerie"),)


@pytest.fixture(scope="module")
def served(program: tuple[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shipped model, served from a folder that has modules with the names of ours."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("models", "service", "menagerie", "gunicorn", "flask", "numpy"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the current folder')\n")
    port = free_port()
    command = [*program, "serve", "--host", "127.0.0.1", "--port", str(port)]
    with serving_by(command, port, {}, cwd=folder) as server:
        yield server


def files_of(folder: Path) -> set[str]:
    """The files of our packages in a folder, without those that Python writes."""
    files = (path.relative_to(folder) for package in PACKAGES for path in (folder / package).rglob("*"))
    return {path.as_posix() for path in files if (folder / path).is_file() and "__pycache__" not in path.parts}


def test_wheel_has_every_file_of_the_packages(wheel: Path, tmp_path: Path) -> None:
    """The page, the facts, the model with its report: all that git knows; built from the clone or from the sdist."""
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = set(listed.stdout.splitlines())
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert tracked <= names
    assert names <= files_of(ROOT)
    with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / f"menagerie-{VERSION}", "wheel", tmp_path / "again")
    assert again.name == wheel.name == f"menagerie-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(again) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == names


def test_served_from_another_folder(served: Server) -> None:
    """With the page and the report; all files come from the installed packages."""
    assert requests.get(f"{served.url}/health", timeout=30).json()["version"] == VERSION
    page = requests.get(served.url, headers={"Accept": "text/html"}, timeout=30)
    assert "<title>" in page.text
    for path in ("/page/main.js", "/page/vendor/d3.js", "/page/report/index.html", "/docs", "/openapi.json"):
        assert requests.get(served.url + path, timeout=30).ok, path


@pytest.mark.parametrize("is_remote", [True, False], ids=["service", "bundle"])
def test_asked_by_predict(served: Server, program: tuple[str], tmp_path: Path, is_remote: bool) -> None:
    target = ("--url", served.url) if is_remote else ()
    completed = run_command("predict", *DANE, *target, program=program, cwd=tmp_path)
    assert json.loads(completed.stdout)["label"] == "dog", completed.stderr


def test_scored_by_score(program: tuple[str], tmp_path: Path) -> None:
    lines = [",".join(NAMES), *(",".join(map(str, animal)) for animal in KNOWN.values())]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    completed = run_command("score", "rows.csv", "scored.csv", "--only-answers", program=program, cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    scored = (tmp_path / "scored.csv").read_text().splitlines()
    assert [line.split(",")[0].strip('"') for line in scored[1:]] == list(KNOWN)


def test_bash_completes_the_command(program: tuple[str], tmp_path: Path) -> None:
    """With the line of docs/command.md."""
    line = re.findall(r"`(eval .*)` \|", (ROOT / "docs" / "command.md").read_text())[0]
    typed = "COMP_WORDS=(menagerie bundle p); COMP_CWORD=2; _menagerie_completion menagerie"
    script = f'{line}; {typed}; echo "${{COMPREPLY[@]}}"'
    path = f"{Path(program[0]).parent}:{os.environ['PATH']}"
    completed = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(PATH=path), capture_output=True, text=True, check=True
    )
    assert completed.stdout == "promote\n"


def test_modules_are_there_too(prefix: Path, tmp_path: Path) -> None:
    """`python -m …`, with the environment's Python."""
    python = (str(prefix / "bin" / "python"), "-m")
    for module in ("service.keys", "models.train", "models.adopt", "service.score", "menagerie"):
        completed = run_command(module, "--help", program=python, cwd=tmp_path)
        assert completed.returncode == 0, completed.stderr


@pytest.mark.tensorflow
def test_a_table_is_trained_into_the_current_folder_and_served_from_there(program: tuple[str], tmp_path: Path) -> None:
    """Not among the installed packages; the line that training prints is the one that serves it."""
    sizes = np.random.default_rng(0).uniform(5, 15, (120, 2)).round(2)
    rows = [f"{length},{width},{'large' if length + width > 20 else 'small'}" for length, width in sizes]
    (tmp_path / "sizes.csv").write_text("\n".join(["length,width,size", *rows]))
    trained = run_command(
        "train", "--data", "sizes.csv", "--label", "size", "--no-report", program=program, cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    store = tmp_path / "models" / "store"
    assert [path.name for path in (store / "sizes").iterdir()] == ["1"]
    assert f"serve   menagerie serve --store {store} --name sizes" in trained.stdout.splitlines()
    options = ("--store", store, "--name", "sizes")
    predicted = run_command("predict", "length=15", "width=15", *options, program=program, cwd=tmp_path)
    assert json.loads(predicted.stdout)["label"] == "large", predicted.stderr


@pytest.mark.parametrize(
    ("arguments", "hidden", "extra"),
    [
        (["train"], "tensorflow", "train"),
        (["train"], "sklearn", "train"),
        (["train", "--data", "rows.csv", "--label", "x"], "pyarrow", "train"),
        (["adopt", "model.keras"], "rich", "train"),
        (["adopt", "model.keras", "--sample", "rows.csv"], "pyarrow", "train"),
        (["score", "rows.csv", "scored.csv"], "pyarrow", "score"),
        (["serve", "--port", "0"], "tensorflow", "keras"),
        (["predict", "[1]"], "keras", "keras"),
    ],
)
def test_missing_package_is_a_sentence_that_says_what_to_install(
    program: tuple[str], tmp_path: Path, arguments: list[str], hidden: str, extra: str
) -> None:
    """The packages of an extra are not there unless it was asked for."""
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n")
    (tmp_path / "model.keras").write_bytes(b"")
    (tmp_path / "hidden").mkdir()
    error = f"raise ModuleNotFoundError(\"No module named '{hidden}'\", name='{hidden}')\n"
    (tmp_path / "hidden" / f"{hidden}.py").write_text(error)
    settings = {"MENAGERIE_ENGINE": "keras"} if extra == "keras" else {}
    hiding = {"PYTHONPATH": str(tmp_path / "hidden")}
    completed = run_command(*arguments, program=program, cwd=tmp_path, settings=hiding | settings)
    assert completed.returncode == (1 if arguments[0] == "serve" else 2)
    assert f"run `pip install 'menagerie[{extra}]'`" in completed.stderr
    assert "Traceback" not in completed.stderr
