"""TensorFlow and Keras, set up before their import: on the CPU, repeatable, and silent."""

import os

# TensorFlow reads these when it is imported. oneDNN may sum in a different order from run to run.
os.environ.update(
    TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="-1", KERAS_BACKEND="tensorflow"
)

import keras
import tensorflow as tf

__all__ = ["keras", "tf"]
