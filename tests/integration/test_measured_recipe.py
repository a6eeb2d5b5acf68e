"""The recipe for measured rows, compared with logistic regression, and what it makes of unusual tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_breast_cancer, load_iris
from support.published_bundles import newest_version
from support.tables import read as read_table

from models import train as training
from models.bundle import Bundle
from models.dataset import Doubles, Integers, Sample, split_folds
from models.evaluate import build_logistic_regression, score
from models.options import TrainingOptions, parse_options
from service.inference import layers
from service.inference.model import Model

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras 3.15 under NumPy 2.4
]

Write = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    """Imported here, because it would slow down the collection of the tests."""
    pytest.importorskip("models.network")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a table as CSV."""

    def write_table(rows: Doubles, labels: Any) -> Path:
        path = tmp_path / "mine.csv"
        names = ",".join(f"x{index}" for index in range(rows.shape[1]))
        lines = [",".join([str(label), *map(repr, row)]) for label, row in zip(labels, rows.tolist(), strict=True)]
        path.write_text("\n".join([f"kind,{names}", *lines]) + "\n")
        return path

    return write_table


def two_clusters(scale: float = 1, offset: float = 0) -> tuple[Doubles, Integers]:
    """Two hundred rows with labels that only the first feature tells apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    rows = rng.standard_normal((200, 2))
    rows[:, 0] = offset + scale * (rows[:, 0] + 6 * labels)
    return rows, labels


def train_table(path: Path, **changes: Any) -> Any:
    from models import recipe

    options = TrainingOptions(table=path, label="kind", **changes)
    dataset = read_table(path)
    return recipe.train(dataset, np.arange(len(dataset.groups)), options, lambda _: None)


def publish(path: Path, store: Path, *arguments: str) -> Bundle:
    options = parse_options(["--data", str(path), "--label", "kind", "--out", str(store), *arguments])
    training.train(options)
    return Bundle.read(newest_version(store / options.name))


@pytest.mark.parametrize(("load", "at_most"), [(load_iris, 0.9), (load_breast_cancer, 1.05)])
def test_the_network_is_not_worse_than_logistic_regression(write: Write, load: Any, at_most: float) -> None:
    """On rows that neither has seen; on iris it is better."""
    from models import recipe

    data = load()
    options = TrainingOptions(table=write(data.data, data.target), label="kind")
    assert options.table
    dataset = read_table(options.table)
    train, test = split_folds(dataset, np.arange(len(dataset.groups)), 3, 0)[0]
    rng = np.random.default_rng(0)
    sample, held_out = dataset.sample(train, 0, rng), dataset.sample(test, 0, rng)
    logistic = build_logistic_regression().fit(sample.rows, sample.labels)
    trained = recipe.train(dataset, train, options, lambda _: None)
    assert score(trained.network, held_out).log_loss <= at_most * score(logistic, held_out).log_loss
    assert trained.validation.log_loss < 1.5 * score(trained.network, held_out).log_loss + 0.05


def test_noise_is_left_to_logistic_regression(write: Write) -> None:
    """A network that memorizes it is not selected; the result says so."""
    rng = np.random.default_rng(0)
    result = train_table(write(rng.standard_normal((120, 4)), rng.integers(0, 2, 120)))
    assert result.losses.selected is None
    assert result.settings["network"] == "logistic regression"


def test_the_same_seed_gives_the_same_weights(write: Write) -> None:
    """They are equal bit for bit; each call of ``on_step`` is one that `count_steps` counts."""
    from models import recipe

    path = write(load_iris().data, load_iris().target)
    first, again, other = (train_table(path, seed=seed).network.get_weights() for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    calls: list[str] = []
    dataset = read_table(path)
    options = TrainingOptions(table=path, label="kind")
    recipe.train(dataset, np.arange(len(dataset.groups)), options, calls.append)
    assert len(calls) == recipe.count_steps(dataset, options)


@pytest.mark.parametrize(
    ("scale", "offset"), [(1e-12, 0), (1e-28, 0), (1e20, 0), (1e27, 1e29), (1e6, 1.7e9), (1e-3, 52.5)]
)
def test_a_feature_of_any_scale_is_learnt(write: Write, tmp_path: Path, scale: float, offset: float) -> None:
    """Keras, LiteRT and the weights of explanations agree, and the served model predicts it."""
    rows, labels = two_clusters(scale, offset)
    published = publish(write(rows, labels), tmp_path / "store", "--no-report")
    assert published.manifest.metrics["validation"]["accuracy"] > 0.97
    model = Model.open(published.folder, "litert")
    assert (model.outputs(rows.astype(np.float32)).argmax(axis=1) == labels).mean() > 0.97
    assert layers.read(published)
    interpreter = Interpreter(model_content=published.read_bytes("model.tflite"))
    assert interpreter.get_input_details()[0]["shape"].tolist()[1] == 2


@pytest.mark.parametrize("hidden", ["3", "16,8", "8,4,4"])
def test_hidden_layers_are_chosen_by_an_option(write: Write, tmp_path: Path, hidden: str) -> None:
    """The network explains itself with any number of them."""
    published = publish(write(*two_clusters()), tmp_path / "store", "--no-report", "--hidden", hidden)
    units = [int(number) for number in hidden.split(",")]
    assert [layer.units for layer in published.manifest.layers] == [2, *units, 2]
    assert [layer.name for layer in published.manifest.layers][1:-1] == [f"hidden_{i + 1}" for i in range(len(units))]
    assert len(layers.read(published)) == len(units) + 2


def test_rows_that_repeat_count_once(write: Write, tmp_path: Path) -> None:
    rows, labels = two_clusters()
    repeated = publish(write(np.tile(rows, (3, 1)), np.tile(labels, 3)), tmp_path / "store", "--no-report")
    assert repeated.manifest.training.rows == 200
    assert repeated.manifest.training.settings["rows"] == 600


def test_a_thousand_labels_are_published_and_read(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest stays far below the size that its reader allows."""
    from models import measured_recipe

    monkeypatch.setattr(measured_recipe, "STEPS", (20,))  # how well it is trained does not matter here
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000), 10)
    rows = 4.0 * np.column_stack([labels // 100, labels // 10 % 10, labels % 10]) + rng.standard_normal((10_000, 3))
    published = publish(write(rows, [f"label {label}" for label in labels]), tmp_path / "store", "--no-report")
    assert len(published.manifest.labels) == 1000
    assert (published.folder / "manifest.json").stat().st_size < 8_000_000
    assert Model.open(published.folder, "litert").outputs(rows[:3].astype(np.float32)).shape == (3, 1000)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.repeat(np.arange(60.0).reshape(20, 3), 10, axis=0), 20),
        (np.random.default_rng(0).integers(0, 2, (200, 3)).astype(float), 200),
    ],
    ids=["repeated individuals", "truth values"],
)
def test_rows_that_repeat_count_once_unless_they_must_repeat(rows: Doubles, expected: int) -> None:
    """Twenty individuals, ten times each, are twenty; 200 rows of three truth values are 200."""
    from models import packaging

    labels = np.zeros(len(rows), np.intp)
    sample = Sample(rows.astype(np.float32), labels, np.arange(len(rows)))
    assert packaging.count_individuals(sample) == expected


def test_balanced_probabilities_find_more_of_a_rare_label(write: Write) -> None:
    """They are those of equally frequent labels, so odds change by the ratio of the labels' shares, and no more."""
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 20 == 0).astype(np.intp)
    rows = rng.standard_normal((600, 2)) + 1.5 * labels[:, None]
    path = write(rows, labels)
    plain, balanced = (train_table(path, balance=balance) for balance in (False, True))
    assert balanced.validation.recall[1] > plain.validation.recall[1] + 0.3
    odds = [
        probabilities[:, 1] / probabilities[:, 0]
        for probabilities in (np.asarray(each.network(rows.astype(np.float32))) for each in (plain, balanced))
    ]
    assert odds[1] / odds[0] == pytest.approx(19, rel=1e-3)
