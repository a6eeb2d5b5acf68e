"""Engines that run a network: LiteRT for serving, Keras as the reference."""

import tempfile
import threading
from collections.abc import Callable, Collection, Iterable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from models.bundle import MODEL_KERAS, MODEL_LITERT, NETWORK, SAVED_MODEL, Bundle, BundleError
from models.installation import install_command
from service.arrays import Array
from service.http.errors import StartupError
from service.inference.encoding import EncodedEngine
from service.inference.engine_protocol import Engine

_MAX_ROWS = 1024  # that an interpreter has at a time: of a small network, 150 kB


def load(name: str, bundle: Bundle) -> Engine:
    """Load a bundle's network into the engine of that name, ``litert`` or ``keras``.

    Raises:
        BundleError: the network's file does not match the manifest.
        StartupError: the engine is not installed or cannot read the network.
    """
    if name == "litert" and MODEL_LITERT not in bundle.manifest.files and bundle.manifest.format > 1:
        raise StartupError(
            f"{bundle.folder} was adopted for the Keras engine only: set MENAGERIE_ENGINE=keras, or adopt it again "
            "without --engine keras"
        )
    engine: Engine = KerasEngine(bundle) if name == "keras" else LiteRTEngine(bundle)
    return EncodedEngine(engine, bundle.manifest) if bundle.manifest.encoders else engine


class LiteRTEngine:
    """The network in LiteRT, without TensorFlow; 3 us a row.

    An interpreter may be used by one thread at a time, so each thread has its own: two, 100 kB each for a small
    network, one for single rows and one for batches, because another number of rows means to allocate all tensors
    anew. LiteRT's default delegate, XNNPACK, gives a row the same bits in a batch of any size; LiteRT's own kernels do
    not. So many rows are run in parts: an interpreter never gives its tensors' memory back, and there is one for every
    model and thread.
    """

    def __init__(self, bundle: Bundle) -> None:
        try:
            self._local = _Networks(bundle.read_bytes(MODEL_LITERT))
            self.layers: Collection[str] = tuple(self._local.row.outputs)
        except BundleError:
            raise
        except Exception as error:  # a broken file can raise nearly anything
            reason = " ".join(str(error).split())[:200]
            raise StartupError(
                f"LiteRT cannot read {bundle.folder / MODEL_LITERT} ({reason}): train the model again"
            ) from error

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        network = self._local.row if len(rows) == 1 else self._local.batch
        return network.run(rows, layers)

    def run_row(self, rows: Array, layer: str) -> Array:
        return self._local.row.run_row(rows, layer)


class _Networks(threading.local):
    """A thread's two interpreters of a network."""

    def __init__(self, content: bytes) -> None:
        self.row, self.batch = _Network(content), _Network(content)


class _Network:
    """One interpreter; ``outputs`` has the tensor of each layer."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        runner = self._interpreter.get_signature_runner()
        self._input = next(iter(runner.get_input_details().values()))["index"]
        self.outputs = {name: detail["index"] for name, detail in runner.get_output_details().items()}
        self._rows = 0

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        """The outputs of the layers for ``rows``, as `Engine.run` has them."""
        if len(rows) > _MAX_ROWS:
            return self._run_in_parts(rows, layers)
        self._invoke(rows)
        return {name: self._interpreter.get_tensor(self.outputs[name]) for name in layers}

    def _run_in_parts(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        """All parts are of one size, so the last one begins where it overlaps the one before."""
        count = len(rows)
        size = ceil(count / ceil(count / _MAX_ROWS))
        views = {name: self._interpreter.tensor(self.outputs[name]) for name in layers}
        outputs: dict[str, Array] = {}
        for start in [*range(0, count - size, size), count - size]:
            self._invoke(rows[start : start + size])
            for name, view in views.items():
                if name not in outputs:
                    outputs[name] = np.empty((count, *view().shape[1:]), view().dtype)
                outputs[name][start : start + size] = view()
        return outputs

    def _invoke(self, rows: Array) -> None:
        if self._rows != len(rows):
            self._interpreter.resize_tensor_input(self._input, rows.shape)
            self._interpreter.allocate_tensors()
            self._rows = len(rows)
        self._interpreter.set_tensor(self._input, rows)
        self._interpreter.invoke()

    def run_row(self, rows: Array, layer: str) -> Array:
        """The output of one layer for one row, as `Engine.run_row` has it; there were never several rows.

        What the interpreter wraps is called directly: its own checks would take a fifth of the time.
        """
        if not self._rows:
            return self.run(rows, (layer,))[layer]
        wrapped = self._interpreter._interpreter  # noqa: SLF001 (there is no public name)
        wrapped.SetTensor(self._input, rows)
        wrapped.Invoke()
        output: Array = wrapped.GetTensor(self.outputs[layer], 0)
        return output


class KerasEngine:
    """The network in TensorFlow, from Keras' file or a SavedModel: the reference for LiteRT's results."""

    layers: Collection[str]
    _run: Any

    def __init__(self, bundle: Bundle) -> None:
        try:
            import keras
            import tensorflow as tf
        except ImportError:
            raise StartupError(
                f"MENAGERIE_ENGINE=keras needs TensorFlow: run `{install_command('keras')}`, or use litert"
            ) from None
        with tempfile.TemporaryDirectory() as folder:
            if f"{SAVED_MODEL}/saved_model.pb" in bundle.manifest.files:
                self._run, self.layers = _load_saved_model(bundle, Path(folder))
                return
            path = _write_verified(bundle, MODEL_KERAS, Path(folder))
            model = keras.saving.load_model(path, compile=False)
        if bundle.manifest.encoders:  # the model takes raw values, its network what the encoders give
            model = model.get_layer(NETWORK)
        self.layers = [layer.name for layer in model.layers]
        layers = keras.Model(model.inputs, {name: model.get_layer(name).output for name in self.layers})
        signature = [tf.TensorSpec((None, len(bundle.manifest.network_inputs)), tf.float32)]
        self._run = tf.function(lambda rows: layers(rows, training=False), input_signature=signature)

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        outputs = self._run(rows)
        return {name: outputs[name].numpy() for name in layers}

    def run_row(self, rows: Array, layer: str) -> Array:
        return self.run(rows, (layer,))[layer]


def _load_saved_model(bundle: Bundle, folder: Path) -> tuple[Callable[[Array], Any], Collection[str]]:
    """The function that computes all layers of a SavedModel by name, and their names."""
    import tensorflow as tf

    names = [name for name in bundle.manifest.files if name.startswith(f"{SAVED_MODEL}/")]
    for name in names:
        _write_verified(bundle, name, folder)
    loaded = tf.saved_model.load(str(folder / SAVED_MODEL))
    signature = loaded.signatures["serving_default"]
    (input_name,) = signature.structured_input_signature[1]

    def run(rows: Array) -> Any:
        # The signature has only a weak reference to what it was loaded with.
        return loaded.signatures["serving_default"](**{input_name: tf.constant(rows)})

    return run, tuple(signature.structured_outputs)


def _write_verified(bundle: Bundle, name: str, folder: Path) -> Path:
    """Write the bytes of a bundle's file that were verified: what is loaded is what was verified."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bundle.read_bytes(name))
    return path
