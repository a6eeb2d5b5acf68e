"""Models whose features have names of any kind, through every protocol that names features."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from pyarrow import csv
from support.gunicorn_server import Server, serving
from support.handmade_bundles import Network, publish

from models.feature import Feature
from service.inference import sandbox
from service.score.__main__ import main as score

NAMES = [
    "petal length (cm)",
    "gr\u00f6\u00dfe",
    "features",
    "instances",
    "inputs",
    "class",
    "def",
    "0",
    "a/b",
    '"quoted"',
    "it's 100 %",
    "{braces}",
    "<b>",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f469\u200d\U0001f52c",
    "n" * 150,
]
CASES = {"many": NAMES, "features alone": ["features"], "instances alone": ["instances"], "inputs alone": ["inputs"]}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.replace(" ", "-"))
def names(request: pytest.FixtureRequest) -> list[str]:
    return CASES[request.param]


@pytest.fixture(scope="module")
def store(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    features = [Feature(name=name, minimum=-3, maximum=3) for name in names]
    publish(folder, Network.random([len(names), 5, 3]), features=features)
    return folder


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Server]:
    with serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_NAME="handmade") as ready:
        yield ready


def post(server: Server, path: str, document: Any) -> Any:
    response = requests.post(server.url + path, json=document, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def test_all_forms_of_a_row_have_the_same_prediction(server: Server, names: list[str]) -> None:
    """By name and as a list, one row and several, on the fast path and off it."""
    row = np.linspace(-1, 1.5, len(names)).round(3).tolist()
    named = dict(zip(names, row, strict=True))
    single = list(post(server, "/predict", {"features": row})["probabilities"].values())
    assert list(post(server, "/predict", {"features": named})["probabilities"].values()) == single
    for instances in ([row], [named], [row, named]):
        for answer in post(server, "/predict", {"instances": instances})["predictions"]:
            assert list(answer["probabilities"].values()) == single
    path = "/v1/models/handmade:predict"
    for instances in ([row], [named], [{"features": row}], [{"features": row}, named, row], [named, named]):
        assert post(server, path, {"instances": instances})["predictions"] == [single] * len(instances)
    columns = {name: [value, value] for name, value in named.items()}
    for inputs in ([row, row], columns, {"features": [row, row]}, [named, named]):
        assert post(server, path, {"inputs": inputs})["outputs"] == [single] * 2
    examples = {"examples": [named, {name: [value] for name, value in named.items()}]}
    for result in post(server, "/v1/models/handmade:classify", examples)["results"]:
        assert [share for _, share in result] == single
    tensor = {"name": "features", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    outputs = post(server, "/v2/models/handmade/infer", {"inputs": [tensor]})["outputs"]
    assert next(output for output in outputs if output["name"] == "probabilities")["data"] == pytest.approx(single)


def test_explanation_metadata_and_page_have_the_names(server: Server, names: list[str]) -> None:
    """Each answers with status 200."""
    explained = post(server, "/explain", {"features": dict.fromkeys(names, 0.5)})
    assert all(name in json.dumps(explained, ensure_ascii=False) or '"' in name for name in names)
    for path in ("/", "/openapi.json", "/docs", "/metrics", "/v1/models/handmade/metadata", "/v2/models/handmade"):
        assert requests.get(server.url + path, timeout=30).status_code == 200, path


@pytest.fixture
def _handmade_model(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model for `score`, without the check that starts a new Python."""
    monkeypatch.setenv("MENAGERIE_MODEL_STORE", str(store))
    monkeypatch.setenv("MENAGERIE_MODEL_NAME", "handmade")
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


@pytest.mark.usefixtures("_handmade_model")
@pytest.mark.parametrize("space", [" {} ", "\u00a0{}", "{}\u200b", "\t{}\n"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_with_spaces_around_its_names_is_scored(
    tmp_path: Path, names: list[str], space: str, suffix: str
) -> None:
    """As it can be trained on: the names are read alike."""
    table = pa.table({space.format(name): [0.5, 1.5] for name in names})
    path, output = tmp_path / f"t{suffix}", tmp_path / "scored.parquet"
    if suffix == ".parquet":
        pq.write_table(table, path)
    else:
        csv.write_csv(table, path)
    assert score([str(path), str(output), "--quiet"]) == 0
    assert pq.read_table(output)["label"].null_count == 0
    assert len(pq.read_table(output)) == 2
