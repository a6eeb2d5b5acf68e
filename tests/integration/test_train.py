"""`python -m models.train`, from the command line to the published bundle.

In a process of its own where that matters; elsewhere in the test's process, which imports TensorFlow only once.
"""

import html
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from support.gunicorn_server import environment
from support.published_bundles import newest_version

from models import bundle, evaluate
from models import train as training
from models.bundle import Bundle
from models.train import main
from service.inference import layers
from service.inference.binning.bins import Bins, count_cells
from service.inference.model import Model
from service.monitoring.drift.psi import stability_index
from service.settings import SHIPPED_STORE

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, NumPy 2.4

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = ("--rows", "200", "--epochs", "2", "--candidates", "2", "--folds", "2", "--no-report")
Output = tuple[object, str, str]  # exit code, stdout and stderr
TrainHere = Callable[..., Output]
METRIC_TOLERANCES = {"accuracy": 0.01, "expected_calibration_error": 0.01, "log_loss": 0.03}  # between machines


def train(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "models.train", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def train_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> TrainHere:
    """Trains in this process, which is quicker than to start another."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own handlers
    monkeypatch.chdir(ROOT)

    def run(*arguments: object) -> Output:
        try:
            code: object = main([*map(str, arguments)])
        except SystemExit as ended:
            code = ended.code
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def _quick_boosting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few iterations of boosting, for tests that do not look at its metrics."""
    quick = partial(HistGradientBoostingClassifier, max_iter=5)
    monkeypatch.setattr(evaluate, "HistGradientBoostingClassifier", quick)


class SmallModel(NamedTuple):
    """A small model of the animals, named pets: its store and the process that trained it."""

    store: Path
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    store = tmp_path_factory.mktemp("small")
    process = train("--out", store, "--name", "pets", *SMALL)
    assert process.returncode == 0, process.stderr
    return SmallModel(store, process)


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    """A user's CSV file: the sepals and petals of three species of iris."""
    flowers = load_iris()
    path = tmp_path / "Iris flowers.csv"
    lines = [
        ",".join([*map(str, row), flowers.target_names[species]])
        for row, species in zip(flowers.data, flowers.target, strict=True)
    ]
    path.write_text("\n".join(["sepal_length,sepal_width,petal_length,petal_width,species", *lines]) + "\n")
    return path


@pytest.mark.alone
def test_help_is_quick_and_imports_no_heavy_library() -> None:
    """It names every option."""
    started = time.monotonic()
    process = train("--help")
    assert time.monotonic() - started < 3
    assert process.returncode == 0
    for option in (
        "out",
        "name",
        "seed",
        "rows",
        "epochs",
        "candidates",
        "hidden",
        "folds",
        "no-report",
        "data",
        "label",
        "schema",
        "drop",
        "keep",
        "drop-rows-with-gaps",
        "drop-rare-labels",
        "delimiter",
        "decimal",
        "thousands",
        "encoding",
        "na-values",
        "keep-na-labels",
    ):
        assert f"--{option}" in process.stdout
    heavy = {"tensorflow", "keras", "sklearn", "matplotlib", "pyarrow"}
    check = f"import sys, models.train as t; t.parse_options([]); sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "0"], "--rows"),
        (["--rows", "many"], "--rows"),
        (["--epochs", "0"], "--epochs"),
        (["--epochs", "-1"], "--epochs"),
        (["--epochs", "1.5"], "--epochs"),
        (["--candidates", "0"], "--candidates"),
        (["--hidden", "0"], "--hidden"),
        (["--hidden", "6,,6"], "--hidden"),
        (["--hidden", "1000"], "--hidden"),
        (["--hidden", "6,6,6,6,6,6"], "--hidden"),
        (["--data", "{iris}", "--label", "species", "--epochs", "150"], "--epochs"),
        (["--data", "{iris}", "--label", "species", "--rows", "1000"], "--rows"),
        (["--data", "{iris}", "--label", "species", "--candidates", "2"], "--candidates"),
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
        (["--drop", "id"], "--drop is only valid with --data"),
        (["--category", "id"], "--category is only valid with --data"),
        (["--drop-rows-with-gaps"], "--drop-rows-with-gaps is only valid with --data"),
        (["--decimal", ","], "--decimal is only valid with --data"),
        (["--data", "none.csv", "--label", "species", "--decimal", ";"], "--decimal"),
        (["--data", "none.csv", "--label", "species", "--decimal", ",", "--thousands", ","], "the same sign"),
        (["--data", "none.csv", "--label", "species", "--delimiter", "::"], "--delimiter"),
        (["--data", "none.csv", "--label", "species", "--encoding", "klingon"], "--encoding"),
        (["--data", "{iris}", "--label", "species", "--drop", "id"], "'id'"),
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
def test_invalid_options_are_refused_in_one_line(
    tmp_path: Path, iris: Path, train_here: TrainHere, arguments: list[str], message: str
) -> None:
    """The exit code is 2, one line on stderr names the fault, stdout stays empty and nothing is written."""
    before = sorted(tmp_path.rglob("*"))
    arguments = [argument.replace("{iris}", str(iris)) for argument in arguments]
    code, stdout, stderr = train_here(*([] if "--out" in arguments else ["--out", str(tmp_path / "store")]), *arguments)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.tensorflow
def test_the_same_seed_makes_the_same_model(small: SmallModel, train_here: TrainHere) -> None:
    """It is equal bit for bit in another process and gets the next version; another seed makes another model."""
    more = ("--out", small.store, "--name", "pets", *SMALL)
    assert train_here(*more)[0] == train_here(*more, "--seed", 1)[0] == 0
    first, again, other = (Bundle.read(small.store / "pets" / version).manifest for version in "123")
    assert [first.version, again.version, other.version] == [1, 2, 3]
    assert first.golden == again.golden
    assert first.metrics == again.metrics
    assert first.files[bundle.WEIGHTS] == again.files[bundle.WEIGHTS]  # model.tflite has names that TensorFlow counts
    assert first.golden != other.golden


@pytest.mark.tensorflow
@pytest.mark.usefixtures("_quick_boosting")
def test_the_animals_are_also_scored_on_extreme_groups(tmp_path: Path, train_here: TrainHere) -> None:
    """All classifiers, on groups of every label; the report and the summary have the worst recall."""
    options = ("--rows", "100", "--epochs", "1", "--candidates", "1", "--folds", "2")
    code, stdout, stderr = train_here("--out", tmp_path, *options)
    assert code == 0, stderr
    trained = Bundle.read(tmp_path / "animals" / "1")
    by_classifier = trained.manifest.metrics["cross_validation"]
    assert len(by_classifier) == 3
    for metrics in by_classifier.values():
        assert metrics["extremes"]["groups"] == 28
        assert metrics["extremes"]["recall"].keys() == {"cat", "dog", "llama", "lizard"}
    worst = min(by_classifier["network"]["extremes"]["recall"].values())
    assert f"{100 * worst:.2f} %</td>" in trained.read_bytes("report/index.html").decode()
    assert "extremes" in stdout


@pytest.mark.tensorflow
def test_the_summary_shows_how_to_serve_the_model(small: SmallModel) -> None:
    """It is plain text on stdout if that is not a terminal; TensorFlow prints nothing."""
    store, process = small
    assert "pets 1 predicts cat, dog, llama or lizard" in process.stdout
    assert str(store / "pets" / "1") in process.stdout
    assert "MENAGERIE_MODEL_NAME=pets make run" in process.stdout
    assert "\x1b" not in process.stdout + process.stderr
    assert process.stderr == "training\n"


@pytest.mark.tensorflow
def test_a_table_of_flowers_becomes_a_bundle_that_the_service_serves(
    tmp_path: Path, iris: Path, train_here: TrainHere
) -> None:
    """With other features and labels, the self-test passes, typical flowers are recognized, and the weights match."""
    schema = tmp_path / "iris.toml"
    schema.write_text(
        'labels = ["virginica", "setosa", "versicolor"]\n[features.petal_width]\nunit = "cm"\nmaximum = 5\n'
    )
    options = ("--schema", schema, "--hidden", 8, "--folds", 3)
    store = tmp_path / "store"
    code, _, stderr = train_here("--out", store, "--data", iris, "--label", "species", *options)
    assert code == 0, stderr
    trained = Bundle.read(newest_version(store / "Iris-flowers"))
    manifest = trained.manifest
    assert manifest.labels == ("virginica", "setosa", "versicolor")
    assert (manifest.features[3].unit, manifest.features[3].maximum) == ("cm", 5)
    assert manifest.training.facts.keys() == {"Iris flowers.csv", "iris.toml"}
    assert [layer.units for layer in manifest.layers] == [4, 8, 3]
    assert manifest.training.rows == 149  # one of the 150 flowers has the measurements of another
    assert manifest.metrics["cross_validation"]["network"]["accuracy"] > 0.9
    assert manifest.metrics["verdict"]["is_calibrated"] == (
        manifest.metrics["cross_validation"]["network"]["expected_calibration_error"] <= 0.05
    )
    assert manifest.metrics["cross_validation"]["network"].keys().isdisjoint({"stress", "extremes"})
    page = trained.read_bytes("report/index.html").decode()
    assert "No animal was measured" not in page
    assert manifest.metrics["verdict"]["baselines"] in html.unescape(page)
    assert manifest.metrics["verdict"]["calibration"] in html.unescape(page)
    model = Model.open(store / "Iris-flowers" / "1", "litert")
    answers = model.outputs(np.array([golden.features for golden in manifest.golden[:3]], np.float32))
    assert answers.argmax(axis=1).tolist() == [0, 1, 2]
    assert [part.name for part in layers.read(trained)] == [layer.name for layer in manifest.layers]
    flowers = load_iris().data.astype(np.float32)  # measured in tenths, so that many have the same value
    bins = Bins(manifest)
    cells = bins.bin_predicted(flowers, model.outputs(flowers).argmax(axis=1))
    counts = np.bincount(cells.ravel(), minlength=count_cells(manifest))
    for feature in bins.features.values():
        assert stability_index(feature.training_shares, counts[feature.cells]) < 0.05
    assert manifest.require_reference().shares["petal_width"][1] > 0.02  # though it is the quantile of 0.01


@pytest.mark.tensorflow
def test_a_table_from_excel_is_trained_on_and_scored(tmp_path: Path, train_here: TrainHere) -> None:
    """With an index, decimal commas, names of all kinds, a gap and a constant column: each is noted, one a line."""
    flowers = load_iris()
    names = ["Länge (cm) ", "class", "features", "n" * 150]
    lines = [";".join(["", *names, "constant", " kind"])]
    for index, (row, species) in enumerate(zip(flowers.data, flowers.target, strict=True)):
        cells = [str(value).replace(".", ",") for value in row]
        lines.append(";".join([str(index), *cells, "1", flowers.target_names[species]]))
    lines[3] = lines[3].replace("4,7", "")
    table, store = tmp_path / "t.csv", tmp_path / "store"
    table.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    options = ("--data", table, "--label", "kind", "--drop-rows-with-gaps", "--no-report")
    code, _, stderr = train_here("--out", store, *options)
    assert code == 0, stderr
    assert stderr.splitlines() == [
        "delimiter: semicolons",
        "left out: column 1, which has no name, has the names or numbers of the rows",
        "decimal sign: comma, as in '5,1' in column 'Länge (cm)'",
        "left out: 1 row of 150 with gaps (by column: 'Länge (cm)' 1)",
        "left out, because all rows have the same value: 'constant' (1)",
        "training",
    ]
    manifest = Bundle.read(newest_version(store / "t")).manifest
    assert manifest.feature_names == ("Länge (cm)", *names[1:])
    scored = subprocess.run(
        [sys.executable, "-m", "service.score", table, tmp_path / "o.csv", "--delimiter", ";", "--decimal", ","],
        cwd=ROOT,
        env=environment(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_NAME="t"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "150 rows: 149 predicted, 1 rejected" in scored.stderr


@pytest.mark.tensorflow
@pytest.mark.parametrize(("stop_signal", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_leaves_nothing(tmp_path: Path, stop_signal: signal.Signals, code: int) -> None:
    """There is no draft, no new folder and no traceback."""
    command = [sys.executable, "-m", "models.train", "--out", str(tmp_path / "new" / "store"), "--epochs", "100000"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == "training\n"
        assert list((tmp_path / "new" / "store" / "animals").iterdir())
        time.sleep(1)
        process.send_signal(stop_signal)
        try:
            stderr = process.communicate(timeout=60)[1]
        finally:
            process.kill()
        assert process.returncode == code, stderr
    assert stderr in ("", "stopped; nothing was written\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_a_library_replaces_by_its_own_error_is_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_signal: signal.Signals
) -> None:
    """TensorFlow does so if the signal arrives while it calls Python."""

    def swallow(_: object) -> None:
        with suppress(KeyboardInterrupt, SystemExit):
            signal.raise_signal(stop_signal)
        raise RuntimeError("error of the library")

    monkeypatch.setattr(training, "train", swallow)
    monkeypatch.setattr(training, "_pending_stop", [])
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = training.main(["--out", str(tmp_path)])
    except SystemExit as stopped:
        code = int(str(stopped.code))
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143}[stop_signal]


@pytest.mark.tensorflow
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, train_here: TrainHere) -> None:
    """A limit of 20 kB per file stands for the full disk: the saved network is larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        code, _, stderr = train_here("--out", tmp_path / "store", *SMALL, "--candidates", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    assert stderr.splitlines()[0] == "training"
    assert stderr.splitlines()[1].startswith("cannot write")
    assert len(stderr.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tensorflow
@pytest.mark.usefixtures("_quick_boosting")
def test_the_shipped_model_can_be_reproduced(tmp_path: Path, train_here: TrainHere) -> None:
    """A full training uses the same facts, and its metrics agree within the difference between machines."""
    shipped = Bundle.read(SHIPPED_STORE / "animals" / "1").manifest
    code, _, stderr = train_here("--out", tmp_path, "--no-report")
    assert code == 0, stderr
    again = Bundle.read(newest_version(tmp_path / "animals")).manifest
    assert again.training.facts == shipped.training.facts
    assert again.training.settings == shipped.training.settings
    assert (again.training.rows, again.training.seed) == (shipped.training.rows, shipped.training.seed)
    assert (again.features, again.labels, again.layers) == (shipped.features, shipped.labels, shipped.layers)
    for metric, tolerance in METRIC_TOLERANCES.items():
        actual, expected = (manifest.metrics["validation"][metric] for manifest in (again, shipped))
        assert actual == pytest.approx(expected, abs=tolerance)
    for actual, expected in zip(again.golden[:4], shipped.golden[:4], strict=True):
        assert np.argmax(actual.outputs["probabilities"]) == np.argmax(expected.outputs["probabilities"])


def test_the_shipped_model_is_as_good_as_promised() -> None:
    """Its cross-validation meets the targets and is never below logistic regression on the same rows."""
    metrics = Bundle.read(SHIPPED_STORE / "animals" / "1").manifest.metrics["cross_validation"]
    network, logistic = metrics["network"], metrics["logistic regression"]
    assert network["accuracy"] >= 0.99
    assert min(network["recall"].values()) >= 0.975
    assert network["expected_calibration_error"] <= 0.01
    assert network["stress"]["accuracy"] >= 0.97
    assert network["accuracy"] >= logistic["accuracy"]
    assert network["stress"]["accuracy"] >= logistic["stress"]["accuracy"]
    assert min(network["extremes"]["recall"].values()) >= 0.975
