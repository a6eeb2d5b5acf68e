"""The network in Triton's Python backend."""

import os
import sys
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

sys.path.append(os.environ["PYTHONPATH"])  # which the stub does not read
from classifier import Classifier


class TritonPythonModel:
    def initialize(self, _: dict[str, str]) -> None:
        self.classifier = Classifier()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._classify(request) for request in requests]

    def _classify(self, request: Any) -> Any:
        probabilities = self.classifier.predict_probabilities(
            pb.get_input_tensor_by_name(request, "features").as_numpy()
        )
        label = np.array([self.classifier.labels[probabilities.argmax()].encode()], np.object_)
        return pb.InferenceResponse([pb.Tensor("label", label), pb.Tensor("probabilities", probabilities)])
