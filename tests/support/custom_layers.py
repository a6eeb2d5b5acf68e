"""Classes of a user's own, which a model's file only names: ``--custom support.custom_layers:Gate``."""

from typing import Any

from models.tensorflow_setup import keras


@keras.saving.register_keras_serializable(package="churn")
class Gate(keras.layers.Layer):  # type: ignore[misc]
    """Weighs each column by a learned share."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.share = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, values: Any) -> Any:
        return values * keras.ops.sigmoid(self.share)


class Residual(keras.Model):  # type: ignore[misc]
    """A subclassed model, as Keras' guide writes one, that is not registered."""

    def __init__(self, units: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.first = keras.layers.Dense(units, "relu")
        self.second = keras.layers.Dense(units, "relu")
        self.last = keras.layers.Dense(3, "softmax")

    def call(self, rows: Any) -> Any:
        hidden = self.first(rows)
        return self.last(hidden + self.second(hidden))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Uncertain(keras.Model):  # type: ignore[misc]
    """A model that draws random numbers when it predicts, as Monte Carlo dropout does."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout = keras.layers.Dropout(0.5)
        self.last = keras.layers.Dense(1)

    def call(self, rows: Any) -> Any:
        return self.last(self.dropout(rows, training=True))


@keras.saving.register_keras_serializable("support")
class Words(keras.Model):  # type: ignore[misc]
    """A class of the user's own that looks words up."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.lookup = keras.layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot", name="lookup")
        self.dense = keras.layers.Dense(1, "sigmoid")

    def call(self, words: Any) -> Any:
        return self.dense(self.lookup(words))
