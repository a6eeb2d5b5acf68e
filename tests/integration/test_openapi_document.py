"""The description holds: no answer of the real service is against it, and a client made from it works."""

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


def run(*command: str | Path, folder: Path) -> str:
    """What a program said.

    Raises:
        AssertionError: it failed.
    """
    ended = subprocess.run(
        [PROGRAMS / command[0], *command[1:]], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr
    return ended.stdout


def test_no_answer_is_against_the_description(server: Server, tmp_path: Path) -> None:
    """Schemathesis asks every operation in thousands of ways, right and wrong, and checks every answer in full."""
    document = requests.get(f"{server.url}/openapi.json", timeout=5)
    (tmp_path / "openapi.json").write_bytes(document.content)  # from its URL, schemathesis would pass that one over
    how: list[str | Path] = ["--config-file", HERE / "schemathesis.toml", "run", "openapi.json", "--url", server.url]
    said = run("schemathesis", "--no-color", *how, folder=tmp_path)
    operations = sum(len(methods) for methods in document.json()["paths"].values())
    assert f"Tested: {operations}\n" in said
    assert "✅ Fuzzing" in said


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A package that openapi-python-client made from the description and from nothing else."""
    folder = tmp_path_factory.mktemp("generated")
    config = {
        "post_hooks": [],  # they would format it, with a ruff to be found
        "content_type_overrides": {"image/svg+xml": "text/html"},  # which it knows
    }
    (folder / "config.json").write_text(json.dumps(config))
    made = ["generate", "--url", f"{server.url}/openapi.json", "--meta", "none", "--output-path", CLIENT]
    run("openapi-python-client", *made, "--config", "config.json", "--fail-on-warning", folder=folder)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(CLIENT)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == CLIENT]:
            del sys.modules[name]


def test_a_generated_client_predicts(client: ModuleType, server: Server) -> None:
    """Features go in as an object with an attribute for each, the label comes out as one of an enumeration."""
    models = importlib.import_module(f"{CLIENT}.models")
    predict = importlib.import_module(f"{CLIENT}.api.prediction.predict")
    with client.Client(server.url) as connection:
        one = predict.sync(client=connection, body=models.OneRow(models.Features(**named(GREAT_DANE))))
        assert (type(one), one.label, one.model.name) == (models.Prediction, models.Label.DOG, "animals")
        assert one.probabilities.dog == one.confidence > 0.9
        rows = models.ManyRows([models.Features(**named(GREAT_DANE)), list(LLAMA)])
        many = predict.sync(client=connection, body=rows)
        assert [row.label for row in many.predictions] == [models.Label.DOG, models.Label.LLAMA]
        refused = predict.sync(client=connection, body=models.OneRow([1.0]))
        assert (type(refused), refused.errors[0].code) == (models.InputProblem, "length")


def test_a_generated_client_infers(client: ModuleType, server: Server) -> None:
    """Tensors as the Open Inference Protocol has them."""
    models = importlib.import_module(f"{CLIENT}.models")
    infer = importlib.import_module(f"{CLIENT}.api.open_inference_protocol.v2_model_infer")
    served = models.V2ModelInferModel.ANIMALS
    tensor = models.InferenceInput("features", [1, 8], models.InferenceInputDatatype.FP32, list(LLAMA))
    wanted = [models.InferenceOutput(models.InferenceOutputName(name)) for name in ("label", "probabilities")]
    with client.Client(server.url) as connection:
        found = infer.sync(served, client=connection, body=models.InferenceRequest([tensor], id="7", outputs=wanted))
        assert (found.model_name, found.id) == ("animals", "7")
        assert [output.name for output in found.outputs] == ["label", "probabilities"]
        assert found.outputs[0].data == ["llama"]
        assert (found.outputs[1].shape, sum(found.outputs[1].data)) == ([1, 4], pytest.approx(1))
        tensor.shape = [2, 8]
        refused = infer.sync(served, client=connection, body=models.InferenceRequest([tensor]))
        assert "16 elements" in refused.error


def test_a_generated_client_serves_tensorflows_callers(client: ModuleType, server: Server) -> None:
    """Rows as TensorFlow Serving has them."""
    models = importlib.import_module(f"{CLIENT}.models")
    predict = importlib.import_module(f"{CLIENT}.api.tensor_flow_serving.v1_model_predict")
    with client.Client(server.url) as connection:
        rows = models.ServingRows([list(LLAMA), models.Features(**named(GREAT_DANE))])
        found = predict.sync(models.V1ModelPredictModel.ANIMALS, client=connection, body=rows)
        assert [row.index(max(row)) for row in found.predictions] == [2, 1]
