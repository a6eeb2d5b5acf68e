"""`python -m models.train` as a person runs it: a real process, real files."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_iris

from models import bundle
from models.bundle import Bundle
from service.http.context import Predicted
from service.inference import layers
from service.inference.model import Model
from service.monitoring.drift.bins import cells_of, psi
from service.monitoring.model_metrics import Ledger
from service.monitoring.shared_counters import Memory
from service.settings import SHIPPED_STORE

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = ("--rows", "1000", "--epochs", "4", "--candidates", "2", "--no-report")
TOLERANCE = {"accuracy": 0.01, "expected_calibration_error": 0.01, "log_loss": 0.03}  # between machines


def train(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "models.train", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def trained(out: Path, *arguments: object, name: str = "animals") -> Bundle:
    done = train("--out", out, *arguments)
    assert done.returncode == 0, done.stderr
    return Bundle.read(bundle.find_newest_version(out, name))


class Trained(NamedTuple):
    """A small model of the animals, called pets: where it is and what was said."""

    store: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = tmp_path_factory.mktemp("small")
    done = train("--out", store, "--name", "pets", *SMALL)
    assert done.returncode == 0, done.stderr
    return Trained(store, done)


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    """Sepals and petals of three species of iris, as a user would have them."""
    flowers = load_iris()
    path = tmp_path / "Iris flowers.csv"
    lines = [
        ",".join([*map(str, row), flowers.target_names[kind]])
        for row, kind in zip(flowers.data, flowers.target, strict=True)
    ]
    path.write_text("\n".join(["sepal_length,sepal_width,petal_length,petal_width,species", *lines]) + "\n")
    return path


@pytest.mark.alone
def test_help_needs_no_tensorflow_and_is_quick() -> None:
    """It names every option, and what it imports to do so is little."""
    began = time.monotonic()
    said = train("--help")
    assert time.monotonic() - began < 3
    assert said.returncode == 0
    for option in (
        "out",
        "name",
        "seed",
        "rows",
        "epochs",
        "candidates",
        "folds",
        "no-report",
        "data",
        "label",
        "schema",
    ):
        assert f"--{option}" in said.stdout
    heavy = {"tensorflow", "keras", "sklearn", "matplotlib"}
    check = f"import sys, models.train as t; t.arguments([]); sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rows", "0"], "--rows"),
        (["--rows", "many"], "--rows"),
        (["--epochs", "0"], "--epochs"),
        (["--epochs", "-1"], "--epochs"),
        (["--epochs", "1.5"], "--epochs"),
        (["--candidates", "0"], "--candidates"),
        (["--folds", "1"], "--folds"),
        (["--folds", "99"], "--folds"),
        (["--seed", "-3"], "--seed"),
        (["--seed", "4294967296"], "--seed"),
        (["--name", "../animals"], "--name"),
        (["--name", ""], "--name"),
        (["--epoch", "3"], "--epoch"),
        (["table.csv"], "table.csv"),
        (["--label", "species"], "--data"),
        (["--schema", "my.toml"], "--data"),
        (["--data", "none.csv"], "--label"),
        (["--data", "none.csv", "--label", "species"], "none.csv"),
        (["--data", ".", "--label", "species"], "cannot read ."),
        (["--data", "{iris}", "--label", "kind"], "'kind'"),
        (["--data", "{iris}", "--label", "species", "--group", "petal_width"], "groups"),
        (["--data", "{iris}", "--label", "species", "--schema", "none.toml"], "none.toml"),
        (["--out", "{iris}"], "--out"),
        (["--out", "/proc/nowhere"], "--out"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    tmp_path: Path, iris: Path, arguments: list[str], said: str
) -> None:
    """Exit code 2, one line on stderr that names the fault, nothing on stdout and nothing written."""
    before = sorted(tmp_path.rglob("*"))
    given = [argument.replace("{iris}", str(iris)) for argument in arguments]
    done = train(*([] if "--out" in given else ["--out", tmp_path / "store"]), *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.tensorflow
def test_the_same_seed_makes_the_same_model(small: Trained) -> None:
    """Bit for bit on one machine, as the next version; another seed makes another."""
    more = ("--name", "pets", *SMALL)
    first = Bundle.read(small.store / "pets" / "1").manifest
    again = trained(small.store, *more, name="pets").manifest
    other = trained(small.store, *more, "--seed", 1, name="pets").manifest
    assert [first.version, again.version, other.version] == [1, 2, 3]
    assert first.golden == again.golden
    assert first.metrics == again.metrics
    assert first.files[bundle.MODEL_LITERT] == again.files[bundle.MODEL_LITERT]
    assert first.golden != other.golden


@pytest.mark.tensorflow
def test_the_summary_says_how_good_it_is_and_how_to_serve_it(small: Trained) -> None:
    """On stdout, in plain text when that is no terminal; TensorFlow keeps quiet."""
    store, done = small
    assert "cat, dog, llama and lizard" in done.stdout
    assert str(store / "pets" / "1") in done.stdout
    assert "MENAGERIE_MODEL_NAME=pets make run" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == "training\n"


@pytest.mark.tensorflow
def test_a_table_of_flowers_becomes_a_bundle_that_the_service_serves(tmp_path: Path, iris: Path) -> None:
    """Other features and labels, same code: the self-test passes, typical flowers get their names, the weights fit."""
    schema = tmp_path / "iris.toml"
    schema.write_text(
        'labels = ["virginica", "setosa", "versicolor"]\n[features.petal_width]\nunit = "cm"\nmaximum = 5\n'
    )
    options = ("--rows", 3000, "--epochs", 30, "--candidates", 2, "--folds", 3)
    store = tmp_path / "store"
    made = trained(store, "--data", iris, "--label", "species", "--schema", schema, *options, name="Iris-flowers")
    manifest = made.manifest
    assert manifest.labels == ("virginica", "setosa", "versicolor")
    assert (manifest.features[3].unit, manifest.features[3].maximum) == ("cm", 5)
    assert manifest.training.facts.keys() == {"Iris flowers.csv", "iris.toml"}
    assert manifest.metrics["cross_validation"]["network"]["accuracy"] > 0.9
    assert "stress" not in manifest.metrics["cross_validation"]["network"]
    page = made.read_bytes("report/index.html").decode()
    assert "No animal was measured" not in page
    model = Model.open(store / "Iris-flowers" / "1", "litert", Ledger(Memory()))
    answers = model.evaluate(np.array([golden.features for golden in manifest.golden[:3]], np.float32))
    assert answers.argmax(axis=1).tolist() == [0, 1, 2]
    assert [part.name for part in layers.read(made)] == [layer.name for layer in manifest.layers]
    flowers = load_iris().data.astype(np.float32)  # measured in tenths, so that many have the same value
    cells = model.bins.of_predicted(Predicted(flowers, model.evaluate(flowers)))
    counts = np.bincount(cells.ravel(), minlength=cells_of(manifest))
    assert max(psi(one.then, counts[one.cells]) for one in model.bins.features.values()) < 0.05
    assert manifest.reference.shares["petal_width"][1] > 0.02  # though it is the quantile of 0.01


@pytest.mark.tensorflow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_leaves_nothing(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    """No draft, no folder that was not there before, no traceback."""
    command = [sys.executable, "-m", "models.train", "--out", str(tmp_path / "new" / "store"), "--epochs", "100000"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == "training\n"
        assert list((tmp_path / "new" / "store" / "animals").iterdir())
        time.sleep(1)
        process.send_signal(sent)
        try:
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
        assert process.returncode == code
    assert said in ("", "stopped; nothing was written\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tensorflow
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Here: no file may grow beyond 20 kB, and the saved network would."""
    command = [sys.executable, "-m", "models.train", "--out", str(tmp_path / "store"), *SMALL]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "training"
    assert done.stderr.splitlines()[1].startswith("cannot write")
    assert len(done.stderr.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tensorflow
def test_the_shipped_model_is_what_this_code_and_these_facts_make(tmp_path: Path) -> None:
    """Trained again in full: the facts are the same to the bit, the metrics within what machines may differ by."""
    shipped = Bundle.read(SHIPPED_STORE / "animals" / "1").manifest
    again = trained(tmp_path, "--no-report").manifest
    assert again.training.facts == shipped.training.facts
    assert again.training.settings == shipped.training.settings
    assert (again.training.rows, again.training.seed) == (shipped.training.rows, shipped.training.seed)
    assert (again.features, again.labels, again.layers) == (shipped.features, shipped.labels, shipped.layers)
    for metric, tolerance in TOLERANCE.items():
        found, expected = (of.metrics["validation"][metric] for of in (again, shipped))
        assert found == pytest.approx(expected, abs=tolerance)
    agree = [
        np.argmax(a.outputs["probabilities"]) == np.argmax(b.outputs["probabilities"])
        for a, b in zip(again.golden[:4], shipped.golden[:4], strict=True)
    ]
    assert all(agree)


def test_the_shipped_model_is_as_good_as_promised() -> None:
    """By its own cross-validation, and never below logistic regression on the same rows."""
    metrics = Bundle.read(SHIPPED_STORE / "animals" / "1").manifest.metrics["cross_validation"]
    ours, logistic = metrics["network"], metrics["logistic regression"]
    assert ours["accuracy"] >= 0.99
    assert min(ours["recall"].values()) >= 0.975
    assert ours["expected_calibration_error"] <= 0.01
    assert ours["stress"]["accuracy"] >= 0.97
    assert ours["accuracy"] >= logistic["accuracy"]
    assert ours["stress"]["accuracy"] >= logistic["stress"]["accuracy"]
