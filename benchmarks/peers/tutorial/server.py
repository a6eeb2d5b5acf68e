"""The usual tutorial: a Flask route that calls `model.predict` of Keras."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from flask import Flask, request

NAMES = os.environ["BENCH_FEATURES"].split(",")
LABELS = os.environ["BENCH_LABELS"].split(",")
model = keras.models.load_model(Path(os.environ["BENCH_BUNDLE"]) / "model.keras")
app = Flask(__name__)


@app.post("/predict")
def predict() -> dict[str, Any]:
    features = request.get_json()["features"]
    probabilities = model.predict(np.array([[features[name] for name in NAMES]]), verbose=0)[0]
    return {
        "label": LABELS[int(probabilities.argmax())],
        "confidence": float(probabilities.max()),
        "probabilities": dict(zip(LABELS, probabilities.tolist(), strict=True)),
    }
