"""What computes the network: rows in, every layer's outputs out. Two engines, one interface."""

import tempfile
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from models.bundle import MODEL_KERAS, MODEL_LITERT, Bundle
from service.http.errors import StartupError

Array = NDArray[np.float32]


class Engine(Protocol):
    """Safe to call from any thread."""

    layers: Collection[str]  # the names of those whose outputs can be had

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        """The outputs of these layers, [rows, units] by name, for ``rows`` of shape [rows, features]."""


def load(name: str, bundle: Bundle) -> Engine:
    """The engine of that name over a bundle's network.

    Raises:
        BundleError: the network's file is not what the manifest vouches for.
        StartupError: the engine is not installed or cannot read the network.
    """
    return KerasEngine(bundle) if name == "keras" else LiteRTEngine(bundle)


class LiteRTEngine:
    """The exported network in LiteRT: no TensorFlow, 5 us a row.

    An interpreter belongs to one thread at a time, so every thread gets its own: 100 kB for a network of this size.
    XNNPACK, which LiteRT uses unless told otherwise, gives a row the same bits in a batch of any size; LiteRT's own
    kernels do not.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._network = bundle.read_bytes(MODEL_LITERT)
        self._own = threading.local()
        try:
            self.layers: Collection[str] = tuple(self._interpreter().outputs)
        except Exception as error:  # a broken file makes it raise nearly anything
            reason = " ".join(str(error).split())[:200]
            raise StartupError(f"LiteRT cannot read {bundle.folder / MODEL_LITERT} ({reason}): train again") from error

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        own = self._own if hasattr(self._own, "interpreter") else self._interpreter()
        if own.rows != len(rows):
            own.interpreter.resize_tensor_input(own.input, rows.shape)
            own.interpreter.allocate_tensors()
            own.rows = len(rows)
        own.interpreter.set_tensor(own.input, rows)
        own.interpreter.invoke()
        return {name: own.interpreter.get_tensor(own.outputs[name]) for name in layers}

    def _interpreter(self) -> threading.local:
        interpreter = Interpreter(model_content=self._network, num_threads=1)
        runner = interpreter.get_signature_runner()
        self._own.input = next(iter(runner.get_input_details().values()))["index"]
        self._own.outputs = {name: detail["index"] for name, detail in runner.get_output_details().items()}
        self._own.rows = 0
        self._own.interpreter = interpreter
        return self._own


class KerasEngine:
    """The network as Keras saved it, in TensorFlow: the reference that LiteRT is held against."""

    def __init__(self, bundle: Bundle) -> None:
        try:
            import keras
            import tensorflow as tf
        except ImportError:
            raise StartupError(
                "MENAGERIE_ENGINE=keras needs TensorFlow: `pip install -r requirements/train.txt`, or use litert"
            ) from None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / MODEL_KERAS
            path.write_bytes(bundle.read_bytes(MODEL_KERAS))  # what was verified is what is loaded
            model = keras.saving.load_model(path, compile=False)
        self.layers: Collection[str] = [layer.name for layer in model.layers]
        outputs = {name: model.get_layer(name).output for name in self.layers}
        layers = keras.Model(model.inputs, outputs)
        signature = [tf.TensorSpec((None, len(bundle.manifest.features)), tf.float32)]
        self._run: Any = tf.function(lambda rows: layers(rows, training=False), input_signature=signature)

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        outputs = self._run(rows)
        return {name: outputs[name].numpy() for name in layers}
