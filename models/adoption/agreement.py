"""Compares the exported files with the user's own model, output by output."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from models.adoption.agreement_rows import plausible_rows, random_raw, random_rows
from models.adoption.cut_network import EncodedModel
from models.adoption.errors import AdoptionError
from models.adoption.head_columns import convert
from models.adoption.loaded_model import Doubles, Floats, LoadedModel
from models.adoption.quietness import without_output
from models.adoption.wrapping import WrappedNetwork
from models.bundle import MODEL_LITERT, SAVED_MODEL
from models.encoding import encode
from models.feature import Feature
from models.golden import GOLDEN_TOLERANCE
from models.tensorflow_setup import tf

BATCH_SIZES = (1, 2, 7)  # and all rows
_MAX_SAMPLE_ROWS = 1000
_RANDOM_RAW_ROWS = 500
_HALF_TOLERANCE = 0.05  # bfloat16 has 8 bits, so a few layers are off by a few percent
_Run = Callable[[Floats], Mapping[str, Floats]]


def require_agreement(
    loaded: LoadedModel, wrapped: WrappedNetwork, folder: Path, rows: Floats, engine: str = "litert"
) -> None:
    """Check that the files in ``folder`` give what the user's model gives, in batches of 1, 2, 7 and all rows.

    ``rows`` [n, features] are a sample, of which 1000 are compared, or none; random ones that differ in every column
    are added. The tolerance is that of golden rows.

    Raises:
        AdoptionError: they differ, or the user's model itself does not give the same numbers twice or gives others
            than finite ones for the sample.
    """
    reference = wrapped.reference
    sample = np.ascontiguousarray(rows[:_MAX_SAMPLE_ROWS], np.float32).reshape(-1, loaded.feature_count)
    if len(sample):
        _require_finite(_expect(wrapped, sample))
    sample = np.concatenate([sample, *_select_random(wrapped, sample)])
    if not len(sample):
        raise AdoptionError(
            "the model gives no finite numbers for random rows, so the exported files cannot be compared with it: "
            "pass rows that it can take with --sample"
        )
    expected = _expect(wrapped, sample)
    _require_repeatable(reference, sample)
    if reference is not loaded:
        _require_similar(loaded, reference, sample)
    _compare_files(folder, engine, sample, expected)


def require_encoded_agreement(
    wrapped: WrappedNetwork,
    encoded: EncodedModel,
    folder: Path,
    raw: Sequence[NDArray[Any]],
    engine: str = "litert",
) -> None:
    """As `require_agreement`, for a model that looks categories up, on raw values: the user's model gets these itself.

    ``raw`` [features][n] are the sample's values, None where one is missing.

    Raises:
        AdoptionError: an encoder differs from the user's layers, or the network behind the encoders from theirs.
    """
    loaded = encoded.source
    features, columns = loaded.features, loaded.cut.columns
    codes = _to_codes(features, raw) if len(raw) else np.empty((0, len(features)), np.float32)
    chosen = np.linspace(0, len(codes) - 1, min(len(codes), _MAX_SAMPLE_ROWS)).astype(np.intp)
    rows = [
        [*(raw[i][chosen].tolist() if len(raw) else ()), *values]
        for i, values in enumerate(random_raw(loaded, codes, _RANDOM_RAW_ROWS))
    ]
    values = [column.to_raw(own) for column, own in zip(columns, rows, strict=True)]
    codes = _to_codes(features, rows)
    matrix = encode(encoded.encoders, features, codes)
    if feature := encoded.find_different_feature(values, matrix):
        raise AdoptionError(
            f"the encoder of {feature} gives other numbers than the model's own layers for it: report this, and adopt "
            "the part of the model behind these layers"
        )
    own = loaded.predict_raw(values)
    is_finite = np.all([np.isfinite(each).all(axis=1) for each in own.values()], axis=0)
    is_finite[: len(chosen)] = True
    own = {name: each[is_finite] for name, each in own.items()}
    matrix = matrix[is_finite]
    _require_repeatable(loaded, codes[is_finite])
    if wrapped.reference is not encoded.network:
        _require_similar(encoded.network, wrapped.reference, matrix)
        own = wrapped.reference.predict(matrix)
    expected = _arrange(wrapped, own)
    _require_finite({name: each[: len(chosen)] for name, each in expected.items()})
    _compare_files(folder, engine, matrix, expected)


def _to_codes(features: Sequence[Feature], columns: Sequence[Sequence[Any] | NDArray[Any]]) -> Floats:
    """The codes [n, features] of the raw values of each feature."""
    parts = []
    for feature, values in zip(features, columns, strict=True):
        listed = [*values]
        known = {value: feature.to_code(value) for value in set(listed)}
        parts.append([known[value] for value in listed])
    return np.array(parts, np.float32).T


def _compare_files(folder: Path, engine: str, rows: Floats, expected: Mapping[str, Doubles]) -> None:
    """Run the exported files in batches of several sizes."""
    with without_output():
        for runtime, run in _open(folder, engine):
            for size in (*BATCH_SIZES, len(rows)):
                part = np.ascontiguousarray(rows[:size])
                _compare(runtime, run(part), {name: values[:size] for name, values in expected.items()})


def _expect(wrapped: WrappedNetwork, rows: Floats) -> dict[str, Doubles]:
    """What the heads' layers and the last layer should give, from the user's own model, by layer name."""
    return _arrange(wrapped, wrapped.reference.predict(rows))


def _arrange(wrapped: WrappedNetwork, results: Mapping[str, Doubles]) -> dict[str, Doubles]:
    """What the heads' layers and the last layer should give, from the outputs of the user's model."""
    raw = {head.layer: results[head.name] for head in wrapped.heads}
    served = [convert(column.conversion, results[column.output.name]) for column in wrapped.columns]
    return {**raw, wrapped.layers[-1].name: np.concatenate(served, axis=1)}


def _require_finite(expected: Mapping[str, Doubles]) -> None:
    for name, values in expected.items():
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            raise AdoptionError(
                f"the model gives no finite number for row {int(bad.argmax()) + 1} of the sample in {name}: "
                "check the columns' order and units, or leave such rows out"
            )


def _select_random(wrapped: WrappedNetwork, sample: Floats) -> Iterator[Floats]:
    """Random rows that the model can take and gives finite numbers for; one that looks values up takes only some."""
    for make in (random_rows, plausible_rows):
        rows = make(wrapped.reference, sample)
        with suppress(AdoptionError):
            yield rows[np.all([np.isfinite(values).all(axis=1) for values in _expect(wrapped, rows).values()], axis=0)]


def _require_repeatable(loaded: LoadedModel, rows: Floats) -> None:
    first, second = loaded.predict(rows), loaded.predict(rows)
    for name, values in first.items():
        if not np.array_equal(values, second[name], equal_nan=True):
            raise AdoptionError(
                f"output {name} of the model differs from one run to the next, so it draws random numbers when it "
                "predicts: remove training=True from the calls of its layers, and save it again"
            )


def _require_similar(loaded: LoadedModel, reference: LoadedModel, rows: Floats) -> None:
    """Check that a model in float32 gives what the user's model gives with 16 bits, as far as those go."""
    own = loaded.predict(rows)
    for name, values in reference.predict(rows).items():
        difference = float(np.abs(values - own[name]).max())
        if not difference <= _HALF_TOLERANCE * max(1.0, float(np.abs(values).max())):
            raise AdoptionError(
                f"in float32, output {name} differs by up to {difference:.3g} from what the model gives in half "
                "precision: build it in float32, copy its weights with set_weights and save it again"
            )


def _open(folder: Path, engine: str) -> Iterator[tuple[str, _Run]]:
    saved = tf.saved_model.load(str(folder / SAVED_MODEL))
    signature = saved.signatures["serving_default"]
    yield (
        "TensorFlow",
        lambda rows: {name: values.numpy() for name, values in signature(tf.constant(rows)).items()},
    )
    if engine == "litert":
        yield "LiteRT", _litert((folder / MODEL_LITERT).read_bytes())


def _litert(content: bytes) -> _Run:
    """One interpreter with LiteRT's default delegate, as the service has it."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()
    return lambda rows: runner(**{name: rows})


def _compare(runtime: str, actual: Mapping[str, Floats], expected: Mapping[str, Doubles]) -> None:
    for name, values in expected.items():
        given: Any = np.asarray(actual[name], np.float64)
        scale = max(1.0, float(np.abs(values).max(initial=0)))
        is_same_shape = given.shape == values.shape
        if is_same_shape and np.allclose(given, values, rtol=GOLDEN_TOLERANCE, atol=scale * GOLDEN_TOLERANCE):
            continue
        how = f"by up to {np.abs(given - values).max():.3g}" if is_same_shape else "in shape"
        raise AdoptionError(
            f"in {runtime}, output {name} differs from the model's own {how} "
            f"({len(values)} rows at once, values up to {scale:.3g}): adopt it with --engine keras, or report this"
        )
