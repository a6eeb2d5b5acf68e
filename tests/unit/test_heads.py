"""Models of every kind of head, loaded from bundles of format 2."""

from pathlib import Path

import numpy as np
import pytest
from support import headed_bundles
from support.headed_bundles import HEADS

from models.bundle import Bundle
from models.manifest import Manifest
from models.signature import Head
from service.inference.heads import predict_label_sets, predict_labels, row_classifier
from service.inference.model import Model


@pytest.mark.parametrize("sample", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_bundles_of_every_head_load_and_predict(tmp_path: Path, name: str, *, sample: bool) -> None:
    published = headed_bundles.publish(tmp_path, HEADS[name], sample=sample)
    model = Model.open(published.folder, "litert")
    rows = np.array([row.features for row in published.manifest.golden], np.float32)
    prediction = model.predict(rows, model.raw_layers)
    assert prediction.outputs.shape == (len(rows), len(model.column_names))
    for index in range(len(rows)):
        single = model.predict(rows[index : index + 1])
        np.testing.assert_array_equal(single.outputs[0], prediction.outputs[index])
        assert list(single.labels) == [prediction.labels[index]]
    if name == "binary":
        (head,) = model.heads
        np.testing.assert_allclose(model.raw_output(head, prediction)[:, 0], prediction.outputs[:, 1], rtol=1e-6)
        np.testing.assert_array_equal(prediction.labels, prediction.outputs[:, 1] > 0.3)


@pytest.mark.parametrize("name", HEADS)
def test_a_manifest_survives_its_json(tmp_path: Path, name: str) -> None:
    published = headed_bundles.publish(tmp_path, HEADS[name])
    assert Bundle.read(published.folder).manifest == published.manifest


def test_values_outside_the_training_range_are_named_without_a_label(tmp_path: Path) -> None:
    published = headed_bundles.publish(tmp_path, HEADS["regression"])
    model = Model.open(published.folder, "litert")
    ((warning,),) = model.warnings(model.predict(np.array([[9, 0, 0]], np.float32)))
    assert warning.startswith("f1 is 9 m, outside the training range, -2.9")


def test_without_a_sample_nothing_is_out_of_range(tmp_path: Path) -> None:
    published = headed_bundles.publish(tmp_path, HEADS["regression"], sample=False)
    model = Model.open(published.folder, "litert")
    assert model.warnings(model.predict(np.array([[1e30, 0, 0]], np.float32))) == [[]]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_a_probability_equal_to_the_threshold_is_not_above_it(threshold: float, step: int) -> None:
    """Compared as float32, one row as several: 0.1 is not above 0.1, although its float32 is more than its double."""
    value = np.float32(threshold)
    if step:
        value = np.nextafter(value, np.float32(step))
    head = Head(name="h", kind="classification", layer="l", labels=("no", "yes"), threshold=threshold)
    probabilities = np.array([[1 - value, value]], np.float32)
    assert row_classifier(head)(probabilities.tolist()[0]) == predict_labels(head, probabilities)[0] == (step == 1)
    tags = Head(name="h", kind="multi_label", layer="l", labels=("no", "yes"), threshold=threshold)
    assert predict_label_sets(tags, probabilities)[0, 1] == (step == 1)


@pytest.mark.parametrize(
    ("name", "raw_layers"), [("binary", []), ("logits", ["hidden_2"]), ("softmax", []), ("several", [])]
)
def test_a_raw_output_with_the_numbers_of_served_columns_needs_no_layer(
    tmp_path: Path, name: str, raw_layers: list[str]
) -> None:
    """Such a model is answered on the fast path; the layer is no hidden one either way."""
    model = Model.open(headed_bundles.publish(tmp_path, HEADS[name]).folder, "litert")
    assert model.raw_layers == raw_layers
    assert not {head.head.layer for head in model.heads} & set(model.hidden_layers)
    rows = np.random.default_rng(3).uniform(-3, 3, (50, 3)).astype(np.float32)
    prediction, layers = model.predict(rows, model.raw_layers), model.layer_outputs(rows)
    for head in model.heads:
        if head.head.layer != model.output_layer:
            np.testing.assert_array_equal(model.raw_output(head, prediction), layers[head.head.layer])


def test_two_outputs_of_the_same_name_are_refused(tmp_path: Path) -> None:
    """Documents, metrics and drift are by output, also where the columns have different names."""
    document = headed_bundles.publish(tmp_path, headed_bundles.MIXED).manifest.model_dump(mode="json")
    document["outputs"][3]["name"] = document["outputs"][1]["name"]
    labels = document["reference"]["labels"]
    labels |= {"kind.no": labels.pop("sold.no"), "kind.yes": labels.pop("sold.yes")}
    with pytest.raises(ValueError, match="two outputs have the same name"):
        Manifest.model_validate(document)
