"""The inference engines: LiteRT, and Keras as its reference."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.published_bundles import newest_version

from models.bundle import Bundle
from service.arrays import Array
from service.inference import engine
from service.inference.engine import LiteRTEngine
from service.inference.model import Model
from service.settings import SHIPPED_STORE


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.read(newest_version(SHIPPED_STORE / "animals"))


@pytest.fixture(scope="module")
def litert(shipped: Bundle) -> LiteRTEngine:
    return LiteRTEngine(shipped)


LAYERS = ("normalization", "hidden_1", "hidden_2", "probabilities")


@pytest.fixture(scope="module")
def random_rows(shipped: Bundle) -> Array:
    """10,000 rows, uniform within the features' bounds."""
    low, high = zip(*((feature.minimum, feature.maximum) for feature in shipped.manifest.features), strict=True)
    return np.random.default_rng(1).uniform(low, high, (10_000, len(low))).astype(np.float32)


@pytest.mark.tensorflow
def test_engines_agree(shipped: Bundle, litert: LiteRTEngine, random_rows: Array) -> None:
    """Every layer of the LiteRT network equals that of Keras to 1e-5, on 10,000 random rows."""
    reference = engine.load("keras", shipped).run(random_rows, LAYERS)
    outputs = litert.run(random_rows, LAYERS)
    assert tuple(outputs) == tuple(reference) == LAYERS == tuple(layer.name for layer in shipped.manifest.layers)
    for layer in shipped.manifest.layers:
        assert outputs[layer.name].shape == (10_000, layer.units)
        np.testing.assert_allclose(outputs[layer.name], reference[layer.name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 999])
def test_outputs_do_not_depend_on_the_batch(litert: LiteRTEngine, random_rows: Array, size: int) -> None:
    """A row has the same outputs, to the bit, whichever rows are predicted with it."""
    expected = litert.run(random_rows[:1998], LAYERS)
    for start in range(0, 1998, size):
        for name, output in litert.run(random_rows[start : min(start + size, 1998)], LAYERS).items():
            np.testing.assert_array_equal(output, expected[name][start : start + size])


@pytest.mark.parametrize("size", [1024, 1025, 2047, 2048, 2049, 5000])
def test_many_rows_are_run_in_parts(litert: LiteRTEngine, random_rows: Array, size: int) -> None:
    """With the outputs that fewer rows have, to the bit."""
    outputs = litert.run(random_rows[:size], LAYERS)
    for name in LAYERS:
        fewer = [litert.run(random_rows[start : min(start + 600, size)], [name])[name] for start in range(0, size, 600)]
        np.testing.assert_array_equal(outputs[name], np.concatenate(fewer))


def test_threads_do_not_interfere(litert: LiteRTEngine, random_rows: Array) -> None:
    """Eight threads with batches of different sizes each get the outputs of their own rows."""
    expected = litert.run(random_rows, LAYERS[-1:])["probabilities"]

    def is_correct(start: int) -> bool:
        size = 1 + start % 50
        outputs = litert.run(random_rows[start : start + size], LAYERS[-1:])["probabilities"]
        return bool((outputs == expected[start : start + size]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(is_correct, range(9_000)))


def test_outputs_are_not_overwritten(litert: LiteRTEngine, random_rows: Array) -> None:
    """A later call does not change what an earlier one returned."""
    first = litert.run(random_rows[:1], LAYERS)
    copies = {name: output.copy() for name, output in first.items()}
    litert.run(random_rows[1:2], LAYERS)
    for name, output in copies.items():
        np.testing.assert_array_equal(first[name], output)


def test_layers_are_in_network_order(model: Model, random_rows: Array) -> None:
    """From input to output."""
    assert tuple(model.layer_outputs(random_rows[:1])) == LAYERS


def test_only_requested_layers_are_returned(litert: LiteRTEngine, random_rows: Array) -> None:
    """A layer that is not requested costs nothing."""
    assert set(litert.layers) == set(LAYERS)
    assert set(litert.run(random_rows[:1], ("hidden_2",))) == {"hidden_2"}
