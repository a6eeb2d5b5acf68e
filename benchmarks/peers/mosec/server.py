"""mosec: its Rust front, one Python worker, JSON as its worker reads and writes it unless told otherwise."""

import os
from typing import Any

from classifier import Classifier
from mosec import Server, Worker


class Animals(Worker):
    def __init__(self) -> None:
        self.classifier = Classifier()

    def forward(self, data: dict[str, Any]) -> dict[str, Any]:
        return self.classifier.classify(data["features"])


if __name__ == "__main__":
    server = Server()
    server.append_worker(Animals, num=int(os.environ["BENCH_WORKERS"]))
    server.run()
