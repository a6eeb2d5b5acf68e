"""Shapley values against the shap library, whose import alone takes seconds: so all that use it are here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import headed_bundles, mixed_bundles

from models.feature import to_codes
from service.inference import sampled_shapley, shapley
from service.inference.model import Model


def compare_exact_values(model: Model, row: NDArray[np.float32]) -> None:
    """The exact explainer of shap, with its independent masker over the same background, agrees to 1e-6."""
    shap = pytest.importorskip("shap")
    background = model.manifest.background_rows
    base, values = shapley.attribute(model.outputs, row, background)
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explained = shap.explainers.Exact(lambda rows: model.outputs(rows.astype(np.float32)), masker)(row[np.newaxis])
    np.testing.assert_allclose(values, explained.values[0], atol=1e-6)
    np.testing.assert_allclose(base, explained.base_values[0], atol=1e-6)


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_values_agree_with_shap(model: Model, index: int) -> None:
    compare_exact_values(model, np.array(model.manifest.golden[index].features, np.float32))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(mixed_bundles.publish(tmp_path_factory.mktemp("store")).folder, "litert")


@pytest.mark.parametrize("row", mixed_bundles.raw_rows(4, 4))
def test_values_of_categories_agree_with_shap(mixed: Model, row: tuple[Any, ...]) -> None:
    """Of their codes, some of which are missing."""
    assert np.isnan(mixed.manifest.background_rows).any()
    compare_exact_values(mixed, to_codes(mixed.features, [row])[0])


@pytest.mark.parametrize("explainer", ["PermutationExplainer", "SamplingExplainer"])
def test_estimated_values_agree_with_those_of_shap(tmp_path: Path, explainer: str) -> None:
    """With 15 features, too many for exact ones; both are estimates."""
    shap = pytest.importorskip("shap")
    published = headed_bundles.publish(tmp_path, headed_bundles.REGRESSION, features=15)
    model = Model.open(published.folder, "litert")
    background = np.array(model.manifest.background, np.float32)
    row = np.array(model.manifest.golden[0].features, np.float32)
    sampled = sampled_shapley.attribute(model.outputs, row, background, 40_000)

    def predict(rows: NDArray[np.float64]) -> Any:
        return model.outputs(rows.astype(np.float32))

    np.random.seed(0)  # noqa: NPY002 (the generator that shap uses)
    if explainer == "PermutationExplainer":
        masker = shap.maskers.Independent(background, max_samples=len(background))
        explained = shap.PermutationExplainer(predict, masker, seed=0)(row[np.newaxis], max_evals=31 * 20)
        expected, tolerance = explained.values[0], 6 * sampled.standard_errors + 0.05
    else:
        expected = shap.SamplingExplainer(predict, background).shap_values(row[np.newaxis], nsamples=40_000)[0]
        tolerance = 6 * sampled.standard_errors + 0.2  # its background rows are drawn, not each used equally often
    assert (np.abs(sampled.values - expected) < tolerance).all()
    np.testing.assert_allclose(sampled.base, model.outputs(background).mean(axis=0), rtol=1e-5)
