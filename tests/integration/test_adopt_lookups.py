"""`python -m models.adopt` of models that look categories up: encoders and network equal to Keras, and refusals."""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import requests
from support import mixed_tables
from support.adopted_lookups import Adopted, Get, publish
from support.gunicorn_server import serving
from support.lookup_models import BUILDERS, ROWS, LookupModel, keras

from models import bundle
from models.adopt import adopt
from models.adoption.options import parse_options
from models.errors import DataError
from models.feature import Hashing, to_codes
from models.manifest import Manifest
from models.reference_statistics import ALL_ROWS
from service.inference.model import Model

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:__array__ implementation")]

TOLERANCE = 1e-5


@pytest.fixture
def adopted(adopted_lookups: Get) -> Get:
    return adopted_lookups


def serve(adopted: Adopted, rows: Sequence[Sequence[Any]], engine: str = "litert") -> Any:
    """What the service predicts for raw rows."""
    features = adopted.manifest.features
    plain = [[_plain(feature.kind, value) for feature, value in zip(features, row, strict=True)] for row in rows]
    return Model.open(adopted.folder, engine).outputs(to_codes(features, plain))


def _plain(kind: str, value: Any) -> Any:
    return int(value) if isinstance(value, float) and kind != "number" and value.is_integer() else value


def expect(made: LookupModel, rows: Sequence[Sequence[Any]]) -> Any:
    """What Keras predicts for them, as the service has it."""
    own = made.predict(rows).astype(np.float64)
    if "--from-logits" in made.options:
        own = 1 / (1 + np.exp(-own))
    return own if own.shape[1] > 1 else np.concatenate([1 - own, own], axis=1)


@pytest.mark.parametrize("name", BUILDERS)
def test_encoders_and_network_give_what_keras_gives(adopted: Get, name: str) -> None:
    """On raw values, in both engines: for the sample, unknown words, missing values and boundaries, one by one too."""
    model = adopted(name)
    rows = [*model.made.rows, *model.made.more]
    expected = expect(model.made, rows)
    for engine in ("litert", "keras"):
        np.testing.assert_allclose(serve(model, rows, engine), expected, atol=TOLERANCE, rtol=TOLERANCE)
    for row, own in zip(model.made.more, expected[len(model.made.rows) :], strict=True):
        np.testing.assert_allclose(serve(model, [row])[0], own, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", ["feature_space", "one_text_matrix", "nested", "indexed", "output_modes"])
def test_a_model_is_adopted_without_a_sample_too(adopted: Get, name: str, tmp_path: Path) -> None:
    """The vocabularies are those of the layers; nothing else is known."""
    made = adopted(name).made
    schema = [part for part in made.options if part.endswith(".toml")]
    arguments = ["--schema", schema[0]] if schema else []
    arguments += ["--from-logits"] if "--from-logits" in made.options else []
    arguments += ["--columns", ",".join(made.columns)] if name == "one_text_matrix" else []
    bare = publish(made, tmp_path, str(made.path), *arguments)
    rows = [row for row in (*made.rows, *made.more) if name != "nested" or None not in row[1:2]]
    np.testing.assert_allclose(serve(bare, rows), expect(made, rows), atol=TOLERANCE, rtol=TOLERANCE)
    assert bare.manifest.reference is None
    assert [each.categories for each in bare.manifest.features] == [
        each.categories for each in adopted(name).manifest.features
    ]


def test_an_adopted_model_is_served(adopted: Get) -> None:
    """By real gunicorn: the same probabilities as Keras for raw rows, explained, counted and compared for drift."""
    model = adopted("wide_and_deep")
    made, name = model.made, model.manifest.name
    rows = [*made.rows, *made.more]
    named = [dict(zip(made.columns, row, strict=True)) for row in rows]
    with serving(MENAGERIE_MODEL_STORE=str(model.folder.parent.parent), MENAGERIE_MODEL_NAME=name) as server:
        answer = requests.post(f"{server.url}/predict", json={"instances": named}, timeout=30).json()
        given = [[*each["probabilities"].values()] for each in answer["predictions"]]
        np.testing.assert_allclose(given, expect(made, rows), atol=TOLERANCE, rtol=TOLERANCE)
        for row, expected in zip(named[-5:], answer["predictions"][-5:], strict=True):
            present = {column: value for column, value in row.items() if value is not None}
            single = requests.post(f"{server.url}/predict", json={"features": present}, timeout=30).json()
            assert single["probabilities"] == expected["probabilities"]
        wrong = requests.post(f"{server.url}/predict", json={"features": [*rows[0][:3], None, 1, 2]}, timeout=30)
        assert wrong.status_code == 422
        assert wrong.json()["errors"][0]["message"].startswith("gender must be")
        others = f"{server.url}/v1/models/{name}:predict", f"{server.url}/v2/models/{name}"
        first = requests.post(others[0], json={"instances": named}, timeout=30).json()["predictions"]
        np.testing.assert_allclose(first, expect(made, rows), atol=TOLERANCE, rtol=TOLERANCE)
        inputs = [
            {key: tensor[key] for key in ("name", "datatype")}
            | {
                "shape": [len(rows), 1],
                "data": ["" if each[tensor["name"]] is None else each[tensor["name"]] for each in named],
            }
            for tensor in requests.get(others[1], timeout=30).json()["inputs"]
        ]
        second = requests.post(f"{others[1]}/infer", json={"inputs": inputs}, timeout=30).json()["outputs"]
        flat = next(each["data"] for each in second if each["datatype"] == "FP32")
        np.testing.assert_allclose(np.reshape(flat, (-1, 2)), expect(made, rows), atol=TOLERANCE, rtol=TOLERANCE)
        explained = requests.post(f"{server.url}/explain", json={"features": named[-1]}, timeout=30)
        assert explained.ok
        assert explained.json()["encoded"]
        drift = requests.get(f"{server.url}/drift", timeout=30).json()
        assert set(drift["features"]) >= {"workclass", "age"}
        assert 'menagerie_warnings_total{feature="workclass"' in requests.get(f"{server.url}/metrics", timeout=30).text


def test_a_sample_can_be_parquet_with_categories(adopted: Get, tmp_path: Path) -> None:
    """The same features and statistics as from the CSV file."""
    model = adopted("pet_adoption")
    path = mixed_tables.pets(rows=ROWS).write_parquet(tmp_path / "pets.parquet")
    options = [str(path) if each.endswith(".csv") else each for each in model.made.options]
    other = publish(model.made, tmp_path, str(model.made.path), *options).manifest
    assert other.features == model.manifest.features
    assert other.reference == model.manifest.reference


def test_the_manifest_says_what_the_lookups_know(adopted: Get) -> None:
    """Categories, other and missing; reference statistics by code; golden rows of raw values."""
    manifest = adopted("wide_and_deep").manifest
    assert manifest.format == 3
    kinds = {each.name: (each.kind, each.allow_other, each.allow_missing) for each in manifest.features}
    assert kinds == {
        "workclass": ("category", True, True),
        "education": ("category", True, True),
        "occupation": ("category", True, True),
        "gender": ("category", True, False),
        "age": ("number", False, False),
        "hours_per_week": ("number", False, False),
    }
    by_name = {each.name: each for each in manifest.features}
    assert by_name["gender"].categories == ("Female", "Male")
    reference = manifest.require_reference()
    assert set(reference.features) == {"age", "hours_per_week"}
    assert set(reference.categories) == {ALL_ROWS, *manifest.class_labels} or set(reference.categories) == {ALL_ROWS}
    for name, shares in reference.categories[ALL_ROWS].items():
        assert sum(shares) == pytest.approx(1), name
    golden = [dict(zip(manifest.feature_names, row.features, strict=True)) for row in manifest.golden]
    assert {row["workclass"] for row in golden} >= {None, "unknown"}
    assert {row["age"] for row in golden} >= {20.0, 30.5, 45.0, 65.0}
    assert {encoder.feature for encoder in manifest.encoders} == set(manifest.feature_names)
    assert "gender: Male" in manifest.network_inputs
    assert not manifest.training.settings["not_taken_apart"]


def test_hashes_and_masks(adopted: Get) -> None:
    hashed = {each.name: each for each in adopted("hashed").manifest.features}
    assert hashed["Breed1"].hashing == Hashing(bins=16)
    assert hashed["Color1"].hashing == Hashing(bins=5, salt=(133, 137))
    assert (hashed["Type"].hashing, hashed["Type"].allow_missing) == (Hashing(bins=3), True)
    assert hashed["Age"].hashing == Hashing(bins=6, salt=(7, 7), type="integer")


def test_feature_space_becomes_encoders(adopted: Get) -> None:
    features = {each.name: each for each in adopted("feature_space").manifest.features}
    assert features["cp"].allow_other is False
    assert features["sex"].allow_other is True
    assert features["age"].kind == "number"
    assert features["restecg"].hashing == Hashing(bins=8, type="integer")
    assert features["thal"].category_type is str


def test_integers_straight_into_layers(adopted: Get) -> None:
    """An index of few values is a category, one of many an integer; a code that is a number too knows no other."""
    features = {each.name: each for each in adopted("indexed").manifest.features}
    assert (features["chol"].kind, features["chol"].lowest, features["chol"].highest <= 2999) == ("integer", 0, True)
    assert features["slope"].categories == (0, 1, 2, 3)
    assert (features["restecg"].categories, features["restecg"].allow_other) == ((0, 1, 2), False)
    assert features["age"].kind == "integer"


def test_every_output_mode(adopted: Get) -> None:
    """Other only where there is one index for it, missing only with a mask; a truth value has two categories."""
    manifest = adopted("output_modes").manifest
    features = {each.name: each for each in manifest.features}
    assert features["flag"].categories == (False, True)
    for name in [each for each in features if each.startswith(("text", "code"))]:
        assert features[name].allow_other == name.endswith("_1"), name
        assert features[name].allow_missing == ("int" in name or "one_hot" in name), name
    warnings = [each for each in manifest.training.settings["warnings"] if "unknown value" in each]
    assert len(warnings) == 8


def test_a_gap_means_what_the_model_makes_of_it(adopted: Get) -> None:
    """NaN that the model fills in itself, and a missing word that the schema allows."""
    manifest = adopted("nested").manifest
    features = {each.name: each for each in manifest.features}
    assert features["age"].allow_missing
    assert features["deck"].allow_missing
    assert not features["sex"].allow_missing
    assert 0 < manifest.require_reference().missing["age"] < 1


# Refusals: a name, what builds the model in an empty folder, and what the sentence says.


def save(inputs: Any, encoded: Any, folder: Path) -> Path:
    layers = keras().layers
    merged = layers.concatenate(encoded) if len(encoded) > 1 else encoded[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras().Model(inputs, layers.Dense(1, "sigmoid", name="y")(merged)).save(folder / "model.keras")
    return folder / "model.keras"


def single(dtype: str, *chain: Callable[[Any], Any], shape: tuple[int | None, ...] = (1,)) -> Callable[[Path], Path]:
    """A model of one input and a chain of layers, each made when the test runs."""

    def build(folder: Path) -> Path:
        tensor = inputs = keras().Input(shape, dtype=dtype, name="x")
        for make_layer in chain:
            tensor = make_layer(keras().layers)(tensor)
        return save(inputs, [tensor], folder)

    return build


def branches(dtype: str, *makers: Callable[[Any], Any]) -> Callable[[Path], Path]:
    """A model of one input that several layers read."""

    def build(folder: Path) -> Path:
        inputs = keras().Input((1,), dtype=dtype, name="x")
        return save(inputs, [make_layer(keras().layers)(inputs) for make_layer in makers], folder)

    return build


def crossing(folder: Path) -> Path:
    first, second = (keras().Input((1,), dtype="string", name=name) for name in "ab")
    crossed = keras().layers.HashedCrossing(7, output_mode="one_hot", name="a_x_b")((first, second))
    return save([first, second], [crossed], folder)


def crossed_features(folder: Path) -> Path:
    space = keras().utils.FeatureSpace(
        features={"a": "string_categorical", "b": "string_categorical"}, crosses=[("a", "b")], crossing_dim=8
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        space.adapt({"a": np.array(["x", "y"]), "b": np.array(["u", "v"])})
    return save(dict(space.get_inputs()), [space.get_encoded_features()], folder)


def feature_space_alone(folder: Path) -> Path:
    space = keras().utils.FeatureSpace(features={"a": "string_categorical"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        space.adapt({"a": np.array(["x", "y"])})
        space.save(folder / "space.keras")
    return folder / "space.keras"


def exported(folder: Path) -> Path:
    path = single("string", lambda k: k.StringLookup(vocabulary=["a"], output_mode="one_hot"))(folder)
    keras().saving.load_model(path).export(folder / "exported", verbose=False)
    return folder / "exported"


def subclassed(folder: Path) -> Path:
    from support.custom_layers import Words

    model = Words()
    model(np.array([["a"], ["b"]]))
    model.save(folder / "model.keras")
    return folder / "model.keras"


def one_hot(**other: Any) -> Callable[[Any], Any]:
    """A lookup of a and b."""
    return lambda k: k.StringLookup(vocabulary=["a", "b"], output_mode="one_hot", name="words", **other)


def _flatten() -> Callable[[Any], Any]:
    return lambda k: k.Flatten()


def _embedding(rows: int, width: int) -> Callable[[Any], Any]:
    return lambda k: k.Embedding(rows, width, name="table")


BAD_MODELS: list[tuple[str, Callable[[Path], Path], str]] = [
    (
        "words of a text",
        single("string", lambda k: k.TextVectorization(vocabulary=["a", "b"], output_mode="multi_hot", name="text")),
        r"layer text \(TextVectorization\) splits texts into words, which no encoder does: encode the column before",
    ),
    ("a crossing", crossing, r"layer a_x_b \(HashedCrossing\) crosses several columns, which no encoder does"),
    ("a crossing of a FeatureSpace", crossed_features, r"layer a_X_b \(HashedCrossing\) crosses several columns"),
    (
        "several texts in one vector",
        single(
            "string",
            lambda k: k.StringLookup(vocabulary=["a"], output_mode="multi_hot", name="bag"),
            shape=(3,),
        ),
        r"layer bag \(StringLookup\) takes text and is no encoder of one column",
    ),
    ("a sparse lookup", single("string", one_hot(sparse=True)), r"layer words \(StringLookup\) gives sparse tensors"),
    (
        "a lookup the other way round",
        single(
            "int64",
            lambda k: k.StringLookup(vocabulary=["a", "b"], invert=True, name="back"),
            one_hot(),
        ),
        r"layer back \(StringLookup\) turns indices into text \(invert=True\)",
    ),
    ("a class", subclassed, "the model is a class of its own, Words, and its layer lookup looks up categories"),
    ("a SavedModel", exported, "takes text, but a SavedModel is a graph without layers.* adopt the .keras"),
    ("texts of any number", single("string", one_hot(), shape=(None,)), "takes \\? values, an unknown number"),
    (
        "a mask that is a word",
        single("string", lambda k: k.Hashing(8, mask_value="none", output_mode="one_hot", name="hash")),
        r"layer hash \(Hashing\) cannot become an encoder: its mask_value is 'none'",
    ),
    (
        "two hashings",
        branches(
            "string",
            lambda k: k.Hashing(8, output_mode="one_hot", name="one"),
            lambda k: k.Hashing(9, output_mode="one_hot", name="two"),
        ),
        "another Hashing of the same column differs from it",
    ),
    (
        "a hashing and a lookup",
        branches("string", lambda k: k.Hashing(8, output_mode="one_hot", name="hash"), one_hot()),
        r"layer hash \(Hashing\) cannot become an encoder: another layer reads the same column",
    ),
    (
        "too many bins",
        single("string", lambda k: k.Hashing(200_000, name="hash"), lambda k: k.Embedding(200_000, 1), _flatten()),
        "it has 200,000 bins, more than 100,000",
    ),
    (
        "no boundaries",
        single("float32", lambda k: k.Discretization(num_bins=4, output_mode="one_hot", name="bins")),
        "layer bins has no boundaries: call its adapt",
    ),
    (
        "no vocabulary",
        single("string", lambda k: k.StringLookup(name="new"), _embedding(9, 2), _flatten()),
        r"layer new \(StringLookup\) has no vocabulary: call",
    ),
    (
        "a large embedding",
        single(
            "string",
            lambda k: k.StringLookup(vocabulary=[f"w{i}" for i in range(2000)]),
            _embedding(2001, 600),
            _flatten(),
        ),
        r"layer table \(Embedding\) has a table of 1,200,600 numbers, more than 1,000,000",
    ),
    ("a FeatureSpace alone", feature_space_alone, "is a FeatureSpace without a model"),
]


@pytest.mark.parametrize(("build", "sentence"), [pytest.param(*case, id=name) for name, *case in BAD_MODELS])
def test_a_model_that_cannot_be_cut_is_refused(build: Callable[[Path], Path], sentence: str, tmp_path: Path) -> None:
    """In one sentence that names the layer and says what to do."""
    path = build(tmp_path)
    with pytest.raises(DataError, match=sentence) as refusal:
        publish_file(tmp_path, str(path))
    assert ": " in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value).replace(str(path), "")) < 400


TABLE = "word,code,size,answer\na,3,1.5,0\nb,4,2.5,1\na,4,0.5,1\nb,3,9,0\n"
BAD_SAMPLES = [
    ("an unknown word", ("b,4", "c,4"), "", r"'word', line 3: the model does not know 'c', only 'a' and 'b'"),
    ("an unknown code", ("a,4,0", "a,5,0"), "", r"'code', line 4: the model does not know 5, only 3 and 4"),
    ("a text as a code", ("a,4,0", "a,four,0"), "", r"'code', line 4: the model does not know 'four'"),
    ("a broken code", ("a,4,0", "a,3.5,0"), "", "'code', line 4: the model does not know '3.5'"),
    (
        "no word",
        ("b,4", ",4"),
        "",
        "'word', line 3: the cell has no value: fill it in, or give a default in the schema",
    ),
    ("no number", ("2.5", "NA"), "", "'size', line 3: the cell has no value"),
    ("no column", ("word", "wort"), "", "the model takes word, but .* has no such column"),
    ("other", ("", ""), "[features.word]\nother = true", "other = true for 'word', but the layer has no index for"),
    ("other of a number", ("", ""), "[features.size]\nother = true", "has 'other' for 'size', which is a number"),
    (
        "missing",
        ("", ""),
        "[features.word]\nmissing = true",
        "'word' cannot be missing, because the model's lookup has",
    ),
    ("NaN", ("", ""), "[features.size]\nmissing = true", "'size' cannot be missing, because the model gives no finite"),
    ("bounds", ("", ""), "[features.code]\nminimum = 3", "has bounds for 'code', which is a category of the model"),
    ("a default", ("", ""), "[features.word]\ndefault = 'c'", "'word' does not fit the model .*the default 'c' is not"),
    ("another type", ("", ""), "[features.code]\nother = 'yes'", "'other' of 'code' must be true or false"),
    ("another key", ("", ""), "[features.code]\nothers = true", "'code' has an unknown key 'others'"),
    ("excluded", ("", ""), "[features.size]\nmaximum = 3", "excludes values in"),
]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows two words and two codes, and no others."""
    layers = keras().layers
    word, code = keras().Input((1,), dtype="string", name="word"), keras().Input((1,), dtype="int64", name="code")
    size = keras().Input((1,), name="size")
    encoded = [
        layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0, output_mode="one_hot")(word),
        layers.IntegerLookup(vocabulary=[3, 4], num_oov_indices=0, output_mode="one_hot")(code),
        size,
    ]
    return save([word, code, size], encoded, tmp_path_factory.mktemp("strict"))


@pytest.mark.parametrize(
    ("change", "schema", "sentence"), [pytest.param(*case, id=name) for name, *case in BAD_SAMPLES]
)
def test_a_sample_that_does_not_fit_is_refused(
    strict: Path, change: tuple[str, str], schema: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "sample.csv").write_text(TABLE.replace(*change))
    (tmp_path / "schema.toml").write_text(schema)
    arguments = ["--sample", str(tmp_path / "sample.csv"), "--label", "answer", "--labels", "no,yes"]
    with pytest.raises(DataError, match=sentence):
        publish_file(tmp_path, str(strict), *arguments, "--schema", str(tmp_path / "schema.toml"))


def test_the_schema_gives_defaults_and_forbids_other(strict: Path, tmp_path: Path) -> None:
    """A gap of the sample is the default; other = false makes an unknown word an error."""
    (tmp_path / "sample.csv").write_text(TABLE.replace("b,4,2.5", ",,"))
    schema = "[features.word]\ndefault = 'b'\n[features.code]\ndefault = 4\n[features.size]\ndefault = 2.5\n"
    (tmp_path / "schema.toml").write_text(schema)
    arguments = ["--sample", str(tmp_path / "sample.csv"), "--label", "answer", "--labels", "no,yes"]
    _, manifest = publish_file(tmp_path, str(strict), *arguments, "--schema", str(tmp_path / "schema.toml"))
    assert [each.default for each in manifest.features] == ["b", 4, 2.5]
    assert ("b", 4, 2.5) in manifest.background
    path = single("string", one_hot())(tmp_path)
    (tmp_path / "schema.toml").write_text("[features.x]\nother = false\n")
    _, manifest = publish_file(tmp_path, str(path), "--schema", str(tmp_path / "schema.toml"))
    assert not manifest.features[0].allow_other


def test_a_hash_of_unknown_words_is_not_other(tmp_path: Path) -> None:
    """With several indices for unknown words, only known ones are valid."""
    path = single("string", one_hot(num_oov_indices=3))(tmp_path)
    _, manifest = publish_file(tmp_path, str(path))
    assert manifest.features[0].categories == ("a", "b")
    assert not manifest.features[0].allow_other
    sentence = "x: an unknown value is an error, because layer words has several indices for unknown values"
    assert manifest.training.settings["warnings"][-1].startswith(sentence)


def test_layers_of_nested_models_can_have_the_same_name(tmp_path: Path) -> None:
    layers = keras().layers
    inputs = {name: keras().Input((1,), name=name, dtype="string") for name in ("first", "second")}
    parts = []
    for tensor in inputs.values():
        lookup, table = layers.StringLookup(vocabulary=["a", "b"], name="lookup"), layers.Embedding(3, 2, name="table")
        shape = layers.Reshape((2,), name="get_item")
        dense = layers.Dense(2, name="dense")
        parts.append(keras().Sequential([keras().Input((1,), dtype="string"), lookup, table, shape, dense])(tensor))
    path = save(inputs, parts, tmp_path)
    rows = [["a", "b"], ["c", "a"], ["b", "d"]]
    columns = {
        name: np.array(values, object)[:, np.newaxis]
        for name, values in zip(inputs, zip(*rows, strict=True), strict=True)
    }
    expected = keras().saving.load_model(path)({name: keras().ops.array(each) for name, each in columns.items()})
    keras().backend.clear_session()
    folder, manifest = publish_file(tmp_path, str(path))
    outputs = Model.open(folder, "litert").outputs(to_codes(manifest.features, rows))
    np.testing.assert_allclose(outputs[:, 1:], np.asarray(expected), atol=TOLERANCE)


def test_what_only_keras_can_run_is_adopted_for_keras(tmp_path: Path) -> None:
    """A vector of several words: each word's index is an encoder's, the vector is the network's."""
    layers = keras().layers
    inputs = keras().Input((3,), dtype="string", name="words")
    index = layers.StringLookup(vocabulary=["a", "b", "c"])(inputs)
    path = save(inputs, [layers.CategoryEncoding(4, name="bag")(index)], tmp_path)
    with pytest.raises(DataError, match=r"LiteRT cannot run layer bag \(CategoryEncoding: \w+\): .* --engine keras"):
        publish_file(tmp_path, str(path))
    folder, manifest = publish_file(tmp_path, str(path), "--engine", "keras")
    rows = [["a", "b", "a"], ["c", "x", "b"], ["y", "z", "c"]]
    expected = keras().saving.load_model(path)(np.array(rows, object)).numpy()
    codes = to_codes(manifest.features, rows)
    np.testing.assert_allclose(Model.open(folder, "keras").outputs(codes)[:, 1:], expected, atol=TOLERANCE)


def publish_file(store: Path, *arguments: str) -> tuple[Path, Manifest]:
    options = parse_options([*arguments, "--out", str(store / "store"), "--name", "model"])
    with bundle.draft(options.store / options.name) as draft:
        folder = bundle.publish(draft, adopt(options, draft, lambda _: None))
    return folder, bundle.Bundle.read(folder).manifest


def test_a_file_of_keras_2_is_cut_too(tmp_path: Path) -> None:
    """Its configuration and layout are those that tf_keras 2.21 writes."""
    rng = np.random.default_rng(3)
    table, kernel = rng.normal(size=(4, 2)).astype(np.float32), rng.normal(size=(6, 1)).astype(np.float32)
    path = tmp_path / "keras_2.h5"
    _write_keras_2(path, table, kernel)
    folder, manifest = publish_file(tmp_path, str(path))
    outputs = Model.open(folder, "litert").outputs(to_codes(manifest.features, [["c", 2.0], ["new", -1.0]]))
    encoded = np.array([[*table[3], 0, 0, 1, (2 - 1.5) / 2], [*table[0], 1, 0, 0, (-1 - 1.5) / 2]], np.float32)
    np.testing.assert_allclose(outputs[:, 1:], 1 / (1 + np.exp(-encoded @ kernel)), atol=TOLERANCE)


def _write_keras_2(path: Path, table: Any, kernel: Any) -> None:
    """A lookup with an embedding, bins, and a Normalization of all columns in a functional model."""

    def layer(kind: str, name: str, *sources: str, **config: Any) -> dict[str, Any]:
        nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
        config = {"name": name, **({"trainable": True} if sources else {}), "dtype": "float32", **config}
        return {"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes}

    single = {"batch_input_shape": [None, 1], "sparse": False, "ragged": False}
    words = {"vocabulary": ["a", "b", "c"], "num_oov_indices": 1, "output_mode": "int", "encoding": "utf-8"}
    layers = [
        layer("InputLayer", "word", **single | {"dtype": "string"}),
        layer("InputLayer", "size", **single),
        layer("StringLookup", "lookup", "word", **words | {"dtype": "int64"}),
        layer("Embedding", "table", "lookup", input_dim=4, output_dim=2, batch_input_shape=[None, None]),
        layer("Flatten", "flatten", "table"),
        layer("Discretization", "bins", "size", bin_boundaries=[0.0, 2.0], output_mode="one_hot"),
        layer("Normalization", "scale", "size", axis=[], invert=False, mean=None, variance=None),
        layer("Concatenate", "join", "flatten", "bins", "scale", axis=-1),
        layer("Dense", "y", "join", units=1, activation="sigmoid", use_bias=True),
    ]
    ends = {"input_layers": [["word", 0, 0], ["size", 0, 0]], "output_layers": [["y", 0, 0]]}
    config = {"name": "model", "trainable": True, "layers": layers, **ends}
    weights = {
        "table": {"table/embeddings:0": table},
        "scale": {"mean:0": np.float32(1.5), "variance:0": np.float32(4), "count:0": np.int64(9)},
        "y": {"y/kernel:0": kernel, "y/bias:0": np.zeros(1, np.float32)},
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.21.0", "tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [each["name"].encode() for each in layers]
        group.attrs["keras_version"], group.attrs["backend"] = "2.21.0", "tensorflow"
        for each in layers:
            own, values = group.create_group(each["name"]), weights.get(each["name"], {})
            own.attrs["weight_names"] = [name.encode() for name in values]
            for name, value in values.items():
                own.create_dataset(name, data=value)
