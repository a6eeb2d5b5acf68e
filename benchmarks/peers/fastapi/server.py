"""FastAPI with its own pydantic validation."""

from typing import Annotated, Any

from classifier import Classifier
from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model

classifier = Classifier()
Number = Annotated[float, Field(allow_inf_nan=False)]
fields: dict[str, Any] = dict.fromkeys(classifier.names, (Number, ...))
Features = create_model("Features", **fields)


class PredictionRequest(BaseModel):
    features: Features  # type: ignore[valid-type]


class Prediction(BaseModel):
    label: str
    confidence: float
    probabilities: dict[str, float]


app = FastAPI()


@app.post("/predict")
async def predict(body: PredictionRequest) -> Prediction:
    """On the event loop: a thread for 3 us of work would cost more than the work."""
    return Prediction(**classifier.classify(body.features.model_dump()))  # type: ignore[attr-defined]
