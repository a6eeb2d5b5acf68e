"""The engines: one interface, one truth."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models import bundle
from models.bundle import Bundle
from service.inference import engine
from service.inference.engine import LiteRTEngine
from service.inference.model import Model
from service.prediction import Array
from service.settings import SHIPPED_STORE


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.read(bundle.find_newest_version(SHIPPED_STORE, "animals"))


@pytest.fixture(scope="module")
def litert(shipped: Bundle) -> LiteRTEngine:
    return LiteRTEngine(shipped)


LAYERS = ("normalization", "hidden_1", "hidden_2", "probabilities")


@pytest.fixture(scope="module")
def anywhere(shipped: Bundle) -> Array:
    """10,000 rows from anywhere within the hard bounds."""
    low, high = zip(*((feature.minimum, feature.maximum) for feature in shipped.manifest.features), strict=True)
    return np.random.default_rng(1).uniform(low, high, (10_000, len(low))).astype(np.float32)


@pytest.mark.tensorflow
def test_both_engines_answer_alike(shipped: Bundle, litert: LiteRTEngine, anywhere: Array) -> None:
    """Every layer of LiteRT's network is Keras' to 1e-5, on 10,000 rows from anywhere within the bounds."""
    reference = engine.load("keras", shipped).run(anywhere, LAYERS)
    answer = litert.run(anywhere, LAYERS)
    assert tuple(answer) == tuple(reference) == LAYERS == tuple(layer.name for layer in shipped.manifest.layers)
    for layer in shipped.manifest.layers:
        assert answer[layer.name].shape == (10_000, layer.units)
        np.testing.assert_allclose(answer[layer.name], reference[layer.name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 999])
def test_a_row_gets_the_same_bits_in_any_batch(litert: LiteRTEngine, anywhere: Array, size: int) -> None:
    """What a row is answered does not depend on what stands beside it."""
    whole = litert.run(anywhere[:1998], LAYERS)
    for start in range(0, 1998, size):
        for name, output in litert.run(anywhere[start : min(start + size, 1998)], LAYERS).items():
            np.testing.assert_array_equal(output, whole[name][start : start + size])


def test_threads_do_not_meet(litert: LiteRTEngine, anywhere: Array) -> None:
    """Eight threads with batches of changing size each get their own rows' answers."""
    whole = litert.run(anywhere, LAYERS[-1:])["probabilities"]

    def ask(start: int) -> bool:
        size = 1 + start % 50
        answer = litert.run(anywhere[start : start + size], LAYERS[-1:])["probabilities"]
        return bool((answer == whole[start : start + size]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(9_000)))


def test_an_answer_is_the_callers_to_keep(litert: LiteRTEngine, anywhere: Array) -> None:
    """A later call does not write into what an earlier one returned."""
    first = litert.run(anywhere[:1], LAYERS)
    kept = {name: output.copy() for name, output in first.items()}
    litert.run(anywhere[1:2], LAYERS)
    for name, output in kept.items():
        np.testing.assert_array_equal(first[name], output)


def test_layers_come_in_the_networks_order(model: Model, anywhere: Array) -> None:
    """Input to output, as a reader follows them."""
    assert tuple(model.layer_outputs(anywhere[:1])) == LAYERS


def test_only_the_layers_asked_for_are_told(litert: LiteRTEngine, anywhere: Array) -> None:
    """A caller pays for what it wants."""
    assert set(litert.layers) == set(LAYERS)
    assert set(litert.run(anywhere[:1], ("hidden_2",))) == {"hidden_2"}
