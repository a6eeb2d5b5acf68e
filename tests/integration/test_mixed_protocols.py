"""Models with categories and missing values, under every protocol: the same numbers and errors in every form."""

import json
import math
import struct
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from support import mixed_bundles
from support.bad_input import MIXED, MIXED_BAD_INPUTS, BadInput
from support.gunicorn_server import serving

from models.encoding import OneHotEncoder
from models.feature import Feature, Hashing, to_codes
from service.app import create_app
from service.inference.model import Model
from service.settings import Settings

FEATURES = mixed_bundles.FEATURES
NAMES = [feature.name for feature in FEATURES]
ROWS = mixed_bundles.raw_rows(12, 4)
PREDICT, CLASSIFY, INFER = "/v1/models/mixed:predict", "/v1/models/mixed:classify", "/v2/models/mixed/infer"
DATATYPES = dict(
    zip(NAMES, ("FP32", "FP32", "INT64", "BYTES", "BYTES", "BYTES", "INT64", "BOOL", "BYTES"), strict=True)
)
OPTIONAL = ("body_mass", "sex", "colony")
LENGTH = "Inference-Header-Content-Length"
JSON = {"Content-Type": "application/json"}


class Served:
    """A published model, in a Flask application and alone."""

    def __init__(self, store: Path) -> None:
        self.bundle = mixed_bundles.publish(store)
        self.model = Model.open(self.bundle.folder, Settings().engine)
        self.client = create_app(Settings(model_store=store, model_name="mixed")).test_client()
        self.document: Any = self.client.get("/openapi.json").json

    def post(self, path: str, document: Any, schema: str = "") -> Any:
        """The response to a request, which must be as its schema in the OpenAPI document says, as the response must."""
        self.require_schema(self.request_schema(path), document)
        response = self.client.post(path, json=document)
        assert response.status_code == 200, (document, response.data)
        if schema:
            self.require_schema({"$ref": f"#/components/schemas/{schema}"}, response.json)
        return response.json

    def request_schema(self, path: str) -> Any:
        body = self.document["paths"][path.replace("mixed", "{model}")]["post"]["requestBody"]
        return body["content"]["application/json"]["schema"]

    def find_schema_errors(self, schema: Any, value: Any) -> list[str]:
        whole = {**schema, "components": self.document["components"]}
        document = json.loads(json.dumps(value))  # a tuple is no array to the validator
        return [error.message for error in Draft202012Validator(whole).iter_errors(document)]

    def require_schema(self, schema: Any, value: Any) -> None:
        assert self.find_schema_errors(schema, value) == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("store"))


def named(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(NAMES, row, strict=True))


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def float32_bits(values: Any) -> Any:
    return np.array(values, np.float32).reshape(-1, len(mixed_bundles.LABELS)).view(np.uint32).tolist()


def in_base64(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"b64": b64encode(value.encode()).decode()} if isinstance(value, str) else value
        for name, value in row.items()
    }


def columns_of(rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in zip(NAMES, zip(*rows, strict=True), strict=True)}


def tensors(rows: Sequence[Sequence[Any]], *, nested: bool = False) -> list[dict[str, Any]]:
    """A tensor for each feature, with its data in the JSON."""
    return [
        {
            "name": name,
            "shape": [len(rows), 1] if nested else [len(rows)],
            "datatype": DATATYPES[name],
            "data": [[value] for value in values] if nested else values,
        }
        for name, values in columns_of(rows).items()
    ]


def encode(datatype: str, values: Sequence[Any]) -> bytes:
    """The elements of a binary tensor; a missing number is NaN, a missing string is empty."""
    if datatype == "BYTES":
        texts = [(value or "").encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    dtype = {"FP32": "<f4", "INT64": "<i8", "BOOL": "?"}[datatype]
    return np.array([math.nan if value is None else value for value in values], dtype).tobytes()


def binary_request(columns: dict[str, bytes], count: int, **changes: Any) -> tuple[bytes, dict[str, str]]:
    """A request with a binary tensor for each feature, and its headers; ``changes`` are those of the first tensor."""
    inputs: list[dict[str, Any]] = [
        {
            "name": name,
            "shape": [count, 1],
            "datatype": DATATYPES[name],
            "parameters": {"binary_data_size": len(content)},
        }
        for name, content in columns.items()
    ]
    inputs[0] |= changes
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(columns.values()), {LENGTH: str(len(head))}


def binary_of(rows: Sequence[Sequence[Any]]) -> tuple[bytes, dict[str, str]]:
    columns = {name: encode(DATATYPES[name], values) for name, values in columns_of(rows).items()}
    return binary_request(columns, len(rows))


any_row = st.tuples(
    st.floats(20, 80, width=32),
    st.none() | st.floats(1000, 9000, width=32),
    st.integers(2000, 2030),
    st.sampled_from(mixed_bundles.ISLANDS),
    st.sampled_from(["female", "male", None]),
    st.sampled_from(["north", "south", 'ümläut "quoted"', None]) | st.text(min_size=1),
    st.sampled_from([1, 2, 5]),
    st.booleans(),
    st.text(),
)


@settings(max_examples=25)
@given(st.lists(any_row, min_size=1, max_size=8), st.sets(st.sampled_from(OPTIONAL)))
def test_every_form_gives_the_same_bits(served: Served, rows: list[tuple[Any, ...]], absent: set[str]) -> None:
    """With unknown words and missing values: null, NaN, an empty BYTES element, or nothing at all."""
    rows = [tuple(None if name in absent else value for name, value in named(row).items()) for row in rows]
    expected = float32_bits(served.model.predict(to_codes(FEATURES, rows)).outputs)
    by_name = [named(row) for row in rows]
    shorter = [without_nulls(row) for row in by_name]
    for forms in (rows, by_name, shorter):
        predictions = served.post("/predict", {"instances": forms}, "Predictions")["predictions"]
        assert float32_bits([list(each["probabilities"].values()) for each in predictions]) == expected
        single = served.post("/predict", {"features": forms[0]}, "Prediction")
        assert float32_bits(list(single["probabilities"].values())) == expected[:1]
        assert float32_bits(served.post(PREDICT, {"instances": forms}, "ServingPredictions")["predictions"]) == expected
        assert float32_bits(served.post(PREDICT, {"instances": forms[:1]})["predictions"]) == expected[:1]
    columns = columns_of(rows)
    present = {name: values for name, values in columns.items() if name not in absent}
    for inputs in (rows, columns, present, {name: [[value] for value in values] for name, values in columns.items()}):
        assert float32_bits(served.post(PREDICT, {"inputs": inputs}, "ServingOutputs")["outputs"]) == expected
    results = served.post(CLASSIFY, {"examples": shorter}, "ServingClasses")["results"]
    assert float32_bits([[score for _, score in result] for result in results]) == expected
    for nested in (False, True):
        every = tensors(rows, nested=nested)
        for given_tensors in (every, every[::-1], [tensor for tensor in every if tensor["name"] not in absent]):
            outputs = served.post(INFER, {"inputs": given_tensors}, "InferenceResponse")["outputs"]
            assert float32_bits(outputs[0]["data"]) == expected
            assert outputs[1]["data"] == [each["label"] for each in predictions]


@settings(max_examples=25)
@given(st.lists(any_row, min_size=1, max_size=8), st.sets(st.sampled_from(OPTIONAL)))
def test_forms_that_the_schema_leaves_out_give_the_same_bits(
    served: Served, rows: list[tuple[Any, ...]], absent: set[str]
) -> None:
    """Base64 of `/v1`, and the binary tensors of `/v2`, all or some of them."""
    rows = [tuple(None if name in absent else value for name, value in named(row).items()) for row in rows]
    expected = float32_bits(served.model.predict(to_codes(FEATURES, rows)).outputs)
    encoded = [in_base64(named(row)) for row in rows]
    columns = {name: [row[name] for row in encoded] for name in NAMES}
    for form, key in (
        ({"instances": encoded}, "predictions"),
        ({"instances": [list(row.values()) for row in encoded]}, "predictions"),
        ({"inputs": encoded}, "outputs"),
        ({"inputs": [list(row.values()) for row in encoded]}, "outputs"),
        ({"inputs": columns}, "outputs"),
    ):
        response = served.client.post(PREDICT, json=form)
        assert response.status_code == 200, response.data
        assert float32_bits(response.json[key]) == expected  # type: ignore[index]
    values = {name: encode(DATATYPES[name], column) for name, column in columns_of(rows).items()}
    for parts in (values, {name: content for name, content in values.items() if name not in absent}):
        body, headers = binary_request(parts, len(rows))
        response = served.client.post(INFER, data=body, headers=headers)
        assert response.status_code == 200, response.data
        assert float32_bits(response.json["outputs"][0]["data"]) == expected  # type: ignore[index]


def test_base64_is_a_text_for_a_model_with_one_text(tmp_path: Path) -> None:
    """Whose only input has the name of its only feature."""
    word = Feature(name="word", kind="category", minimum=None, maximum=None, categories=("a", "b"))
    encoder = OneHotEncoder(feature="word", width=2, columns=(0, 1))
    mixed_bundles.publish(tmp_path, features=[word], encoders=[encoder], rows=[("a",), ("b",)] * 50)
    client = create_app(Settings(model_store=tmp_path, model_name="mixed")).test_client()
    expected = client.post(PREDICT, json={"instances": [["b"]]}).json["predictions"]  # type: ignore[index]
    base64 = {"b64": b64encode(b"b").decode()}
    for value in ("b", base64):
        for row in ({"word": value}, {"word": [value]}, [value]):
            assert client.post(PREDICT, json={"instances": [row]}).json == {"predictions": expected}, row
        for inputs in ({"word": [value]}, {"word": [[value]]}, [[value]], [{"word": value}]):
            assert client.post(PREDICT, json={"inputs": inputs}).json == {"outputs": expected}, inputs


@pytest.fixture(scope="module")
def url(served: Served) -> Iterator[str]:
    store = str(served.bundle.folder.parent.parent)
    with serving(MENAGERIE_MODEL_STORE=store, MENAGERIE_MODEL_NAME="mixed") as server:
        yield server.url


def test_a_server_gives_the_same_bits(served: Served, url: str) -> None:
    """Over a socket, where single rows take the fast path: twice, as the second request is known."""
    expected = float32_bits(served.model.predict(to_codes(FEATURES, ROWS)).outputs)
    with requests.Session() as session:
        for _ in range(2):
            for row, probabilities in zip(ROWS, expected, strict=True):
                body, headers = binary_of([row])
                answers: list[Any] = [
                    [
                        *session.post(f"{url}/predict", json={"features": form}, timeout=10)
                        .json()["probabilities"]
                        .values()
                    ]
                    for form in (row, named(row), without_nulls(named(row)))
                ]
                answers += [
                    session.post(url + PREDICT, json={"instances": [form]}, timeout=10).json()["predictions"]
                    for form in (row, named(row), without_nulls(named(row)), in_base64(named(row)))
                ]
                answers += [
                    session.post(url + INFER, json={"inputs": form}, timeout=10).json()["outputs"][0]["data"]
                    for form in (tensors([row]), tensors([row], nested=True), tensors([row])[::-1])
                ]
                answers.append(
                    session.post(url + INFER, data=body, headers=headers, timeout=10).json()["outputs"][0]["data"]
                )
                assert [float32_bits(each) for each in answers] == [[probabilities]] * len(answers)


def test_integers_beyond_int64_are_refused_by_the_fast_path_too(tmp_path: Path) -> None:
    """Even where any integer is valid, and the request is known."""
    any_integer = Feature(
        name="ring", kind="category", minimum=None, maximum=None, hashing=Hashing(bins=3, type="integer")
    )
    features = [any_integer if feature.name == "ring" else feature for feature in FEATURES]
    mixed_bundles.publish(tmp_path, features=features)
    with (
        serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME="mixed") as server,
        requests.Session() as session,
    ):
        for ring, status in ((7, 200), (2**63 - 1, 200), (7, 200), (2**63, 400), (2**64, 400), (-(2**63), 200)):
            inputs = tensors([list((MIXED | {"ring": ring}).values())])
            assert session.post(server.url + INFER, json={"inputs": inputs}, timeout=10).status_code == status, ring


@pytest.mark.parametrize("bad", MIXED_BAD_INPUTS, ids=lambda bad: bad.description)
def test_invalid_request_is_refused(served: Served, url: str, bad: BadInput) -> None:
    """With its status, and a problem that names the fault: the same in process and over a socket."""
    response = requests.post(f"{url}/predict", data=bad.body, headers=bad.headers, timeout=30)
    problem = response.json()
    assert response.status_code == bad.status, problem
    assert len(response.content) < 20_000
    if bad.status == 422:
        assert (bad.code, bad.field) in {(fault["code"], fault["field"]) for fault in problem["errors"]} or (
            bad.code == "duplicate" and bad.code in {fault["code"] for fault in problem["errors"]}
        )
    local: Any = served.client.post("/predict", data=bad.body, headers=bad.headers).json
    assert local | {"request_id": ""} == problem | {"request_id": ""}


BAD_VALUES = [
    ("bill_length", "40"),
    ("bill_length", None),
    ("bill_length", True),
    ("bill_length", 1e6),
    ("body_mass", "4000"),
    ("body_mass", 1e9),
    ("body_mass", False),
    ("year", 2007.5),
    ("year", "2007"),
    ("year", None),
    ("year", 1999),
    ("island", "dream"),
    ("island", "Dream\u200b"),
    ("island", "Re\u0301union"),
    ("island", ""),
    ("island", 1),
    ("island", True),
    ("island", None),
    ("sex", "M"),
    ("colony", 1),
    ("ring", 3),
    ("ring", 1.5),
    ("ring", True),
    ("ring", "5"),
    ("is_breeding", 1),
    ("is_breeding", "true"),
    ("is_breeding", None),
    ("observer", 7),
    ("observer", None),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_every_protocol_refuses_what_is_no_value_of_a_feature(served: Served, name: str, value: Any) -> None:
    """With the message of `/predict`, or with the datatype; no schema of a request allows it."""
    row = MIXED | {name: value}
    (fault,) = served.client.post("/predict", json={"features": row}).json["errors"]  # type: ignore[index]
    assert fault["field"] == f"features.{name}"
    assert served.find_schema_errors(served.request_schema("/predict"), {"features": row})
    column = {key: [each] for key, each in row.items()}
    for path, document in (
        (PREDICT, {"instances": [row]}),
        (PREDICT, {"instances": [list(row.values())]}),
        (PREDICT, {"instances": [MIXED, row]}),
        (PREDICT, {"inputs": column}),
        (PREDICT, {"inputs": [row]}),
        (CLASSIFY, {"examples": [row]}),
        (CLASSIFY, {"context": row, "examples": [MIXED]}),
        (INFER, {"inputs": tensors([list(row.values())])}),
        (INFER, {"inputs": tensors([list(MIXED.values()), list(row.values())], nested=True)}),
    ):
        response = served.client.post(path, json=document)
        assert response.status_code == 400, (path, document)
        error = response.json["error"]  # type: ignore[index]
        is_datatype = path == INFER and DATATYPES[name] == "INT64" and "must be integers from" in error
        assert is_datatype or fault["message"] in error
        assert path == INFER or served.find_schema_errors(served.request_schema(path), document)


class BadServing(NamedTuple):
    description: str
    document: Any
    message: str
    path: str = PREDICT


def _column(**changes: Any) -> Any:
    return {"inputs": {name: [value, value] for name, value in MIXED.items()} | changes}


def _absent(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


BAD_SERVING = [
    BadServing("a required column missing", {"inputs": _absent(_column()["inputs"], "island")}, "island is missing"),
    BadServing("a column too short", _column(island=["Dream"]), "same number of values"),
    BadServing("an unknown column", _column(Island=["Dream", "Dream"]), "Island is unknown: did you mean island?"),
    BadServing("a string for a column", _column(island="Dream"), "list of values for each feature"),
    BadServing("null for a column", _column(sex=None), "list of values for each feature"),
    BadServing("no rows in columns", {"inputs": {name: [] for name in MIXED}}, "1 to 10000 rows"),
    BadServing("two values in a row of a column", _column(island=[["Dream", "Dream"], ["Dream"]]), "1 values, not 2"),
    BadServing("a fault in a column", _column(island=["Dream", "dream"]), 'did you mean "Dream"?'),
    BadServing("a required value missing", {"instances": [_absent(MIXED, "year")]}, "year is missing"),
    BadServing("a list that is too short", {"instances": [[*MIXED.values()][1:]]}, "must have 9 values, not 8"),
    BadServing("Base64 of nothing known", {"instances": [MIXED | {"island": {"b64": "ZHJlYW0="}}]}, 'not "dream"'),
    BadServing("no Base64", {"instances": [MIXED | {"island": {"b64": "Dream!"}}]}, "instances[0].island: `b64` must"),
    BadServing("Base64 without padding", {"instances": [MIXED | {"island": {"b64": "RHJlYW0"}}]}, "`b64` must be"),
    BadServing("Base64 of Latin-1", {"instances": [MIXED | {"colony": {"b64": "4A=="}}]}, "not valid UTF-8"),
    BadServing("Base64 that is a number", {"instances": [MIXED | {"island": {"b64": 1}}]}, "`b64` must be a string"),
    BadServing("Base64 that is null", {"instances": [MIXED | {"sex": {"b64": None}}]}, "`b64` must be a string"),
    BadServing("Base64 beside another key", {"instances": [MIXED | {"sex": {"b64": "", "x": 1}}]}, "not an object"),
    BadServing("Base64 of a number", {"instances": [MIXED | {"year": {"b64": "MjAwNw=="}}]}, "not a string"),
    BadServing("no Base64 in a column", _column(island=[{"b64": "?"}, "Dream"]), "`b64` must be a string of Base64"),
    BadServing("no Base64 in a list", {"instances": [[*[*MIXED.values()][:8], {"b64": "?"}]]}, "`b64` must be"),
    BadServing("an example without a value", {"examples": [_absent(MIXED, "ring")]}, "ring is missing", CLASSIFY),
    BadServing(
        "a context out of the vocabulary", {"context": {"ring": 9}, "examples": [MIXED]}, "one of 1, 2, 5", CLASSIFY
    ),
    BadServing(
        "an island twice",
        json.dumps({"instances": [MIXED]}).replace('"island"', '"island": "Dream", "island"').encode(),
        "twice",
    ),
    BadServing(
        "a column twice", json.dumps(_column()).replace('"sex"', '"sex": ["male", "male"], "sex"').encode(), "twice"
    ),
]


@pytest.mark.parametrize("bad", BAD_SERVING, ids=lambda bad: bad.description)
def test_invalid_request_of_tensorflow_serving_is_refused(served: Served, bad: BadServing) -> None:
    body = bad.document if isinstance(bad.document, bytes) else json.dumps(bad.document).encode()
    response = served.client.post(bad.path, data=body)
    assert response.status_code == 400, response.data
    assert list(response.json) == ["error"]  # type: ignore[arg-type]
    assert bad.message in response.json["error"]  # type: ignore[index]


class BadTensors(NamedTuple):
    """A change to the tensor of one feature, of a request with two rows."""

    description: str
    name: str
    change: dict[str, Any]
    message: str


BAD_TENSORS = [
    BadTensors("numbers as BYTES", "year", {"datatype": "BYTES", "data": ["2007", "2008"]}, "for year, a whole number"),
    BadTensors(
        "strings as FP32", "island", {"datatype": "FP32", "data": [1.0, 2.0]}, "BYTES for island, a string, not"
    ),
    BadTensors("strings as INT64", "island", {"datatype": "INT64", "data": [1, 2]}, "BYTES for island, a string"),
    BadTensors("booleans as INT64", "is_breeding", {"datatype": "INT64", "data": [0, 1]}, "true or false, not INT64"),
    BadTensors("numbers as BOOL", "ring", {"datatype": "BOOL", "data": [True, False]}, "for ring, a whole number"),
    BadTensors("an unknown datatype", "island", {"datatype": "STRING"}, "must be BYTES for island"),
    BadTensors("half a datatype", "bill_length", {"datatype": "FP16"}, "datatype must be one of FP32"),
    BadTensors("a wrong width", "island", {"shape": [2, 2]}, "shape must be [rows, 1]"),
    BadTensors("another number of rows", "island", {"shape": [1], "data": ["Dream"]}, "has 1 rows, but"),
    BadTensors("data too few", "island", {"data": ["Dream"]}, "2 elements"),
    BadTensors("data null", "island", {"data": None}, "either data or"),
    BadTensors("null in integers", "year", {"data": [2007, None]}, "must be integers from"),
    BadTensors("null in required strings", "island", {"data": ["Dream", None]}, "not null"),
    BadTensors("null in required numbers", "bill_length", {"data": [40.0, None]}, "not null"),
    BadTensors("a fraction in FP32 integers", "year", {"datatype": "FP32", "data": [2007.5, 2007]}, "not 2007.5"),
    BadTensors("a boolean in BYTES", "colony", {"data": ["north", True]}, "not a boolean"),
    BadTensors("a string in BOOL", "is_breeding", {"data": [True, "false"]}, "false or true, not a string"),
    BadTensors("a number in BOOL", "is_breeding", {"data": [True, 0]}, "false or true, not a number"),
    BadTensors("an integer beyond INT8", "year", {"datatype": "INT8", "data": [2007, 2008]}, "from -128 to 127"),
    BadTensors("an unknown category", "island", {"data": ["Dream", "dream"]}, 'did you mean "Dream"?'),
]


def _changed(name: str, change: dict[str, Any]) -> list[dict[str, Any]]:
    return [tensor | change if tensor["name"] == name else tensor for tensor in tensors([list(MIXED.values())] * 2)]


@pytest.mark.parametrize("bad", BAD_TENSORS, ids=lambda bad: bad.description)
def test_invalid_tensor_is_refused(served: Served, bad: BadTensors) -> None:
    response = served.client.post(INFER, json={"inputs": _changed(bad.name, bad.change)})
    assert response.status_code == 400, response.data
    assert bad.message in response.json["error"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "inputs bill_length, year, island, ring, is_breeding, observer are missing"),
        ([tensor for tensor in tensors([list(MIXED.values())]) if tensor["name"] != "ring"], "input ring is missing"),
        (tensors([list(MIXED.values())]) * 2, "duplicate input"),
        (
            [{"name": "features", "shape": [1, 9], "datatype": "FP32", "data": [0.0] * 9}],
            "send a tensor for each input",
        ),
        ([{"name": "Island", "shape": [1], "datatype": "BYTES", "data": ["Dream"]}], "unknown input 'Island'"),
    ],
)
def test_inputs_must_be_those_of_the_model(served: Served, inputs: Any, message: str) -> None:
    response = served.client.post(INFER, json={"inputs": inputs})
    assert response.status_code == 400
    assert message in response.json["error"]  # type: ignore[index]


def test_a_raw_body_is_refused(served: Served) -> None:
    """It has no place for strings."""
    response = served.client.post(INFER, data=b"\0" * 36, headers={LENGTH: "0"})
    assert response.status_code == 400
    assert "a raw body has nothing but FP32 values" in response.json["error"]  # type: ignore[index]


def _text(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<I", len(content) if length is None else length) + content


BAD_BYTES = [
    ("nothing", "island", b"", "0 elements, but its shape needs 2"),
    ("one element", "island", _text(b"Dream"), "1 elements, but its shape needs 2"),
    ("three elements", "island", _text(b"Dream") * 3, "9 bytes too many"),
    ("half a length", "island", _text(b"Dream") + b"\5\0", "ends within its element 1"),
    ("a length without its element", "island", _text(b"Dream") + _text(b"", 5), "ends within its element 1"),
    ("a length beyond the end", "island", _text(b"Dream") + _text(b"Dream", 6), "ends within its element 1"),
    ("the largest length", "island", _text(b"Dream") + _text(b"Dream", 2**32 - 1), "ends within its element 1"),
    ("a length in big-endian", "island", _text(b"Dream") + b"\0\0\0\5Dream", "ends within its element 1"),
    ("a length that is too short", "island", _text(b"Dream") + _text(b"Dream", 4), "1 bytes too many"),
    ("no lengths", "island", b"DreamDream", "ends within its element 0"),
    ("Latin-1", "colony", _text("é".encode("latin-1")) + _text(b"north"), "element 0, at byte 0, is not valid UTF-8"),
    (
        "half a character",
        "colony",
        _text(b"north") + _text("é".encode()[:1]),
        "element 1, at byte 9, is not valid UTF-8",
    ),
    ("a surrogate", "colony", _text(b"\xed\xa0\x80") + _text(b"north"), "is not valid UTF-8"),
    ("an overlong NUL", "colony", _text(b"\xc0\x80") + _text(b"north"), "is not valid UTF-8"),
    ("a NUL at the end", "island", _text(b"Dream\0") + _text(b"Dream"), 'not "Dream\\u0000": did you mean "Dream"?'),
    ("an empty string for a required one", "island", _text(b"") + _text(b"Dream"), 'not ""'),
    ("an unknown string", "island", _text(b"dream") + _text(b"Dream"), 'did you mean "Dream"?'),
    ("a byte that is no BOOL", "is_breeding", b"\1\2", "a byte other than 0 and 1"),
    ("BOOL as texts", "is_breeding", _text(b"true") * 2, "16 bytes of data, but BOOL"),
    ("an INT64 of four bytes", "year", np.array([2007, 2008], "<i4").tobytes(), "8 bytes of data, but INT64"),
    ("an INT64 in big-endian", "year", np.array([2007, 2008], ">i8").tobytes(), "year must be in the range"),
    ("an INT64 out of bounds", "year", np.array([2007, -(2**63)], "<i8").tobytes(), "year must be in the range"),
    ("an unknown INT64", "ring", np.array([5, 3], "<i8").tobytes(), "ring must be one of 1, 2, 5, not 3"),
    ("NaN for a required number", "bill_length", np.array([40, np.nan], "<f4").tobytes(), "must be a finite number"),
    ("infinity", "body_mass", np.array([4000, np.inf], "<f4").tobytes(), "body_mass must be a finite number"),
    ("a number out of bounds", "body_mass", np.array([4000, 1e9], "<f4").tobytes(), "body_mass must be in the range"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"), [each[1:] for each in BAD_BYTES], ids=[b[0] for b in BAD_BYTES]
)
def test_invalid_binary_data_are_refused(served: Served, url: str, name: str, content: bytes, message: str) -> None:
    """In process and over a socket alike."""
    columns = {each: encode(DATATYPES[each], [value] * 2) for each, value in MIXED.items()}
    body, headers = binary_request(columns | {name: content}, 2)
    response = served.client.post(INFER, data=body, headers=headers)
    assert response.status_code == 400, response.data
    assert message in response.json["error"]  # type: ignore[index]
    assert requests.post(url + INFER, data=body, headers=headers, timeout=10).json() == response.json


def test_strings_keep_every_character(served: Served) -> None:
    """NUL, characters beyond 16 bits and texts of a megabyte are texts like others, in every form."""
    for text in ("\0", "a\0b", "\U0001f427", "x" * 1_000_000, " ", '"\\', "\u2028"):
        row = list((MIXED | {"observer": text, "colony": text}).values())
        (expected,) = float32_bits(served.model.predict(to_codes(FEATURES, [row])).outputs)
        predicted = served.post("/predict", {"features": row})["probabilities"]
        body, headers = binary_of([row])
        inferred: Any = served.client.post(INFER, data=body, headers=headers).json
        for values in (
            list(predicted.values()),
            served.post(PREDICT, {"instances": [row]})["predictions"],
            served.post(INFER, {"inputs": tensors([row])})["outputs"][0]["data"],
            inferred["outputs"][0]["data"],
        ):
            assert float32_bits(values) == [expected]


def test_other_numeric_datatypes_are_accepted(served: Served) -> None:
    """For numbers and whole numbers, as for models of numbers."""
    expected = served.post(INFER, {"inputs": tensors([list(MIXED.values())] * 2)})["outputs"]
    for name, datatype in (
        ("year", "FP32"),
        ("year", "UINT16"),
        ("ring", "INT8"),
        ("ring", "FP64"),
        ("body_mass", "INT32"),
    ):
        inputs = _changed(name, {"datatype": datatype, "data": [int(MIXED[name])] * 2})
        assert served.post(INFER, {"inputs": inputs})["outputs"] == expected


def test_metadata_tell_each_datatype(served: Served) -> None:
    """Under `/v2`, in Triton's configuration, and under `/v1`; an optional tensor is marked, as Triton has it."""
    metadata: Any = served.client.get("/v2/models/mixed").json
    served.require_schema({"$ref": "#/components/schemas/ModelMetadata"}, metadata)
    assert {each["name"]: each["datatype"] for each in metadata["inputs"]} == DATATYPES
    assert all(each["shape"] == [-1, 1] for each in metadata["inputs"])
    assert tuple(each["name"] for each in metadata["inputs"] if each.get("optional")) == OPTIONAL
    configuration: Any = served.client.get("/v2/models/mixed/config").json
    served.require_schema({"$ref": "#/components/schemas/ModelConfiguration"}, configuration)
    types = {"FP32": "TYPE_FP32", "INT64": "TYPE_INT64", "BOOL": "TYPE_BOOL", "BYTES": "TYPE_STRING"}
    assert {each["name"]: each["data_type"] for each in configuration["input"]} == {
        name: types[datatype] for name, datatype in DATATYPES.items()
    }
    assert tuple(each["name"] for each in configuration["input"] if each.get("optional")) == OPTIONAL
    signature: Any = served.client.get("/v1/models/mixed/metadata").json
    served.require_schema({"$ref": "#/components/schemas/ServingMetadata"}, signature)
    inputs = signature["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    dtypes = {"FP32": "DT_FLOAT", "INT64": "DT_INT64", "BOOL": "DT_BOOL", "BYTES": "DT_STRING"}
    assert {name: each["dtype"] for name, each in inputs.items()} == {
        name: dtypes[datatype] for name, datatype in DATATYPES.items()
    }


def test_the_model_tells_kinds_and_vocabularies(served: Served) -> None:
    """`GET /model` has what a client needs to build a valid row, and the columns that the network gets."""
    model: Any = served.client.get("/model").json
    served.require_schema({"$ref": "#/components/schemas/ModelDescription"}, model)
    features = {each["name"]: each for each in model["features"]}
    assert list(features) == NAMES
    assert [name for name, each in features.items() if not each["required"]] == list(OPTIONAL)
    assert features["island"]["kind"] == "category"
    assert features["island"]["categories"] == list(mixed_bundles.ISLANDS)
    assert features["ring"]["categories"] == [1, 2, 5]
    assert features["is_breeding"]["categories"] == [False, True]
    assert (features["year"]["kind"], features["year"]["minimum"]) == ("integer", 2000)
    assert (features["colony"]["allow_other"], features["colony"]["default"]) == (True, "north")
    assert features["sex"]["allow_missing"] is True
    assert features["observer"]["hashing"]["bins"] == 4
    columns = [name for encoder in model["encoders"] for name in encoder["columns"]]
    assert columns == list(served.bundle.manifest.network_inputs)


def test_the_openapi_document_is_valid(served: Served) -> None:
    """And describes vocabularies as enumerations, whole numbers as integers, and what may be null or absent."""
    assert list(OpenAPIV31SpecValidator(served.document).iter_errors()) == []
    schemas = served.document["components"]["schemas"]
    features = schemas["Features"]
    assert features["required"] == [name for name in NAMES if name not in OPTIONAL]
    properties = features["properties"]
    assert properties["island"]["enum"] == list(mixed_bundles.ISLANDS)
    assert properties["ring"]["enum"] == [1, 2, 5]
    assert (properties["year"]["type"], properties["year"]["minimum"], properties["year"]["maximum"]) == (
        "integer",
        2000,
        2030,
    )
    assert properties["is_breeding"]["type"] == "boolean"
    assert properties["colony"].get("default") == "north"


def test_every_request_example_works(served: Served) -> None:
    """It gets 200, as Swagger UI sends it, and is what its schema allows."""
    count = 0
    for path, methods in served.document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {"content": {}})["content"].get("application/json", {})
        for example in content.get("examples", {}).values():
            response = served.client.post(path.format(model="mixed", version="1"), json=example["value"])
            assert response.status_code == 200, (path, example, response.data)
            served.require_schema(content["schema"], example["value"])
            count += 1
    assert count > 10
