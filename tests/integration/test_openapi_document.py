"""The service keeps to its OpenAPI document, and a client generated from the document works."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import requests
from support.gunicorn_server import Server
from support.known_animals import GREAT_DANE, LLAMA, named

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent
CLIENT = "menagerie_client"


def run_program(*command: str | Path, folder: Path) -> str:
    """The program's output.

    Raises:
        AssertionError: it failed.
    """
    completed = subprocess.run(
        [PROGRAMS / command[0], *command[1:]], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert completed.returncode == 0, completed.stdout[-20_000:] + completed.stderr
    return completed.stdout


def test_schemathesis_finds_no_violation(server: Server, tmp_path: Path) -> None:
    """It sends thousands of valid and invalid requests to every operation, and validates every response."""
    document = requests.get(f"{server.url}/openapi.json", timeout=5)
    (tmp_path / "openapi.json").write_bytes(
        document.content
    )  # read from its URL, schemathesis would not test that path
    arguments: list[str | Path] = [
        "--config-file",
        HERE / "schemathesis.toml",
        "run",
        "openapi.json",
        "--url",
        server.url,
    ]
    output = run_program("schemathesis", "--no-color", *arguments, folder=tmp_path)
    operations = sum(len(methods) for methods in document.json()["paths"].values())
    assert f"Tested: {operations}\n" in output
    assert "✅ Fuzzing" in output


@pytest.fixture(scope="module")
def generated_client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A package that openapi-python-client generates from the document."""
    folder = tmp_path_factory.mktemp("generated")
    config = {
        "post_hooks": [],  # no formatting: it needs ruff on the path
        "content_type_overrides": {"image/svg+xml": "text/html"},  # a type that the generator supports
    }
    (folder / "config.json").write_text(json.dumps(config))
    arguments = ["generate", "--url", f"{server.url}/openapi.json", "--meta", "none", "--output-path", CLIENT]
    run_program("openapi-python-client", *arguments, "--config", "config.json", "--fail-on-warning", folder=folder)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(CLIENT)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == CLIENT]:
            del sys.modules[name]


def test_generated_client_predicts(generated_client: ModuleType, server: Server) -> None:
    """Features are an object with an attribute for each; the label is a member of an enumeration."""
    models = importlib.import_module(f"{CLIENT}.models")
    predict = importlib.import_module(f"{CLIENT}.api.native.predict")
    with generated_client.Client(server.url) as connection:
        one = predict.sync(client=connection, body=models.OneRow(models.Features(**named(GREAT_DANE))))
        assert (type(one), one.label, one.model.name) == (models.Prediction, models.Label.DOG, "animals")
        assert one.probabilities.dog == one.confidence > 0.9
        rows = models.ManyRows([models.Features(**named(GREAT_DANE)), list(LLAMA)])
        many = predict.sync(client=connection, body=rows)
        assert [row.label for row in many.predictions] == [models.Label.DOG, models.Label.LLAMA]
        refused = predict.sync(client=connection, body=models.OneRow([1.0]))
        assert (type(refused), refused.errors[0].code) == (models.InputProblem, "length")


def test_generated_client_infers(generated_client: ModuleType, server: Server) -> None:
    """With the tensors of the Open Inference Protocol."""
    models = importlib.import_module(f"{CLIENT}.models")
    infer = importlib.import_module(f"{CLIENT}.api.oip.v2_model_infer")
    model_name = models.V2ModelInferModel.ANIMALS
    tensor = models.InferenceInput("features", [1, 8], models.InferenceInputDatatype.FP32, list(LLAMA))
    requested_outputs = [
        models.InferenceOutput(models.InferenceOutputName(name)) for name in ("label", "probabilities")
    ]
    with generated_client.Client(server.url) as connection:
        response = infer.sync(
            model_name,
            client=connection,
            body=models.InferenceRequest([tensor], id="7", outputs=requested_outputs),
        )
        assert (response.model_name, response.id) == ("animals", "7")
        assert [output.name for output in response.outputs] == ["label", "probabilities"]
        assert response.outputs[0].data == ["llama"]
        assert (response.outputs[1].shape, sum(response.outputs[1].data)) == ([1, 4], pytest.approx(1))
        tensor.shape = [2, 8]
        refused = infer.sync(model_name, client=connection, body=models.InferenceRequest([tensor]))
        assert "16 elements" in refused.error


def test_generated_client_predicts_by_tfserving(generated_client: ModuleType, server: Server) -> None:
    """With the rows of TensorFlow Serving."""
    models = importlib.import_module(f"{CLIENT}.models")
    predict = importlib.import_module(f"{CLIENT}.api.tfserving.v1_model_predict")
    with generated_client.Client(server.url) as connection:
        rows = models.ServingRows([list(LLAMA), models.Features(**named(GREAT_DANE))])
        response = predict.sync(models.V1ModelPredictModel.ANIMALS, client=connection, body=rows)
        assert [row.index(max(row)) for row in response.predictions] == [2, 1]
