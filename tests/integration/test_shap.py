"""Shapley values against the shap library, whose import alone takes seconds."""

import numpy as np
import pytest

from service.inference import shapley
from service.inference.model import Model


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_values_agree_with_shap(model: Model, index: int) -> None:
    """The exact explainer of shap, with its independent masker over the same background, agrees to 1e-6."""
    shap = pytest.importorskip("shap")
    background = np.array(model.manifest.background, np.float32)
    row = np.array(model.manifest.golden[index].features, np.float32)
    base, values = shapley.attribute(model.outputs, row, background)
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explained = shap.explainers.Exact(lambda rows: model.outputs(rows.astype(np.float32)), masker)(row[np.newaxis])
    np.testing.assert_allclose(values, explained.values[0], atol=1e-6)
    np.testing.assert_allclose(base, explained.base_values[0], atol=1e-6)
