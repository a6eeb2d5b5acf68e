"""LitServe: one API worker, no batching."""

import os
import sys
from typing import Any

from classifier import Classifier
from litserve import LitAPI, LitServer


class Animals(LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe calls it so)
        self.classifier = Classifier()

    def decode_request(self, request: dict[str, Any]) -> dict[str, float]:
        return request["features"]  # type: ignore[no-any-return]

    def predict(self, features: dict[str, float]) -> dict[str, Any]:
        return self.classifier.classify(features)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = LitServer(Animals(), accelerator="cpu", workers_per_device=int(os.environ["BENCH_WORKERS"]))
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning", access_log=False
    )
