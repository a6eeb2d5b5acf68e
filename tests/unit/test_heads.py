"""Models of every kind of head, loaded from bundles of format 2."""

from pathlib import Path

import numpy as np
import pytest
from support import headed_bundles
from support.headed_bundles import HEADS

from models.bundle import Bundle
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
