"""`python -m models.adopt`: users' models from their files, and what is refused."""

import csv
import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.adoptions import NAMES, AdoptedModel, AdoptedModels
from support.gunicorn_server import environment
from support.keras_models import MadeModel, classification

from models import adopt as adoption
from models import bundle
from models.adopt import adopt, fill_draft
from models.adoption.columns import BY_NAME, BY_OPTION, BY_SAMPLE
from models.adoption.options import AdoptionOptions, parse_options
from models.bundle import Bundle
from models.manifest import Manifest
from models.reference_statistics import ALL_ROWS
from service.inference.model import Model

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:__array__ implementation")]

Table = list[list[str]]
Spoil = Callable[[Table], object]
Output = tuple[int, str, str]  # exit code, stdout and stderr
ROOT = Path(__file__).resolve().parent.parent.parent
TOLERANCE = 1e-5  # relative to the largest number
WITHOUT_SAMPLE = ("auto_mpg", "one_input_per_feature", "list_of_inputs", "several_outputs", "saved_model")


@pytest.mark.parametrize("name", NAMES)
def test_an_adopted_model_predicts_what_keras_predicts(adopted_models: AdoptedModels, name: str) -> None:
    """Also the outputs as the model itself gives them, row by row and all at once."""
    adopted = adopted_models.get(name)
    model = Model.open(adopted.folder, "litert")
    rows, expected = adopted.made.rows, adopted.expected_columns
    _assert_close(model.outputs(rows), expected)
    _assert_close(np.concatenate([model.outputs(row[np.newaxis]) for row in rows[:20]]), expected[:20])
    prediction = model.predict(rows, [*{*model.raw_layers}])
    for head in model.heads:
        is_served = head.head.layer == model.output_layer
        own: NDArray[Any] = expected[:, head.columns] if is_served else adopted.made.expected[head.head.name]
        _assert_close(model.raw_output(head, prediction), own)


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_what_was_understood(adopted_models: AdoptedModels, name: str) -> None:
    """Heads, columns, units, bounds, reference statistics, golden and background rows, and where it comes from."""
    adopted = adopted_models.get(name)
    made, manifest = adopted.made, adopted.bundle.manifest
    assert [head.model_copy(update={"layer": ""}) for head in manifest.heads] == [*made.heads]
    assert manifest.feature_names == made.columns
    assert manifest.format == 2
    assert all(feature.has_bounds for feature in manifest.features)
    assert manifest.training.rows == len(made.rows)
    assert set(manifest.training.facts) >= {"sample.csv", "sample.toml"}
    assert len(manifest.golden) >= 5
    assert 20 <= len(manifest.background) <= 100
    reference = manifest.require_reference()
    np.testing.assert_allclose(reference.features[made.columns[0]][0], made.rows[:, 0].min(), rtol=1e-6)
    has_labels = len(made.heads) == 1 and made.heads[0].kind == "classification" and made.labels
    assert set(reference.ranges) == (set(made.heads[0].labels) if has_labels else {ALL_ROWS})
    assert (adopted.folder / "report" / "index.html").exists() == bool(made.labels)
    assert set(manifest.metrics.get("evaluation", {"outputs": {}})["outputs"]) == (
        {head.name for head in made.heads if set(head.column_names) & set(made.labels) or head.labels}
        if made.labels and name != "several_outputs"
        else ({"price", "kind"} if made.labels else set())
    )


@pytest.mark.parametrize("name", WITHOUT_SAMPLE)
def test_a_model_without_a_sample_is_adopted_too(adopted_models: AdoptedModels, name: str) -> None:
    """Nothing is known of its features' values, so nothing is made up."""
    adopted = adopted_models.get(name, sample=False)
    model, manifest = Model.open(adopted.folder, "litert"), adopted.bundle.manifest
    _assert_close(model.outputs(adopted.made.rows), adopted.expected_columns)
    assert manifest.reference is None
    assert manifest.background == ()
    assert manifest.training.rows == 0
    assert not any(feature.has_bounds for feature in manifest.features)
    assert manifest.feature_names == adopted.made.columns
    assert manifest.training.about.startswith(f"{adopted.made.path.name}, ")


@pytest.mark.parametrize("name", ["churn", "deep_and_cross"])
def test_a_model_can_be_adopted_for_the_keras_engine(adopted_models: AdoptedModels, name: str) -> None:
    """Its bundle has no file for LiteRT, and Keras needs none of the user's code."""
    adopted = adopted_models.get(name, engine="keras")
    assert bundle.MODEL_LITERT not in adopted.bundle.manifest.files
    _assert_close(Model.open(adopted.folder, "keras").outputs(adopted.made.rows), adopted.expected_columns)


# Columns


def test_columns_are_taken_by_the_names_of_the_inputs(adopted_models: AdoptedModels, tmp_path: Path) -> None:
    """In whatever order the sample has them, and beside others."""
    made = adopted_models.get("one_input_per_feature").made
    table = tmp_path / "shuffled.csv"
    order = [2, 0, 3, 1]
    rows = [["note", *(made.columns[i] for i in order)]]
    rows += [["x", *(repr(float(row[i])) for i in order)] for row in made.rows]
    _write(table, rows)
    manifest, folder = _adopt(tmp_path, str(made.path), "--sample", str(table), "--labels", "a,b,c")
    assert manifest.training.settings["columns"] == BY_NAME
    assert manifest.feature_names == made.columns
    _assert_close(Model.open(folder, "litert").outputs(made.rows), made.expected["segment"])


def test_columns_of_a_matrix_are_taken_in_the_order_of_the_sample_or_of_the_option(
    adopted_models: AdoptedModels, tmp_path: Path
) -> None:
    """The two differ where the sample has other columns in between, or in another order."""
    made = adopted_models.get("auto_mpg").made
    arguments = [str(made.path), "--label", "MPG", "--sample"]
    plain, _ = _adopt(tmp_path, *arguments, str(adopted_models.get("auto_mpg").sample))
    assert plain.training.settings["columns"] == BY_SAMPLE
    table = tmp_path / "reversed.csv"
    columns = [*reversed(made.columns)]
    mpg = made.labels["MPG"]
    rows = [[f"n{i}", *row[::-1].tolist(), mpg[i]] for i, row in enumerate(made.rows)]
    _write(table, [["id", *columns, "MPG"], *rows])
    chosen, folder = _adopt(tmp_path, *arguments, str(table), "--columns", ",".join(made.columns))
    assert chosen.training.settings["columns"] == BY_OPTION
    assert chosen.feature_names == made.columns == plain.feature_names
    assert chosen.metrics == plain.metrics
    _assert_close(Model.open(folder, "litert").outputs(made.rows), made.expected["mpg"])


def test_swapped_columns_are_noticed(adopted_models: AdoptedModels, tmp_path: Path) -> None:
    """By what the model then predicts: its right answers are worse than none."""
    adopted = adopted_models.get("auto_mpg")
    columns = ",".join(reversed(adopted.made.columns))
    manifest, _ = _adopt(
        tmp_path, str(adopted.made.path), "--sample", str(adopted.sample), "--label", "MPG", "--columns", columns
    )
    (warning,) = [each for each in manifest.training.settings["warnings"] if "R2" in each]
    assert "check the order and the units of the columns" in warning


def test_a_sample_in_other_units_is_noticed(trained: MadeModel, tmp_path: Path) -> None:
    """Predictions that hardly differ show it."""
    table = tmp_path / "scaled.csv"
    _write(table, [trained.columns, *(trained.rows / 1e6 + 4).tolist()])
    manifest, _ = _adopt(tmp_path, str(trained.path), "--sample", str(table), "--labels", "small,large")
    assert any("nearly the same for all rows" in each for each in manifest.training.settings["warnings"])


def test_bounds_are_those_within_which_the_model_runs(tmp_path: Path) -> None:
    """A look-up in the network fails on numbers that its table does not have, so the sample's own are the bounds."""
    from models.tensorflow_setup import keras

    kind, size = keras.Input((1,), name="kind", dtype="int32"), keras.Input((1,), name="size")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(kind + kind))
    model = keras.Model([kind, size], keras.layers.Dense(1, name="price")(keras.layers.Concatenate()([embedded, size])))
    _save(model, tmp_path / "prices.keras")
    _write(tmp_path / "sample.csv", [["size", "kind"], *([i / 7, i % 3] for i in range(50))])
    arguments = [str(tmp_path / "prices.keras"), "--sample", str(tmp_path / "sample.csv"), "--engine", "keras"]
    manifest, _ = _adopt(tmp_path, *arguments)
    assert [(each.name, each.minimum, each.maximum) for each in manifest.features] == [
        ("kind", 0, 2),
        ("size", 0, pytest.approx(7)),
    ]
    assert any("because the model fails beyond them" in each for each in manifest.training.settings["warnings"])


def test_an_untrained_model_is_noticed(tmp_path: Path) -> None:
    from models.tensorflow_setup import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    _save(model, tmp_path / "new.keras")
    manifest, _ = _adopt(tmp_path, str(tmp_path / "new.keras"))
    (warning,) = manifest.training.settings["warnings"]
    assert warning.startswith("the model seems never to have been trained")


# What a user sees


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> MadeModel:
    """A classifier that is right, so that the order of its labels can be told."""
    from models.tensorflow_setup import keras

    rows = np.random.default_rng(0).normal(5, 2, (200, 2)).astype(np.float32)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "sigmoid", name="size")])
    network.layers[0].set_weights([np.array([[-2.0], [-2.0]]), np.array([20.0])])
    path = tmp_path_factory.mktemp("trained") / "sizes.keras"
    _save(network, path)
    sizes = ["large" if row.sum() > 10 else "small" for row in rows]
    heads = (classification("size", ("large", "small")),)
    expected = {"size": np.asarray(network(rows))}
    return MadeModel("sizes", path, rows, ("length", "width"), heads, expected, {"size": sizes})


def test_the_command_says_what_it_adopted(trained: MadeModel, tmp_path: Path) -> None:
    """From two files to a bundle, in a process of its own."""
    table = trained.write_csv(tmp_path / "sizes.csv")
    process = _run(trained.path, "--sample", table, "--label", "size", "--out", tmp_path / "store", "--name", "sizes")
    assert process.returncode == 0, process.stderr
    assert "labels in sorted order, with which 100% of" in process.stderr
    lines = process.stdout.splitlines()
    assert "sizes 1 predicts large or small" in lines
    assert "takes   length, width, in the sample's order" in lines
    assert any(line.split()[:1] == ["accuracy"] for line in lines)
    works = (
        "predictions in all protocols and of tables, warnings, drift, sweeps, attributions, explanations layer by layer"
    )
    assert f"works   {works}" in lines
    assert not [line for line in lines if line.startswith("off")]
    assert lines[-1].endswith("MENAGERIE_MODEL_NAME=sizes make run")
    assert not [path for path in (tmp_path / "store" / "sizes").iterdir() if path.name.startswith(".draft")]
    report = json.loads((tmp_path / "store" / "sizes" / "1" / "report" / "report.json").read_text())
    assert report["metrics"]["evaluation"]["outputs"]["size"]["accuracy"] > 0.9
    files = {path.name for path in (tmp_path / "store" / "sizes" / "1" / "report").iterdir()}
    assert files == {"index.html", "report.json", "confusion.svg", "reliability.svg"}


@pytest.fixture
def adopt_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Output]:
    """The command without its processes: each would import TensorFlow once more."""
    monkeypatch.setattr(adoption, "_adopt_in_subprocess", fill_draft)

    def run(*arguments: object) -> Output:
        return (adoption.main([*map(str, arguments)]), *capfd.readouterr())

    return run


def test_the_command_says_what_is_off_without_a_sample(
    trained: MadeModel, tmp_path: Path, adopt_here: Callable[..., Output]
) -> None:
    code, stdout, stderr = adopt_here(trained.path, "--out", tmp_path, "--name", "bare", "--engine", "keras")
    assert code == 0, stderr
    assert "off     warnings, drift, sweeps and attributions: there is no --sample" in stdout
    assert "off     bounds: any number is valid" in stdout
    assert "MENAGERIE_ENGINE=keras MENAGERIE_MODEL_STORE=" in stdout
    assert "takes   feature_1, feature_2, by number" in stdout


def test_help_is_quick_and_imports_no_heavy_library() -> None:
    process = _run("--help")
    assert process.returncode == 0
    for option in ("sample", "label", "columns", "labels", "targets", "threshold", "from-logits", "custom", "engine"):
        assert f"--{option}" in process.stdout
    heavy = {"tensorflow", "keras", "sklearn", "scipy", "matplotlib", "pyarrow", "rich"}
    check = f"import sys, models.adopt as a; a.parse_options(['x']); sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


def test_a_crash_is_one_sentence(trained: MadeModel, tmp_path: Path) -> None:
    """The user's own code, which a custom layer is, can end the process; nothing remains of the draft."""
    (tmp_path / "crashing.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    process = _run(trained.path, "--custom", "crashing:Layer", "--out", tmp_path / "store", PYTHONPATH=str(tmp_path))
    assert process.returncode == 2
    assert "TensorFlow crashed (SIGSEGV) while it adopted" in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_adoption_leaves_nothing(trained: MadeModel, tmp_path: Path, sent: signal.Signals, code: int) -> None:
    (tmp_path / "waiting.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'started')!r}).touch()\ntime.sleep(600)\n"
    )
    command = _command(trained.path, "--custom", "waiting:Layer", "--out", tmp_path / "store")
    variables = environment(PYTHONPATH=str(tmp_path))
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert not (tmp_path / "store").exists()


REFUSED = [
    # the columns
    ("auto_mpg", ["--sample", "{sample}"], "the model takes 9 columns ("),
    ("auto_mpg", ["--sample", "{sample}", "--label", "mpg"], "no column 'mpg': set --label to one of Cylinders, "),
    ("auto_mpg", ["--sample", "{sample}", "--label", "MPG", "--columns", "Weight"], "but --columns names 1 (Weight)"),
    (
        "auto_mpg",
        ["--sample", "{sample}", "--label", "MPG", "--columns", "a,b,c,d,e,f,g,h,i"],
        "has no column 'a' beside the labels",
    ),
    (
        "auto_mpg",
        ["--columns", "a,a,c,d,e,f,g,h,i"],
        "--columns names a twice: name each column once, in the model's order",
    ),
    ("one_input_per_feature", ["--sample", "{part}"], "the model takes income, but "),
    ("list_of_inputs", ["--columns", "a,b"], "takes 5 columns (person: 2, house: 3), but --columns names 2 (a, b)"),
    # the sample
    ("auto_mpg", ["--sample", "{none}"], "cannot read "),
    (
        "auto_mpg",
        ["--sample", "{text}", "--label", "MPG"],
        "'Cylinders' is text ('four'): write it as the numbers",
    ),
    ("auto_mpg", ["--sample", "{gap}", "--label", "MPG"], "the cell has no value: fill it in, or leave out 1 row with"),
    ("auto_mpg", ["--sample", "{headerless}"], "has no column names: its first line, "),
    ("auto_mpg", ["--sample", "{huge}", "--label", "MPG"], "is too large"),
    # the right answers
    ("auto_mpg", ["--sample", "{words}", "--label", "MPG"], "so it predicts a quantity, but 'MPG' is text"),
    ("fraud", ["--sample", "{sample}", "--label", "Class"], "--labels genuine,fraud: name them in the order"),
    ("wine_quality", ["--sample", "{two}", "--label", "quality"], "has 2 labels (low and high), but the model tells 3"),
    (
        "wine_quality",
        ["--sample", "{sample}", "--label", "quality", "--labels", "low,medium,great"],
        "has labels that --labels does not name (high)",
    ),
    ("churn", ["--sample", "{ages}", "--label", "churned"], "but the model tells 2 apart"),
    (
        "multiple_labels",
        ["--sample", "{counts}", "--label", "a,b,c"],
        "independent probabilities, but 'a' has other values than 0 and 1",
    ),
    ("multiple_labels", ["--sample", "{flag}", "--label", "flag"], "name a column of 0 and 1 for each"),
    (
        "several_outputs",
        ["--sample", "{sample}", "--label", "h0"],
        "say which one 'h0' belongs to, for example --label price=h0",
    ),
    # the options
    ("wine_quality", ["--labels", "low,high"], "--labels names 2 labels, but output quality has 3 units: name 3"),
    ("churn", ["--labels", "a,b,c"], "has one unit, for two labels: name 2"),
    ("wine_quality", ["--labels", "a,b,b"], "has an empty name, or one twice"),
    ("auto_mpg", ["--threshold", "0.4"], "--threshold is for two labels or for independent ones"),
    ("wine_quality", ["--threshold", "0.4"], "but the model is a classification with more labels: leave it out"),
    ("wine_quality", ["--from-logits"], "ends in softmax, so it gives no logits: leave out --from-logits"),
    ("logits", [], "has 3 linear units, which can be logits or quantities: add --from-logits"),
    ("auto_mpg", ["--targets", "a,b"], "has 1 unit, but --targets names 2 (a, b): name one for each"),
    ("several_outputs", ["--labels", "flat,house,villa"], "for example --labels price=flat,house,villa"),
    ("auto_mpg", ["--columns", f"{'x' * 201},b,c,d,e,f,g,h,i"], "String should have at most 200 characters"),
    ("auto_mpg", ["--schema", "{none}"], "cannot read "),
]


@pytest.mark.parametrize(("name", "arguments", "sentence"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_mistake_gets_a_sentence(  # noqa: PLR0913, PLR0917 (parameters and fixtures)
    adopted_models: AdoptedModels,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    arguments: list[str],
    sentence: str,
) -> None:
    """It goes to stderr alone, with exit code 2, and nothing is written."""
    adopted = adopted_models.get(name)
    given = [_fill_in(argument, adopted, tmp_path) for argument in arguments]
    options = parse_options([str(adopted.made.path), *given, "--out", str(tmp_path / "store")])
    (tmp_path / "draft").mkdir()
    assert fill_draft(options, tmp_path / "draft") == 2
    lines = capfd.readouterr().err.splitlines()
    assert sentence in lines[-1]
    assert not [*(tmp_path / "draft").iterdir()]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "FILE"),
        (["x.keras", "--label", "y"], "--label is only valid with --sample"),
        (["x.keras", "--decimal", ","], "--decimal is only valid with --sample"),
        (["x.keras", "--threshold", "1"], "'1' is not a number between 0 and 1"),
        (["x.keras", "--threshold", "half"], "'half' is not a number between 0 and 1"),
        (["x.keras", "--engine", "torch"], "--engine"),
        (["x.keras", "--name", "../x"], "'../x' is not a valid name"),
        (["x.keras", "--columns", "a,,b"], "'a,,b' has an empty name"),
        (["x.keras", "--samples", "t.csv"], "--samples"),
    ],
    ids=str,
)
def test_a_wrong_command_line_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_refusal_ends_the_command_with_code_2(trained: MadeModel, tmp_path: Path) -> None:
    """The sentence alone, and no folder is left; of a sample that cannot be read, before TensorFlow is imported."""
    process = _run(trained.path, "--sample", tmp_path / "none.csv", "--out", tmp_path / "store")
    assert (process.returncode, process.stdout) == (2, "")
    assert [line.partition(" (")[0] for line in process.stderr.splitlines()[1:]] == [
        f"cannot read {tmp_path / 'none.csv'}"
    ]
    assert not (tmp_path / "store").exists()


def _fill_in(argument: str, adopted: AdoptedModel, folder: Path) -> str:
    """Put the path of a table in the place of its name in braces; most have one of the faults of `_SPOILED`."""
    if not argument.startswith("{"):
        return argument
    name, path = argument.strip("{}"), folder / "table.csv"
    if name == "sample":
        return str(adopted.sample)
    if name == "none":
        return str(folder / "none.csv")
    with adopted.sample.open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    _SPOILED[name](table)
    _write(path, table)
    return str(path)


def _fill(position: int, *values: str) -> Spoil:
    """Fill a column with these values in turn."""

    def spoil(table: Table) -> None:
        for i, row in enumerate(table[1:]):
            row[position] = values[i % len(values)]

    return spoil


def _add(**columns: str) -> Spoil:
    """Add columns, each with the digits of its value in turn."""

    def spoil(table: Table) -> None:
        table[0] += columns
        for i, row in enumerate(table[1:]):
            row += [values[i % len(values)] for values in columns.values()]

    return spoil


def _drop(name: str) -> Spoil:
    def spoil(table: Table) -> None:
        position = table[0].index(name)
        for row in table:
            del row[position]

    return spoil


_SPOILED: dict[str, Spoil] = {
    "headerless": lambda table: table.pop(0),
    "part": _drop("income"),
    "gap": lambda table: table[4].__setitem__(0, ""),
    "flag": _add(flag="01"),
    "counts": _add(a="012", b="0", c="1"),
    "text": _fill(0, "four"),
    "huge": _fill(0, "1e31"),
    "words": _fill(-1, "low", "middle", "high"),
    "two": _fill(-1, "low", "high"),
    "ages": _fill(-1, "1", "2", "3", "4", "5"),
}


def _adopt(folder: Path, *arguments: str) -> tuple[Manifest, Path]:
    """Adopt in this process; return the manifest and the version's folder."""
    options: AdoptionOptions = parse_options([*arguments, "--out", str(folder / "store")])
    with bundle.draft(options.store / options.name) as draft:
        published = bundle.publish(draft, adopt(options, draft, lambda _: None))
    return Bundle.read(published).manifest, published


def _save(model: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras' own calls of NumPy
        model.save(path)


def _run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments),
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "models.adopt", *map(str, arguments)]


def _write(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _assert_close(actual: NDArray[np.floating], expected: NDArray[np.floating]) -> None:
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=scale * TOLERANCE)
