"""Models of every kind of head and with several inputs, under `/v1` and `/v2`: the same numbers in every form."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.headed_bundles import HEADS
from support.headed_models import NAME, ROWS, Headed

from service.app.flask_app import create_app
from service.settings import Settings

V1, V2 = f"/v1/models/{NAME}", f"/v2/models/{NAME}"
NAMES = ("f1", "f2", "f3")
CASES = [
    *((kind, "one input") for kind in HEADS),
    *((kind, "several inputs") for kind in HEADS),
    ("a classification among others", "an input for each feature"),
    ("binary", "an input for each feature"),
]


class Served(NamedTuple):
    headed: Headed
    client: FlaskClient
    document: Any

    def post(self, path: str, document: Any, schema: str = "", status: int = 200) -> Any:
        """The response, which must be as its schema says, as must be the request if it gets 200."""
        response = self.client.post(path, json=document)
        assert response.status_code == status, (document, response.data)
        if schema:
            self.require_schema(schema, response.json)
            self.require_request(path, document)
        return response.json

    def require_schema(self, schema: Any, value: Any) -> None:
        reference = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema
        whole = {**reference, "components": self.document["components"]}
        assert [error.message for error in Draft202012Validator(whole).iter_errors(value)] == []

    def require_request(self, path: str, document: Any) -> None:
        operation = self.document["paths"][path.replace(NAME, "{model}")]["post"]
        self.require_schema(operation["requestBody"]["content"]["application/json"]["schema"], document)

    @property
    def inputs(self) -> dict[str, slice]:
        """The columns of each input."""
        columns, start = {}, 0
        for tensor in self.headed.bundle.manifest.inputs:
            columns[tensor.name] = slice(start, start + tensor.width)
            start += tensor.width
        return columns


def serve(headed: Headed) -> Served:
    client = create_app(Settings(model_store=headed.store, model_name=NAME)).test_client()
    return Served(headed, client, client.get("/openapi.json").json)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case).replace(" ", "_"))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve(Headed.publish(tmp_path_factory.mktemp("store"), *request.param))


def bits(values: Any) -> Any:
    return np.array(values, np.float32).view(np.uint32).tolist()


def named(row: Sequence[float]) -> dict[str, float]:
    return dict(zip(NAMES, row, strict=True))


def row_forms(served: Served) -> list[list[Any]]:
    """The rows in each form that `instances` may have."""
    forms: list[list[Any]] = [[list(row) for row in ROWS], [named(row) for row in ROWS]]
    forms.append([{name: list(row[columns]) for name, columns in served.inputs.items()} for row in ROWS])
    if len(served.inputs) > 1:
        forms.append(
            [
                {
                    name: row[columns][0] if len(row[columns]) == 1 else list(row[columns])
                    for name, columns in served.inputs.items()
                }
                for row in ROWS
            ]
        )
    else:
        forms.append([{"measurements": named(row)} for row in ROWS])
    return forms


def test_rows_have_raw_outputs(served: Served) -> None:
    """Without a name if there is one output, else an object by output name."""
    raw = served.headed.raw(ROWS)
    for instances in row_forms(served):
        response = served.post(f"{V1}:predict", {"instances": instances}, "ServingPredictions")
        for index, prediction in enumerate(response["predictions"]):
            by_name = prediction if len(raw) > 1 else dict.fromkeys(raw, prediction)
            assert list(by_name) == list(raw)
            assert {name: bits(values) for name, values in by_name.items()} == {
                name: bits(values[index]) for name, values in raw.items()
            }
        single = [served.post(f"{V1}:predict", {"instances": [row]})["predictions"][0] for row in instances]
        assert single == response["predictions"]


def test_columns_have_raw_outputs(served: Served) -> None:
    """By feature, by input, and as rows: a list for each output."""
    raw, array = served.headed.raw(ROWS), np.array(ROWS)
    forms: list[Any] = [
        [list(row) for row in ROWS],
        {name: array[:, index].tolist() for index, name in enumerate(NAMES)},
        {name: array[:, columns].tolist() for name, columns in served.inputs.items()},
    ]
    if len(served.inputs) > 1:
        forms.append(
            {
                name: array[:, columns].ravel().tolist()
                if columns.stop - columns.start == 1
                else array[:, columns].tolist()
                for name, columns in served.inputs.items()
            }
        )
    for inputs in forms:
        outputs = served.post(f"{V1}:predict", {"inputs": inputs}, "ServingOutputs")["outputs"]
        by_name = outputs if len(raw) > 1 else dict.fromkeys(raw, outputs)
        assert list(by_name) == list(raw)
        assert {name: bits(values) for name, values in by_name.items()} == {
            name: bits(values) for name, values in raw.items()
        }


def test_classify_is_for_single_classifications(served: Served) -> None:
    """Labels with the served probabilities; for other models the error says what they are, and what to use."""
    head = served.headed.heads[0]
    examples: list[Any] = [named(ROWS[0]), {name: [value] for name, value in named(ROWS[1]).items()}]
    if len(served.inputs) > 1:
        examples.append({name: list(ROWS[2][columns]) for name, columns in served.inputs.items()})
    if len(served.headed.heads) == 1 and head.kind == "classification":
        results = served.post(f"{V1}:classify", {"examples": examples}, "ServingClasses")["results"]
        assert [[label for label, _ in result] for result in results] == [list(head.labels)] * len(examples)
        scores = served.headed.columns(ROWS[: len(examples)])[head.name]
        assert bits([[score for _, score in result] for result in results]) == bits(scores)
        return
    error = served.post(f"{V1}:classify", {"examples": examples}, status=400)["error"]
    assert error.startswith("the model ")
    assert "not a single classification: use `:predict`" in error


def test_regress_is_for_one_target(tmp_path: Any) -> None:
    """A value for each example."""
    headed = Headed.publish(tmp_path, "one target")
    served = serve(headed)
    values = served.post(f"{V1}:regress", {"examples": [named(row) for row in ROWS]}, "ServingValues")["results"]
    assert bits(values) == bits(headed.columns(ROWS)["price"][:, 0])
    assert values == [row[0] for row in served.post(f"{V1}:predict", {"instances": ROWS})["predictions"]]
    context = {"examples": [{"f1": 0.5, "f2": -1.0}], "context": {"f3": 2.0}}
    assert served.post(f"{V1}:regress", context, "ServingValues")["results"] == values[:1]
    error = served.post(f"{V1}:classify", {"examples": [named(ROWS[0])]}, status=400)["error"]
    assert error == "the model is a regression (price), not a single classification: use `:regress` or `:predict`"


def test_regress_of_other_models_is_refused(served: Served) -> None:
    error = served.post(f"{V1}:regress", {"examples": [named(ROWS[0])]}, status=400)["error"]
    assert "not a regression with one target: use `:" in error


def test_signature_has_inputs_and_raw_outputs(served: Served) -> None:
    metadata: Any = served.client.get(f"{V1}/metadata").json
    served.require_schema("ServingMetadata", metadata)
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    widths = {
        kind: {name: int(tensor["tensor_shape"]["dim"][1]["size"]) for name, tensor in signature[kind].items()}
        for kind in ("inputs", "outputs")
    }
    assert widths["inputs"] == {tensor.name: tensor.width for tensor in served.headed.bundle.manifest.inputs}
    assert widths["outputs"] == {name: values.shape[1] for name, values in served.headed.raw(ROWS).items()}


def tensors(served: Served, rows: Any = ROWS, datatype: str = "FP32", *, flat: bool = False) -> list[dict[str, Any]]:
    """A tensor for each input."""
    array = np.array(rows)
    return [
        {
            "name": name,
            "shape": [len(array)] if flat and columns.stop - columns.start == 1 else list(array[:, columns].shape),
            "datatype": datatype,
            "data": array[:, columns].ravel().tolist() if flat else array[:, columns].tolist(),
        }
        for name, columns in served.inputs.items()
    ]


def input_forms(served: Served, rows: Any = ROWS) -> list[list[dict[str, Any]]]:
    forms = [tensors(served, rows), tensors(served, rows, "FP64", flat=True), tensors(served, rows)[::-1]]
    if len(served.inputs) > 1:
        whole = {"name": "features", "shape": [len(rows), 3], "datatype": "FP32", "data": [list(row) for row in rows]}
        forms.append([whole])
    return forms


def test_tensors_have_raw_outputs_and_labels(served: Served) -> None:
    """By default all outputs of the model, and the label of a single classification."""
    raw, heads = served.headed.raw(ROWS), served.headed.heads
    labels = [document.get("label") for document in served.headed.documents(ROWS)]
    for inputs in input_forms(served):
        for _ in range(2):  # the second time the form is known
            response = served.post(f"{V2}/infer", {"inputs": inputs}, "InferenceResponse")
            outputs = {output["name"]: output for output in response["outputs"]}
            is_single = len(heads) == 1 and heads[0].kind == "classification"
            assert list(outputs) == [*raw, "label"] if is_single else list(raw)
            for name, values in raw.items():
                assert (outputs[name]["datatype"], outputs[name]["shape"]) == ("FP32", list(values.shape))
                assert bits(outputs[name]["data"]) == bits(values.ravel())
            assert not is_single or outputs["label"]["data"] == labels


def test_bytes_have_raw_outputs(served: Served) -> None:
    """Inputs as bytes, all or some of them, and a body without JSON."""
    array, raw = np.array(ROWS, "<f4"), served.headed.raw(ROWS)
    expected = [values.tobytes() for values in raw.values()]
    requests: list[tuple[bytes, str]] = [(array.tobytes(), "0")]
    for count in range(1, len(served.inputs) + 1):
        inputs, content = tensors(served), b""
        for tensor, columns in list(zip(inputs, served.inputs.values(), strict=True))[:count]:
            del tensor["data"]
            part = np.ascontiguousarray(array[:, columns]).tobytes()
            tensor["parameters"] = {"binary_data_size": len(part)}
            content += part
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        requests.append((head + content, str(len(head))))
    for body, length in requests * 2:
        response = served.client.post(f"{V2}/infer", data=body, headers={"Inference-Header-Content-Length": length})
        assert response.status_code == 200, response.data
        content = response.data[int(response.headers["Inference-Header-Content-Length"]) :]
        for part in expected:
            assert content[: len(part)] == part
            content = content[len(part) :]


def test_every_output_is_described_and_available(served: Served) -> None:
    """Metadata, configuration and schema name the same tensors, and a request for all of them gets these."""
    metadata: Any = served.client.get(V2).json
    configuration: Any = served.client.get(f"{V2}/config").json
    served.require_schema("ModelMetadata", metadata)
    served.require_schema("ModelConfiguration", configuration)
    names = [output["name"] for output in metadata["outputs"]]
    request = {"inputs": tensors(served), "outputs": [{"name": name} for name in names]}
    outputs = served.post(f"{V2}/infer", request, "InferenceResponse")["outputs"]
    described = [{**output, "shape": [-1, *output["shape"][1:]]} for output in outputs]
    assert [{key: output[key] for key in ("name", "datatype", "shape")} for output in described] == metadata["outputs"]
    assert [output["dims"] for output in configuration["output"]] == [output["shape"][1:] for output in described]
    assert metadata["inputs"] == [
        {"name": tensor.name, "datatype": "FP32", "shape": [-1, tensor.width]}
        for tensor in served.headed.bundle.manifest.inputs
    ]
    layers = served.headed.model.layer_outputs(np.array(ROWS, np.float32))
    for output in outputs:
        if output["name"] in served.headed.model.hidden_layers:
            assert bits(output["data"]) == bits(layers[output["name"]].ravel())


def test_labels_and_probabilities_are_derived(served: Served) -> None:
    """Of each head what `/predict` says: `label`, `probabilities`, `predicted`; with the output's name if several."""
    metadata: Any = served.client.get(V2).json
    names = {output["name"] for output in metadata["outputs"]}
    columns, raw = served.headed.columns(ROWS), served.headed.raw(ROWS)
    documents = served.headed.documents(ROWS)
    for head in served.headed.heads:
        several = len(served.headed.heads) > 1
        prefix = f"{head.name}." if several else ""
        of_head = [document["outputs"][head.name] if several else document for document in documents]
        expected: dict[str, Any] = {}
        if head.kind == "classification":
            expected["label"] = [document["label"] for document in of_head]
        if head.labels and not np.array_equal(columns[head.name], raw[head.name]):
            expected["probabilities"] = columns[head.name].ravel()
        if head.kind == "multi_label":
            expected["predicted"] = [label in document["labels"] for document in of_head for label in head.labels]
        assert {name for name in ("label", "probabilities", "predicted") if prefix + name in names} == set(expected)
        for is_binary in (False, True):
            asked = [{"name": prefix + name, "parameters": {"binary_data": is_binary}} for name in expected]
            if not asked:
                continue
            response = served.client.post(f"{V2}/infer", json={"inputs": tensors(served), "outputs": asked})
            assert response.status_code == 200, response.data
            if not is_binary:
                document: Any = response.json
                for output, values in zip(document["outputs"], expected.values(), strict=True):
                    equal = (
                        bits(output["data"]) == bits(values)
                        if output["datatype"] == "FP32"
                        else output["data"] == values
                    )
                    assert equal, output
            elif "predicted" in expected:
                assert response.data.endswith(np.array(expected["predicted"], np.bool_).tobytes())


def test_classification_ranks_scores(served: Served) -> None:
    """Raw outputs that are scores of labels, and probabilities; not logits, values or flags."""
    metadata: Any = served.client.get(V2).json
    columns = served.headed.columns(ROWS)
    for output in metadata["outputs"]:
        name = output["name"]
        request = {"inputs": tensors(served), "outputs": [{"name": name, "parameters": {"classification": 2}}]}
        head = next((head for head in served.headed.heads if name in (head.name, f"{head.name}.probabilities")), None)
        head = head or (served.headed.heads[0] if name == "probabilities" else None)
        is_raw = head is not None and name == head.name
        if not head or not head.labels or (is_raw and served.headed.raw(ROWS)[name].tolist() != columns[name].tolist()):
            assert "classification is available for" in served.post(f"{V2}/infer", request, status=400)["error"]
            continue
        (ranked,) = served.post(f"{V2}/infer", request, "InferenceResponse")["outputs"]
        assert (ranked["datatype"], ranked["shape"]) == ("BYTES", [3, 2])
        for index, row in enumerate(columns[head.name]):
            best = int(row.argmax())
            assert ranked["data"][2 * index].split(":")[1:] == [str(best), head.labels[best]]


def test_only_methods_that_the_model_has_are_described(served: Served) -> None:
    """Generated clients have no function that always fails."""
    described = {path.partition(":")[2] for path in served.document["paths"] if ":" in path}
    is_classification = bool(served.headed.model.labels)
    assert described == {"predict", "explain"} | ({"classify"} if is_classification else set())


def test_document_is_valid_and_its_examples_work(served: Served) -> None:
    assert list(OpenAPIV31SpecValidator(served.document).iter_errors()) == []
    for path, methods in served.document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {"content": {}})["content"].get("application/json", {})
        if path == "/explain" or path.endswith(":explain") or "{version}" in path:
            continue
        for example in content.get("examples", {}).values():
            served.require_schema(content["schema"], example["value"])
            response = served.client.post(path.format(model=NAME), json=example["value"])
            assert response.status_code == 200, (path, example, response.data)


BAD_V1 = [
    ("an input too short", {"position": [1.0], "speed": [1.0]}, "instances[0].position must have 2 numbers, not 1"),
    ("an input that is no list", {"position": 1.0, "speed": 1.0}, "instances[0].position must have 2 numbers, not 1"),
    ("an input too long", {"position": [1.0, 2.0], "speed": [1.0, 2.0]}, "instances[0].speed must have 1 numbers"),
    ("a string", {"position": [1.0, "x"], "speed": [1.0]}, "f2 must be a number from -3 to 3 m, not a string"),
    ("null", {"position": [1.0, 2.0], "speed": None}, "f3 must be a number from -3 to 3 m, not null"),
    ("out of bounds", {"position": [1.0, 9.0], "speed": [1.0]}, "f2 must be in the range -3 to 3 m"),
    ("an input missing", {"position": [1.0, 2.0]}, "position is unknown"),
    ("another input", {"position": [1.0, 2.0], "speed": [1.0], "x": 1}, "x is unknown"),
    ("a list", [1.0, 2.0], "must have 3 numbers, not 2"),
    ("nested", {"position": [[1.0, 2.0]], "speed": [1.0]}, "instances[0].position must have 2 numbers, not 1"),
]


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve(Headed.publish(tmp_path_factory.mktemp("store"), "regression", "several inputs"))


@pytest.mark.parametrize(("description", "instance", "message"), BAD_V1, ids=[bad[0] for bad in BAD_V1])
def test_invalid_instance_is_refused(two_inputs: Served, description: str, instance: Any, message: str) -> None:
    """Alone and among others."""
    for count in (1, 2):
        error = two_inputs.post(f"{V1}:predict", {"instances": [instance] * count}, status=400)["error"]
        assert message in error, description
    example = {"examples": [instance]}
    assert two_inputs.post(f"{V1}:regress", example, status=400)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"position": [[1.0, 2.0]], "speed": [1.0, 2.0]}, "the same number of values"),
        ({"position": [[1.0, 2.0], [1.0]], "speed": [1.0, 2.0]}, "inputs.position[1] must have 2 numbers, not 1"),
        ({"position": 1.0, "speed": [1.0]}, "must be a list of rows"),
        ({"position": [[1.0, 2.0]], "speed": ["x"]}, "f3 must be a number"),
        ({}, "1 to 10000 rows"),
    ],
)
def test_invalid_columns_are_refused(two_inputs: Served, inputs: Any, message: str) -> None:
    assert message in two_inputs.post(f"{V1}:predict", {"inputs": inputs}, status=400)["error"]


POSITION = {"name": "position", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}
SPEED = {"name": "speed", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
WHOLE = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 2.0, 1.0]}
BAD_V2: list[tuple[str, list[Any], str]] = [
    ("an input missing", [POSITION], "the input speed is missing"),
    ("all missing", [], "the inputs position, speed are missing"),
    (
        "an unknown input",
        [POSITION, SPEED, {**SPEED, "name": "x"}],
        "unknown input 'x': the model has features, position",
    ),
    ("an input twice", [POSITION, SPEED, SPEED], "duplicate input"),
    ("all and one", [WHOLE, SPEED], "send either features with all features, or the other inputs"),
    ("all, and all inputs", [WHOLE, SPEED, POSITION], "send either features with all features, or the other inputs"),
    ("a wrong width", [{**POSITION, "shape": [1, 3]}, SPEED], "inputs[0].shape must be [rows, 2]"),
    ("rank 1 for two features", [SPEED, {**POSITION, "shape": [2]}], "inputs[1].shape must be [rows, 2]"),
    (
        "other numbers of rows",
        [POSITION, {**SPEED, "shape": [2], "data": [1, 2]}],
        "inputs[1] has 2 rows, but inputs[0] has 1",
    ),
    (
        "10**12 rows",
        [{**POSITION, "shape": [10**12, 2]}, {**SPEED, "shape": [10**12]}],
        "inputs[0].data must have 2000000000000 elements",
    ),
    ("too few elements", [POSITION, {**SPEED, "data": []}], "inputs[1].data must have 1 elements"),
    ("a string", [POSITION, {**SPEED, "data": ["x"]}], "inputs[1].data[0][0]: f3 must be a number"),
    ("null", [POSITION, {**SPEED, "data": [None]}], "f3 must be a number"),
    ("out of bounds", [POSITION, {**SPEED, "data": [9]}], "f3 must be in the range -3 to 3 m"),
    ("a row too short", [{**POSITION, "data": [[1.0]]}, SPEED], "inputs[0].data[0] must have 2 numbers, not 1"),
    ("no data", [POSITION, {"name": "speed", "shape": [1], "datatype": "FP32"}], "inputs[1] must have either data"),
    ("a type of no number", [POSITION, {**SPEED, "datatype": "BYTES"}], "inputs[1].datatype must be one of"),
    ("no integer", [POSITION, {**SPEED, "datatype": "INT8", "data": [1.5]}], "inputs[1].data must be integers"),
    (
        "sizes without bytes",
        [POSITION, {**SPEED, "data": None, "parameters": {"binary_data_size": 4}}],
        "0 bytes follow",
    ),
]


@pytest.mark.parametrize(("description", "inputs", "message"), BAD_V2, ids=[bad[0] for bad in BAD_V2])
def test_invalid_tensors_are_refused(two_inputs: Served, description: str, inputs: Any, message: str) -> None:
    """Also once a valid request is known."""
    assert two_inputs.post(f"{V2}/infer", {"inputs": [POSITION, SPEED]})
    for _ in range(2):
        assert message in two_inputs.post(f"{V2}/infer", {"inputs": inputs}, status=400)["error"], description


def test_data_in_json_are_not_taken_for_known_ones(two_inputs: Served) -> None:
    """A request with one input in JSON and one as bytes is read anew each time."""
    for value in (1.0, 2.0, 1.0):
        binary = {"name": "speed", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}
        head = json.dumps({"inputs": [{**POSITION, "data": [value, 0.5]}, binary]}).encode()
        body = head + np.array([value], "<f4").tobytes()
        response = two_inputs.client.post(
            f"{V2}/infer", data=body, headers={"Inference-Header-Content-Length": str(len(head))}
        )
        expected = two_inputs.headed.raw([[value, 0.5, value]])["house"]
        document: Any = response.json
        assert bits(document["outputs"][0]["data"]) == bits(expected[0])


def test_a_label_that_is_the_models_own_output(tmp_path: Any) -> None:
    """It wins over what the service derives, as do its inputs over `features`."""
    headed = Headed.publish(tmp_path, "own names", "own names")
    served = serve(headed)
    metadata: Any = served.client.get(V2).json
    assert [output["name"] for output in metadata["outputs"]].count("label") == 1
    assert metadata["outputs"][0] == {"name": "label", "datatype": "FP32", "shape": [-1, 3]}
    outputs = served.post(f"{V2}/infer", {"inputs": tensors(served)}, "InferenceResponse")["outputs"]
    assert [output["name"] for output in outputs] == ["label"]
    assert bits(outputs[0]["data"]) == bits(headed.raw(ROWS)["label"].ravel())
    assert "missing" in served.post(f"{V2}/infer", {"inputs": [WHOLE]}, status=400)["error"]
