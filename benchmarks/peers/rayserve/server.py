"""Ray Serve: one replica behind its proxy, all on one core."""

import signal
import sys
from typing import Any

import ray
from classifier import Classifier
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.requests import Request


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0})
class Animals:
    def __init__(self) -> None:
        self.classifier = Classifier()

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self.classifier.classify((await request.json())["features"])


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[2])
    serve.start(
        http_options=HTTPOptions(host="127.0.0.1", port=int(sys.argv[1])), logging_config={"enable_access_log": False}
    )
    serve.run(Animals.bind(), route_prefix="/predict")
    signal.pause()
