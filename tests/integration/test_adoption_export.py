"""A user's model, exported: it runs in both of the service's engines and agrees with Keras in batches of any size."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.adopted_models import AdoptedModel, publish, regression_heads
from support.keras_models import BUILDERS, MadeModel

from models.adoption.errors import AdoptionError
from models.bundle import MODEL_LITERT, SAVED_MODEL, WEIGHTS
from models.manifest import Manifest
from service.inference.model import Model

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras 3.15 under NumPy 2.4
]
Adopted = Callable[[str], AdoptedModel]
SHIPPED = Path(__file__).parents[2] / "models" / "store" / "animals" / "1"
CHAINS = [
    *("fraud", "auto_mpg", "wine_quality", "churn", "several_outputs", "one_input_per_feature", "list_of_inputs"),
    *("nested", "float64", "logits", "keras_2", "odd_names"),
]


def require_agreement(*arguments: Any) -> None:
    """Imported here, because TensorFlow would slow down the collection of the tests."""
    pytest.importorskip("models.adoption.agreement").require_agreement(*arguments)


@pytest.fixture(scope="module", params=BUILDERS)
def model(request: pytest.FixtureRequest, adopted: Adopted) -> AdoptedModel:
    return adopted(request.param)


def raw_outputs(model: Model, rows: Any) -> dict[str, Any]:
    """What /v1 and /v2 serve."""
    prediction = model.predict(rows, model.raw_layers)
    return {head.head.name: model.raw_output(head, prediction) for head in model.heads}


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_the_service_runs_it_as_keras_does(model: AdoptedModel, engine: str, tmp_path: Path) -> None:
    """Both engines give each of the model's own outputs to 1e-5, and their golden rows agree."""
    made = model.made
    served = Model.open(publish(model, tmp_path).folder, engine)
    outputs = raw_outputs(served, made.rows)
    for name, expected in made.expected.items():
        scale = max(1.0, float(np.abs(expected).max()))
        assert outputs[name] == pytest.approx(expected, rel=1e-5, abs=scale * 1e-5)


def test_a_row_gives_the_same_bits_alone_and_in_batches(model: AdoptedModel, tmp_path: Path) -> None:
    """In LiteRT with its default delegate, whose tensors are allocated anew for each number of rows."""
    served = Model.open(publish(model, tmp_path).folder, "litert")
    rows = np.resize(model.made.rows, (1000, model.made.rows.shape[1]))
    whole = served.outputs(rows)
    for size in (1, 2, 7):
        batches = [served.outputs(rows[start : start + size]) for start in range(0, 28, size)]
        assert np.array_equal(np.concatenate(batches)[:28], whole[:28])


def test_it_agrees_with_the_users_model(model: AdoptedModel) -> None:
    """With a sample and without one."""
    require_agreement(model.loaded, model.wrapped, model.folder, model.made.rows)
    require_agreement(model.loaded, model.wrapped, model.folder, model.made.rows[:0])


def test_one_signature_takes_the_matrix_and_gives_every_layer(model: AdoptedModel) -> None:
    """The names in the manifest are those of the network's outputs in both files, and exporters accept them."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    names = [layer.name for layer in model.wrapped.layers]
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)
    assert len(set(names)) == len(names)
    interpreter = Interpreter(model_path=str(model.folder / MODEL_LITERT))
    assert list(interpreter.get_signature_list()) == ["serving_default"]
    runner = interpreter.get_signature_runner()
    assert list(runner.get_input_details()) == ["features"]
    assert set(runner.get_output_details()) == set(names)
    saved = tf.saved_model.load(str(model.folder / SAVED_MODEL))
    assert set(saved.signatures["serving_default"].structured_outputs) == set(names)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_chain_of_layers_has_weights_and_others_say_why_not(name: str, adopted: Adopted) -> None:
    """The weights lie beside the network."""
    model = adopted(name)
    assert (model.folder / WEIGHTS).is_file() == (model.wrapped.weights is not None) == (name in CHAINS)
    assert bool(model.wrapped.reason) == (name not in CHAINS)


def test_an_adopted_network_costs_what_the_shipped_one_costs(tmp_path: Path) -> None:
    """The shipped 8-6-6-4, adopted from its .keras file, becomes the same operations with the same results."""
    from ai_edge_litert.interpreter import Interpreter

    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.adoption.wrapping import wrap

    manifest = Manifest.model_validate_json((SHIPPED / "manifest.json").read_bytes())
    loaded = load(SHIPPED / "model.keras")
    export(wrap(loaded, manifest.heads), tmp_path)
    operations, outputs = [], []
    for path in (SHIPPED / MODEL_LITERT, tmp_path / MODEL_LITERT):
        interpreter = Interpreter(model_path=str(path))
        operations.append([each["op_name"] for each in interpreter._get_ops_details()])  # noqa: SLF001
        runner = interpreter.get_signature_runner()
        outputs.append(runner(**{next(iter(runner.get_input_details())): manifest.golden_rows})["probabilities"])
    assert operations[0] == operations[1]
    assert np.array_equal(*outputs)


def test_swapped_inputs_do_not_pass(adopted: Adopted) -> None:
    """Two columns of the same size and the same kind, exchanged in the exported files only."""
    model = adopted("one_input_per_feature")
    swapped = replace(model.loaded, run=lambda values: model.loaded.run([values[1], values[0], *values[2:]]))
    wrapped = replace(model.wrapped, reference=swapped)
    with pytest.raises(AdoptionError, match=r"output segment differs from the model's own by up to \d"):
        require_agreement(swapped, wrapped, model.folder, model.made.rows)


def test_swapped_inputs_do_not_pass_where_a_sample_cannot_tell(adopted: Adopted) -> None:
    """A sample of one row repeated says nothing of the columns, so random rows differ in each."""
    model = adopted("list_of_inputs")
    swapped = replace(model.loaded, run=lambda values: model.loaded.run([values[0][:, ::-1], values[1]]))
    wrapped = replace(model.wrapped, reference=swapped)
    rows = np.ones_like(model.made.rows)
    with pytest.raises(AdoptionError, match="output costs differs"):
        require_agreement(swapped, wrapped, model.folder, rows)


def test_a_small_difference_does_not_pass(adopted: Adopted) -> None:
    """The message names the runtime, the output, the difference and the remedy."""
    model = adopted("logits")
    shifted = replace(model.loaded, run=lambda values: [1.001 * output for output in model.loaded.run(values)])
    with pytest.raises(AdoptionError, match=r"in TensorFlow, output species differs .* report this"):
        require_agreement(shifted, replace(model.wrapped, reference=shifted), model.folder, model.made.rows)


def test_a_tolerance_scales_with_the_output(made: Callable[[str], MadeModel], tmp_path: Path) -> None:
    """A regression on values of 1e6 is right to float32, which is not 1e-5 of 1."""
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.adoption.wrapping import wrap

    loaded = load(made("auto_mpg").path)
    network = loaded.network
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel * 1e5, bias * 1e5])
    wrapped = wrap(loaded, regression_heads(loaded))
    export(wrapped, tmp_path)
    require_agreement(loaded, wrapped, tmp_path, made("auto_mpg").rows)


def test_the_keras_engine_needs_no_litert(made: Callable[[str], MadeModel], tmp_path: Path) -> None:
    """With the engine ``keras`` there is no model.tflite, and only TensorFlow is compared."""
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.adoption.wrapping import wrap

    loaded = load(made("logits").path)
    wrapped = wrap(loaded, made("logits").heads)
    export(wrapped, tmp_path, "keras")
    assert not (tmp_path / MODEL_LITERT).exists()
    require_agreement(loaded, wrapped, tmp_path, made("logits").rows, "keras")
