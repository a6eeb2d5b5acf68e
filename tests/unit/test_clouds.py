"""The routes of cloud platforms: the same rows and errors in every form, in process."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from support import headed_bundles, mixed_bundles
from support.bad_cloud_bodies import BAD_BODIES, CSV, JSON, LINES, ROW, BadBody
from support.bad_input import BAD_INPUTS, MIXED, BadInput
from support.known_animals import KNOWN, LLAMA, MAINE_COON, NAMES, named

from models.signature import Head
from service.app import create_app
from service.app.flask_app import flask_app
from service.app.routes import ROUTES, build_service
from service.http.routing import Protocol
from service.protocols.clouds.csv_predictions import write_csv
from service.settings import Settings

PLATFORMS = {"sagemaker": "/invocations", "vertex": "/predict", "azureml": "/score"}
MIXED_NAMES = [feature.name for feature in mixed_bundles.FEATURES]
MIXED_ROWS = mixed_bundles.raw_rows(40, 7)


def client_of(platform: str, **fields: Any) -> FlaskClient:
    return create_app(Settings.model_validate({"platform": platform} | fields)).test_client()


@pytest.fixture(scope="module")
def clients() -> dict[str, FlaskClient]:
    return {platform: client_of(platform) for platform in PLATFORMS}


@pytest.fixture(scope="module")
def sagemaker(clients: dict[str, FlaskClient]) -> FlaskClient:
    return clients["sagemaker"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    store = tmp_path_factory.mktemp("store")
    mixed_bundles.publish(store)
    return client_of("sagemaker", model_store=store, model_name="mixed")


def invoke(client: FlaskClient, body: Any, media_type: str = JSON, accept: str = JSON) -> Any:
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body)
    response = client.post("/invocations", data=content, headers={"Content-Type": media_type, "Accept": accept})
    assert response.status_code == 200, response.data
    assert response.content_type.partition(";")[0] == accept
    return response.json if accept == JSON else response.data.decode()


def to_csv(rows: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """As a spreadsheet writes it: an empty cell for a missing value."""
    text = StringIO(newline="")
    lines = [["" if value is None else value for value in row] for row in rows]
    csv.writer(text).writerows([header, *lines] if header else lines)
    return text.getvalue()


# Every platform.


@pytest.mark.parametrize("platform", PLATFORMS)
def test_instances_get_the_native_predictions(clients: dict[str, FlaskClient], app: Any, platform: str) -> None:
    """By name, as a list, and as clients of the platforms write rows; unknown members are ignored."""
    expected = app.test_client().post("/predict", json={"instances": [MAINE_COON, LLAMA]}).json
    if platform == "vertex":
        del expected["model"]
    for instances in (
        [MAINE_COON, LLAMA],
        [named(MAINE_COON), LLAMA],
        [{"features": MAINE_COON}, {"features": named(LLAMA)}],
        [{"data": {"features": {"values": MAINE_COON}}}, LLAMA],
    ):
        document = {"instances": instances, "parameters": {"confidence": 0.5}}
        response = clients[platform].post(PLATFORMS[platform], json=document)
        assert (response.status_code, response.json) == (200, expected)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_features_get_the_native_prediction(clients: dict[str, FlaskClient], app: Any, platform: str) -> None:
    """So that what the log suggests at the start works."""
    document = {"features": named(LLAMA)}
    response = clients[platform].post(PLATFORMS[platform], json=document)
    assert response.json == app.test_client().post("/predict", json=document).json


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.description)
def test_bad_input_is_refused(clients: dict[str, FlaskClient], platform: str, bad: BadInput) -> None:
    """What `/predict` refuses; a wrong form gets 400 instead of 422."""
    response = clients[platform].post(PLATFORMS[platform], data=bad.body, headers=bad.headers)
    if bad.description == "an instance within features":  # a form of SageMaker's
        assert response.status_code == 200
        return
    assert response.status_code in {bad.status, 400}, response.data
    assert response.content_type == "application/problem+json"
    if bad.code and response.status_code == 422:
        faults = {(fault["field"], fault["code"]) for fault in response.json["errors"]}  # type: ignore[index]
        assert any(code == bad.code and bad.field in {"", field} for field, code in faults), faults


@pytest.mark.parametrize("platform", PLATFORMS)
def test_openapi_has_the_routes_of_the_platform(clients: dict[str, FlaskClient], app: Any, platform: str) -> None:
    """Only if it is on; with examples that work, as the document's schemas say."""
    document: Any = clients[platform].get("/openapi.json").json
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    tags = [tag["name"] for tag in document["tags"]]
    assert [tag for tag in tags if tag in PLATFORMS] == [platform]
    content = document["paths"][PLATFORMS[platform]]["post"]["requestBody"]["content"]
    bodies = [example["value"] for example in content[JSON]["examples"].values()]
    assert len(bodies) >= 3
    for body in bodies:
        assert clients[platform].post(PLATFORMS[platform], json=body).status_code == 200
    usual = app.test_client().get("/openapi.json").json
    assert not {tag["name"] for tag in usual["tags"]} & PLATFORMS.keys()
    assert not usual["components"]["schemas"].keys() & {"ExecutionParameters", "VertexPredictions", "AzureData"}


def test_no_platform_is_the_default(client: FlaskClient) -> None:
    assert client.get("/ping").status_code == client.post("/score").status_code == 404
    assert not {route.protocol for route in ROUTES} & {Protocol.SAGEMAKER, Protocol.VERTEX, Protocol.AZUREML}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_service_that_shuts_down_is_not_ready(platform: str) -> None:
    """The platform's health check fails, and its predictions go on."""
    service = build_service(Settings.model_validate({"platform": platform}))
    client = flask_app(service).test_client()
    health = {"sagemaker": "/ping", "vertex": "/health", "azureml": "/readyz"}[platform]
    assert client.get(health).status_code == client.head(health).status_code == 200
    service.readiness.is_draining = True
    assert client.get(health).status_code == 503
    assert client.post(PLATFORMS[platform], json={"instances": [LLAMA]}).status_code == 200


# SageMaker.


def test_ping_has_an_empty_body(sagemaker: FlaskClient) -> None:
    response = sagemaker.get("/ping")
    assert (response.status_code, response.data) == (200, b"")


def test_execution_parameters_fit_the_limits() -> None:
    """A batch transform sends no longer bodies than the service accepts, as far as whole megabytes allow."""
    for size, megabytes in ((1 << 20, 1), (6 << 20, 6), (4_194_303, 3), (1000, 1)):
        client = client_of("sagemaker", max_body_bytes=size, threads=3)
        assert client.get("/execution-parameters").json == {
            "MaxConcurrentTransforms": 3,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": megabytes,
        }


ACCEPTS = [
    ("", JSON),
    ("*/*", JSON),
    ("application/*", JSON),
    ("text/*", CSV),
    ("text/csv, application/json;q=0.5", CSV),
    ("application/jsonlines;q=0.9, text/csv;q=0.1", LINES),
    ("text/html, */*;q=0.1", JSON),
]


@pytest.mark.parametrize(("accept", "media_type"), ACCEPTS)
def test_accept_chooses_the_format(sagemaker: FlaskClient, accept: str, media_type: str) -> None:
    headers = {"Accept": accept} if accept else {}
    response = sagemaker.post("/invocations", json={"instances": [LLAMA, MAINE_COON]}, headers=headers)
    assert (response.status_code, response.content_type.partition(";")[0]) == (200, media_type)


@pytest.mark.parametrize("accept", ["image/png", "text/html", "application/json;q=0"])
def test_other_formats_are_not_acceptable(sagemaker: FlaskClient, accept: str) -> None:
    response = sagemaker.post("/invocations", json={"instances": [LLAMA]}, headers={"Accept": accept})
    assert response.status_code == 406
    assert response.json["type"] == "urn:menagerie:problem:not-acceptable"  # type: ignore[index]


@pytest.mark.parametrize(
    "media_type", [CSV, "text/csv; charset=utf-8", "TEXT/CSV;label_size=0", "text/csv;header=absent"]
)
def test_csv_without_a_header(sagemaker: FlaskClient, media_type: str) -> None:
    """As SageMaker's documentation has it: values in the order of the features, a line of values for each row."""
    lines = invoke(sagemaker, to_csv([*KNOWN.values()]), media_type, CSV).splitlines()
    assert [line.split(",")[0] for line in lines] == list(KNOWN)
    predictions = invoke(sagemaker, {"instances": [*KNOWN.values()]})["predictions"]
    for line, prediction in zip(lines, predictions, strict=True):
        numbers = [prediction["confidence"], *prediction["probabilities"].values()]
        assert [float(cell) for cell in line.split(",")[1:]] == numbers


@pytest.mark.parametrize("media_type", [CSV, "text/csv; header=present", 'text/csv; charset=utf-8; HEADER="present"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_with_a_header(sagemaker: FlaskClient, media_type: str, end: str) -> None:
    """In any order of the columns, with a byte order mark, blank lines and quotes."""
    rows = [[row[name] for name in reversed(NAMES)] for row in map(named, KNOWN.values())]
    lines = [",".join(f'" {name}"' for name in reversed(NAMES)), *(",".join(f'"{v}"' for v in row) for row in rows)]
    body = "\ufeff" + (end * 2).join(lines)
    assert invoke(sagemaker, body, media_type) == invoke(sagemaker, {"instances": [*KNOWN.values()]})


def test_json_lines(sagemaker: FlaskClient) -> None:
    """Each line of the response is a prediction."""
    rows = [MAINE_COON, named(LLAMA), {"features": MAINE_COON}, {"data": {"features": {"values": LLAMA}}}]
    body = "\n\n".join(json.dumps(row) for row in rows) + "\r\n"
    lines = invoke(sagemaker, body, LINES, LINES).splitlines()
    expected = invoke(sagemaker, {"instances": [MAINE_COON, LLAMA] * 2})["predictions"]
    assert [json.loads(line) for line in lines] == expected


@pytest.mark.parametrize("bad", BAD_BODIES, ids=lambda bad: bad.description)
def test_bad_bodies_are_refused(sagemaker: FlaskClient, bad: BadBody) -> None:
    headers = {"Content-Type": bad.media_type} if bad.media_type else {}
    response = sagemaker.post("/invocations", data=bad.body, headers=headers)
    assert response.status_code == bad.status, response.data
    problem: Any = response.json
    assert any(
        bad.message in text for text in [problem["detail"], *(each["message"] for each in problem.get("errors", []))]
    )


@pytest.mark.parametrize("media_type", [CSV, LINES])
def test_compressed_bodies_are_refused(sagemaker: FlaskClient, media_type: str) -> None:
    response = sagemaker.post(
        "/invocations", data=ROW, headers={"Content-Type": media_type, "Content-Encoding": "gzip"}
    )
    assert (response.status_code, response.headers["Accept-Encoding"]) == (415, "identity")


animals = st.lists(st.sampled_from([*KNOWN.values()]), min_size=1, max_size=600)


@settings(max_examples=20)
@given(animals)
def test_formats_agree(sagemaker: FlaskClient, rows: list[tuple[float, ...]]) -> None:
    """In bits, for a few rows as for many."""
    expected = [[*row["probabilities"].values()] for row in invoke(sagemaker, {"instances": rows})["predictions"]]
    text = invoke(sagemaker, to_csv(rows), CSV, CSV)
    lines = invoke(sagemaker, "\n".join(map(json.dumps, rows)), LINES, LINES)
    from_csv = [[float(cell) for cell in line.split(",")[2:]] for line in text.splitlines()]
    from_lines = [[*json.loads(line)["probabilities"].values()] for line in lines.splitlines()]
    assert np.array_equal(np.array(from_csv, np.float32), np.array(expected, np.float32))
    assert np.array_equal(np.array(from_lines, np.float32), np.array(expected, np.float32))


# Models with text and missing values.


def test_mixed_rows_agree_in_every_format(mixed: FlaskClient) -> None:
    """Texts with commas and quotes, codes, truth values, and gaps where the schema allows them."""
    expected = invoke(mixed, {"instances": MIXED_ROWS})
    named_rows = [dict(zip(MIXED_NAMES, row, strict=True)) for row in MIXED_ROWS]
    assert invoke(mixed, {"instances": named_rows}) == expected
    assert invoke(mixed, "\n".join(map(json.dumps, named_rows)), LINES) == expected
    assert invoke(mixed, to_csv(MIXED_ROWS), CSV) == expected
    assert invoke(mixed, to_csv(MIXED_ROWS, MIXED_NAMES), CSV) == expected
    backwards = [row[::-1] for row in MIXED_ROWS]
    assert invoke(mixed, to_csv(backwards, MIXED_NAMES[::-1]), CSV) == expected


def test_optional_columns_may_be_absent(mixed: FlaskClient) -> None:
    """As in JSON: each is its default, or missing."""
    optional = {feature.name for feature in mixed_bundles.FEATURES if not feature.is_required}
    names = [name for name in MIXED_NAMES if name not in optional]
    rows = [{name: value for name, value in zip(MIXED_NAMES, row, strict=True) if name in names} for row in MIXED_ROWS]
    assert invoke(mixed, to_csv([[*row.values()] for row in rows], names), CSV) == invoke(mixed, {"instances": rows})


CELLS = [
    ("sex", "NA", None),
    ("sex", " female ", "female"),
    ("body_mass", "n/a", None),
    ("body_mass", " 4e3 ", 4000.0),
    ("year", "2007.0", 2007),
    ("ring", "+5", 5),
    ("is_breeding", "TRUE", True),
    ("is_breeding", "False", False),
    ("colony", "null", None),
    ("colony", 'ümläut  "quoted"', 'ümläut "quoted"'),
    ("observer", "Jos\u0065\u0301", "Jos\u00e9"),
]


@pytest.mark.parametrize(("name", "cell", "value"), CELLS)
def test_cells_are_read_as_in_tables(mixed: FlaskClient, name: str, cell: str, value: Any) -> None:
    expected = invoke(mixed, {"instances": [MIXED | {name: value}]})
    assert invoke(mixed, to_csv([[*(MIXED | {name: cell}).values()]]), CSV) == expected


BAD_CELLS = [
    ("island", "biscoe", 'did you mean "Biscoe"?'),
    ("island", "", "island must be one of"),
    ("year", "2007.5", "not 2007.5"),
    ("year", "then", "not a string"),
    ("year", "", "year must be a whole number"),
    ("ring", "7", "ring must be one of 1, 2, 5, not 7"),
    ("ring", "true", "not a boolean"),
    ("ring", "9" * 50, "ring must be one of 1, 2, 5"),
    ("is_breeding", "1", "false or true, not a string"),
    ("is_breeding", "yes", "false or true, not a string"),
    ("body_mass", "1e9", "body_mass must be in the range"),
    ("bill_length", "nan", "bill_length must be a finite number"),
    ("body_mass", "+nan", "body_mass must be a finite number"),
    ("year", "-inf", "year must be a finite number"),
    ("ring", "+nan", "ring must be one of 1, 2, 5, not inf"),
]


@pytest.mark.parametrize(("name", "cell", "message"), BAD_CELLS)
def test_bad_cells_are_refused(mixed: FlaskClient, name: str, cell: str, message: str) -> None:
    """With the messages of JSON, at the row's place."""
    body = to_csv([[*MIXED.values()], [*(MIXED | {name: cell}).values()]])
    response = mixed.post("/invocations", data=body.encode(), headers={"Content-Type": CSV})
    assert response.status_code == 422
    (fault,) = response.json["errors"]  # type: ignore[index]
    assert fault["field"] == f"rows[1][{MIXED_NAMES.index(name)}]"
    assert message in fault["message"]


ODD_LABELS = (
    Head(name="odd", kind="classification", layer="probabilities", labels=('a, "b"', " c ", "d\ne\r")),
    Head(name="tags", kind="multi_label", layer="probabilities", labels=('f", g', "h")),
)


@pytest.mark.parametrize("kind", [*headed_bundles.HEADS, "several with classifications", "odd labels"])
def test_csv_has_the_columns_of_table_scoring(tmp_path: Path, kind: str) -> None:
    """For a head of each kind; only the header is left out."""
    pa = pytest.importorskip("pyarrow")
    from service.score.output_columns import OutputColumns

    heads = ODD_LABELS if kind == "odd labels" else headed_bundles.HEADS.get(kind, headed_bundles.MIXED)
    headed_bundles.publish(tmp_path, heads)
    service = build_service(Settings(model_store=tmp_path, model_name=next(tmp_path.iterdir()).name))
    model = service.registry.current.model
    prediction = model.predict(np.array([[value] * len(model.features) for value in (-1, 0, 1)], np.float32))
    columns = [
        column
        for head in model.heads
        for column in OutputColumns(head, is_only=len(model.heads) == 1).columns(
            prediction.outputs, np.asarray(prediction.labels)
        )
    ]
    expected = pa.Table.from_arrays(columns, [str(index) for index in range(len(columns))]).to_pylist()
    written = list(csv.reader(StringIO(write_csv(model, prediction).decode(), newline=""), strict=True))
    assert len(written) == len(expected) == 3
    for cells, row in zip(written, expected, strict=True):
        for cell, value in zip(cells, row.values(), strict=True):
            if isinstance(value, float):
                assert np.float32(cell) == np.float32(value)
            else:
                assert cell == value if isinstance(value, str) else json.loads(cell) == value


# Vertex AI.


def test_routes_of_vertex_replace_others_of_the_same_path(clients: dict[str, FlaskClient]) -> None:
    """As in most of Google's examples: /health and /predict."""
    assert clients["vertex"].get("/health").json["status"] == "ready"  # type: ignore[index]
    response = clients["vertex"].post("/predict", json={"instances": [LLAMA], "parameters": None})
    assert list(response.json) == ["predictions"]  # type: ignore[arg-type]


def test_vertex_names_its_own_routes() -> None:
    """Those that it chooses itself lie under /v1, whose unknown paths stay TensorFlow Serving's."""
    route = "/v1/endpoints/123/deployedModels/456"
    client = client_of("vertex", vertex_health_route=route, vertex_predict_route=f"{route}:predict")
    assert client.get(route).status_code == 200
    response = client.post(f"{route}:predict", json={"instances": [LLAMA]})
    assert response.json["predictions"][0]["label"] == "llama"  # type: ignore[index]
    assert client.get("/v1/nope").json == {"error": "malformed request: unknown path"}
    assert client.post("/v1/models/animals:predict", json={"instances": [LLAMA]}).status_code == 200
    assert client.post("/predict", json={"features": LLAMA}).status_code == 200
    assert client.get("/health").json["live"] is True  # type: ignore[index]


# Azure Machine Learning.


@pytest.mark.parametrize(
    "document",
    [
        {"data": [MAINE_COON, LLAMA]},
        {"data": [named(MAINE_COON), LLAMA], "method": "predict"},
        {"input_data": [MAINE_COON, named(LLAMA)]},
        {"input_data": {"columns": NAMES, "index": [0, 1], "data": [MAINE_COON, LLAMA]}, "params": {}},
        {"input_data": {"columns": NAMES[::-1], "data": [MAINE_COON[::-1], LLAMA[::-1]]}},
        {"input_data": {"data": [MAINE_COON, LLAMA]}},
    ],
    ids=str,
)
def test_tables_are_scored(clients: dict[str, FlaskClient], document: Any) -> None:
    """In the forms of Azure's own scoring scripts and of MLflow models."""
    response = clients["azureml"].post("/score", json=document)
    assert response.status_code == 200, response.data
    assert [row["label"] for row in response.json["predictions"]] == ["cat", "llama"]  # type: ignore[index]


BAD_TABLES = [
    ({"data": 1}, 400, "`data` must be a list of rows"),
    ({"data": []}, 422, "data must have 1 to 10000 rows, not 0"),
    ({"data": [[1]]}, 422, "data[0] must have 8 numbers, not 1"),
    ({"data": [LLAMA], "input_data": [LLAMA]}, 400, "send one of `instances`, `data`, `input_data`"),
    ({"input_data": {"columns": NAMES}}, 400, "`input_data.data` must be a list of rows"),
    ({"input_data": {"columns": 1, "data": [LLAMA]}}, 400, "`input_data.columns` must be a list of the features'"),
    ({"input_data": {"columns": [1], "data": [[1]]}}, 400, "`input_data.columns` must be a list of the features'"),
    ({"input_data": {"columns": ["a", "a"], "data": [[1, 2]]}}, 400, "each of them once"),
    ({"input_data": {"columns": NAMES, "data": [LLAMA[1:]]}}, 400, "input_data.data[0] must be a list of 8 values"),
    ({"input_data": {"columns": ["mass"], "data": [[1]]}}, 422, "mass is unknown: did you mean"),
    ({"input_data": "x"}, 400, "`input_data` must be a list of rows"),
]


@pytest.mark.parametrize(("document", "status", "message"), BAD_TABLES, ids=lambda value: str(value)[:40])
def test_bad_tables_are_refused(clients: dict[str, FlaskClient], document: Any, status: int, message: str) -> None:
    response = clients["azureml"].post("/score", json=document)
    problem: Any = response.json
    assert response.status_code == status, response.data
    assert any(
        message in text for text in [problem["detail"], *(each["message"] for each in problem.get("errors", []))]
    )
