"""BentoML: one service, one worker, its own pydantic validation."""

from typing import Any

import bentoml
from classifier import Classifier
from pydantic import BaseModel, create_model

fields: dict[str, Any] = dict.fromkeys(Classifier().names, (float, ...))
Features = create_model("Features", **fields)


class Prediction(BaseModel):
    label: str
    confidence: float
    probabilities: dict[str, float]


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Animals:
    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api
    async def predict(self, features: Features) -> Prediction:  # type: ignore[valid-type]
        return Prediction(**self.classifier.classify(features.model_dump()))  # type: ignore[attr-defined]
