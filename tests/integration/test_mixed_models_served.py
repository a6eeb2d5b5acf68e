"""Models of tables with text, codes and gaps under real gunicorn: what Keras gives for every row, by every way in.

Five tables in the shape of those of the tutorials, each trained here and each adopted from a model that Keras builds.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import requests
from numpy.typing import NDArray
from support import lookup_models, mixed_tables
from support.adopted_lookups import Adopted, Get
from support.gunicorn_server import serving

from models import options as training_options
from models import train as training
from models.bundle import MODEL_KERAS, Bundle
from models.feature import Feature
from service.score.__main__ import main as score

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # Keras' own calls of NumPy
]

TOLERANCE = 1e-5
Numbers = NDArray[np.float64]
Row = list[Any]
TRAINED = {
    "penguins": ("--label", "species"),
    "titanic": ("--label", "survived", "--drop", "alive"),
    "adult": ("--label", "income"),
    "heart": ("--label", "target"),
    "pets": ("--label", "target", "--drop", "Description"),
}
ADOPTED = ("one_text_matrix", "nested", "wide_and_deep", "heart_disease", "pet_adoption")


class Case(NamedTuple):
    """A published model; raw ``rows`` by feature, and the ``expected`` probabilities of Keras, [rows, labels]."""

    store: Path
    bundle: Bundle
    rows: list[Row]
    expected: Numbers

    @property
    def features(self) -> tuple[Feature, ...]:
        return self.bundle.manifest.features

    @property
    def labels(self) -> tuple[str, ...]:
        return self.bundle.manifest.heads[0].labels

    def named(self, rows: Sequence[Row] | None = None) -> list[dict[str, Any]]:
        """Rows as objects by feature name."""
        names = self.bundle.manifest.feature_names
        return [dict(zip(names, row, strict=True)) for row in (self.rows if rows is None else rows)]


@pytest.mark.parametrize("name", TRAINED)
def test_trained(name: str, tmp_path: Path) -> None:
    check(train(name, tmp_path), tmp_path)


@pytest.mark.parametrize("name", ADOPTED)
def test_adopted(name: str, adopted_lookups: Get, tmp_path: Path) -> None:
    check(to_case(adopted_lookups(name)), tmp_path)


def train(name: str, folder: Path) -> Case:
    """Train on a table as its user would; the rows are those of the table, and some with unknown words and gaps."""
    table = getattr(mixed_tables, name)()
    path = table.write_csv(folder / f"{name}.csv")
    options = ("--data", str(path), *TRAINED[name], "--out", str(folder / "store"), "--folds", "0", "--no-report")
    training.train(training_options.parse_options(options))
    bundle = Bundle.read(folder / "store" / name / "1")
    features = bundle.manifest.features
    cells = zip(*(table.column(feature.name) for feature in features), strict=True)
    rows = [
        [parse(feature, cell, table.gap) for feature, cell in zip(features, row, strict=True)]
        for row in cells
        if not any(feature.is_required and cell in {"", table.gap} for feature, cell in zip(features, row, strict=True))
    ]
    rows += vary(features, rows[:60])
    return Case(folder / "store", bundle, rows, run_keras(bundle, rows))


def run_keras(bundle: Bundle, rows: list[Row]) -> Numbers:
    """What Keras' own layers make of raw values."""
    from models import preprocessing

    model = lookup_models.keras().saving.load_model(bundle.folder / MODEL_KERAS, compile=False)
    return np.asarray(
        model(preprocessing.to_tensors(bundle.manifest.features, [tuple(row) for row in rows])), np.float64
    )


def parse(feature: Feature, cell: str, gap: str) -> Any:
    """The raw value of a table's cell."""
    if cell in {"", gap}:
        return None
    kind = feature.category_type if feature.is_category else {"integer": int, "number": float}[feature.kind]
    return cell == "True" if kind is bool else kind(cell)


def vary(features: Sequence[Feature], rows: Sequence[Row]) -> list[Row]:
    """Rows in each of which one value is missing, or is a word that nobody wrote, if the schema allows that."""
    varied = []
    for number, row in enumerate(rows):
        at = number % len(features)
        if features[at].allow_other and number % 2:
            varied.append([*row[:at], f"new word {number}", *row[at + 1 :]])
        elif features[at].allow_missing:
            varied.append([*row[:at], None, *row[at + 1 :]])
    return varied


def to_case(adopted: Adopted) -> Case:
    """A model that begins with lookups; the rows are those of its sample, and some that it does not have."""
    made = adopted.made
    rows = [row for row in (*made.rows, *made.more) if "" not in row]  # which a CSV file has for a missing value
    expected = made.predict(rows).astype(np.float64)
    if "--from-logits" in made.options:
        expected = 1 / (1 + np.exp(-expected))
    if expected.shape[1] == 1:
        expected = np.concatenate([1 - expected, expected], axis=1)
    bundle = Bundle.read(adopted.folder)
    return Case(
        adopted.folder.parent.parent, bundle, [as_json_values(bundle.manifest.features, row) for row in rows], expected
    )


def as_json_values(features: Sequence[Feature], row: Sequence[Any]) -> Row:
    """Whole numbers as such, which `lookup_models` has as floats."""
    return [
        int(value) if isinstance(value, float) and feature.kind != "number" else value
        for feature, value in zip(features, row, strict=True)
    ]


def check(case: Case, folder: Path) -> None:
    name, store = case.bundle.manifest.name, str(case.store)
    with serving(MENAGERIE_MODEL_STORE=store, MENAGERIE_MODEL_NAME=name) as server:
        openapi = requests.get(f"{server.url}/openapi.json", timeout=30).json()
        check_native(server.url, case, openapi)
        check_tfserving(f"{server.url}/v1/models/{name}:predict", case)
        check_oip(f"{server.url}/v2/models/{name}", case)
        check_explanations(server.url, case, openapi)
        for path, schema in {"/drift": "Drift", "/model": "ModelDescription"}.items():
            require_schema(requests.get(server.url + path, timeout=30).json(), schema, openapi)
        metrics = requests.get(f"{server.url}/metrics", timeout=30)
        assert metrics.ok
        assert "menagerie_requests_total" in metrics.text
    check_scores(case, folder)


def check_native(url: str, case: Case, openapi: Any) -> None:
    """/predict: all rows by name and as lists, and one row in each of its forms."""
    for rows in (case.named(), case.rows):
        response = post(f"{url}/predict", {"instances": rows})
        require_schema(response, "Predictions", openapi)
        assert_close([list(each["probabilities"].values()) for each in response["predictions"]], case.expected)
    given = {name: value for name, value in case.named()[-1].items() if value is not None}
    for row in (case.rows[-1], case.named()[-1], given):
        single = post(f"{url}/predict", {"features": row})
        require_schema(single, "Prediction", openapi)
        assert_close([list(single["probabilities"].values())], case.expected[-1:])


def check_tfserving(url: str, case: Case) -> None:
    """/v1: rows and columns."""
    columns = dict(zip(case.bundle.manifest.feature_names, zip(*case.rows, strict=True), strict=True))
    answers = [
        post(url, {"instances": case.named()})["predictions"],
        post(url, {"inputs": columns})["outputs"],
    ]
    for answer in answers:
        compare_raw(np.array(answer, np.float64), case)


def compare_raw(outputs: Numbers, case: Case) -> None:
    """The outputs as the model itself has them: one unit for two labels is the second one, or its logit."""
    if outputs.ndim == 1 or outputs.shape[1] == 1:
        outputs = outputs.reshape(-1, 1)
        if case.bundle.manifest.name == "pet_adoption":
            outputs = 1 / (1 + np.exp(-outputs))
        outputs = np.concatenate([1 - outputs, outputs], axis=1)
    assert_close(outputs, case.expected)


def check_oip(url: str, case: Case) -> None:
    """/v2: a tensor for each of the model's inputs, as JSON and as bytes."""
    metadata = requests.get(url, timeout=30).json()
    tensors, contents, start = [], [], 0
    for tensor in metadata["inputs"]:
        stop = start + tensor["shape"][1]
        values = [list(row[start:stop]) for row in case.rows]
        shaped = {**tensor, "shape": [len(values), stop - start]}
        tensors.append({**shaped, "data": values})
        datatype, content = encode(tensor["datatype"], [value for row in values for value in row])
        parameters = {"binary_data_size": len(content)}
        contents.append(content)
        tensors[-1]["binary"] = {
            **tensor,
            "datatype": datatype,
            "shape": [len(values), stop - start],
            "parameters": parameters,
        }
        start = stop
    assert start == len(case.features)
    binary = [tensor.pop("binary") for tensor in tensors]
    output = metadata["outputs"][0]["name"]
    answer = post(f"{url}/infer", {"inputs": tensors})
    described = {each["name"]: each for each in answer["outputs"]}[output]
    compare_raw(np.array(described["data"], np.float64).reshape(len(case.rows), -1), case)
    head = json.dumps({"inputs": binary, "outputs": [{"name": output}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    response = requests.post(f"{url}/infer", data=head + b"".join(contents), headers=headers, timeout=60)
    assert response.ok, response.text
    compare_raw(np.array(response.json()["outputs"][0]["data"], np.float64).reshape(len(case.rows), -1), case)


def encode(datatype: str, values: Sequence[Any]) -> tuple[str, bytes]:
    """The elements of a binary tensor; whole numbers of which some are missing need a datatype that has NaN."""
    if datatype == "BYTES":
        texts = [("" if value is None else value).encode() for value in values]
        return datatype, b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if datatype == "BOOL":
        return datatype, np.array(values, bool).tobytes()
    if datatype == "INT64" and None not in values:
        return datatype, np.array(values, "<i8").tobytes()
    return "FP64", np.array(values, "<f8").tobytes()


def check_explanations(url: str, case: Case, openapi: Any) -> None:
    """Shapley values sum to the probability, and every feature has its sweep."""
    for at in (0, len(case.rows) - 1):
        explanation = post(f"{url}/explain", {"features": case.named()[at]})
        require_schema(explanation, "Explanation", openapi)
        attributions = explanation["attributions"]
        for label, expected in zip(case.labels, case.expected[at], strict=True):
            total = attributions["base"][label] + sum(values[label] for values in attributions["values"].values())
            assert total == pytest.approx(expected, abs=1e-4)
        assert set(explanation["sweeps"]) == set(case.bundle.manifest.feature_names)


def check_scores(case: Case, folder: Path) -> None:
    """`service.score` of a CSV file and of Parquet with dictionaries."""
    names = case.bundle.manifest.feature_names
    columns = zip(case.features, zip(*case.rows, strict=True), strict=True)
    table = pa.table([pa.array(values, arrow_type(feature)) for feature, values in columns], names=list(names))
    encoded = [column.dictionary_encode() if pa.types.is_string(column.type) else column for column in table.columns]
    pa_csv.write_csv(table, folder / "rows.csv")
    pq.write_table(pa.table(encoded, names=list(names)), folder / "rows.parquet")
    for file in ("rows.csv", "rows.parquet"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MENAGERIE_MODEL_STORE", str(case.store))
            patch.setenv("MENAGERIE_MODEL_NAME", case.bundle.manifest.name)
            assert score([str(folder / file), str(folder / f"{file}.scored.parquet"), "--quiet"]) == 0
        scored = pq.read_table(folder / f"{file}.scored.parquet")
        assert_close(
            np.column_stack([scored[f"probability_{label}"].to_numpy() for label in case.labels]),
            case.expected,
        )


def arrow_type(feature: Feature) -> pa.DataType:
    if feature.is_category:
        return {str: pa.string(), int: pa.int64(), bool: pa.bool_()}[feature.category_type]
    return pa.int64() if feature.kind == "integer" else pa.float64()


def post(url: str, document: Mapping[str, Any]) -> Any:
    response = requests.post(url, json=document, timeout=60)
    assert response.ok, response.text
    return response.json()


def assert_close(actual: Any, expected: Numbers) -> None:
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=0, atol=TOLERANCE)


def require_schema(document: Any, name: str, openapi: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": openapi["components"]}
    jsonschema.Draft202012Validator(schema).validate(document)
