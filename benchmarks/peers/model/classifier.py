"""The classifier that every peer serves: the shipped network in LiteRT on one thread."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class Classifier:
    """The bundle in the folder ``BENCH_BUNDLE`` (environment); not thread-safe.

    It reads only the probabilities, by tensor index: the fastest way that LiteRT's Python interface offers.
    """

    def __init__(self) -> None:
        folder = Path(os.environ["BENCH_BUNDLE"])
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.names: list[str] = [feature["name"] for feature in manifest["features"]]
        self.labels: list[str] = manifest["labels"]
        self._interpreter = Interpreter(str(folder / "model.tflite"), num_threads=1)
        self._interpreter.allocate_tensors()
        runner = self._interpreter.get_signature_runner()
        self._input = next(iter(runner.get_input_details().values()))["index"]
        self._output = runner.get_output_details()[manifest["layers"][-1]["name"]]["index"]

    def predict_probabilities(
        self, row: np.ndarray[Any, np.dtype[np.float32]]
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The probability of each label, [1, labels], for one row, [1, features]."""
        self._interpreter.set_tensor(self._input, row)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)  # type: ignore[no-any-return]

    def classify(self, features: Mapping[str, float]) -> dict[str, Any]:
        """Label and probabilities of one row as a JSON document."""
        row = np.array([[features[name] for name in self.names]], np.float32)
        probabilities = self.predict_probabilities(row)[0].tolist()
        best = max(probabilities)
        return {
            "label": self.labels[probabilities.index(best)],
            "confidence": best,
            "probabilities": dict(zip(self.labels, probabilities, strict=True)),
        }
