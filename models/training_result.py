"""What a training run leaves: the network, how good it was on held-out groups, and how it came about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.dataset import Floats, Integers, Sample
from models.encoding import Encoder, encode
from models.evaluate import Scores
from models.feature import Feature


@dataclass(frozen=True)
class RoundLosses:
    """The training loss of each epoch, of each candidate and then of the selected one's last round."""

    candidates: tuple[tuple[float, ...], ...]
    selected: int
    last_round: tuple[float, ...]


@dataclass(frozen=True)
class HeldOutLosses:
    """The log loss on held-out rows of each candidate after each number of ``steps``, and what was selected.

    ``selected`` is None if that is ``logistic``, the logistic regression, which is None if it was no candidate.
    """

    steps: tuple[int, ...]
    candidates: tuple[tuple[float, ...], ...]
    selected: int | None
    selected_steps: int
    logistic: float | None


@dataclass(frozen=True)
class TrainingResult:
    """The selected network and the sample that it was last fitted to.

    ``validation`` are the scores of the selected candidate on ``validation_groups``, before it was fitted to them.
    ``settings`` are those that the manifest records. ``encoders`` make the input of ``network`` from the codes of the
    ``features``; without any, the codes are its input.
    """

    network: Any
    sample: Sample
    validation: Scores
    validation_groups: Integers
    losses: RoundLosses | HeldOutLosses
    settings: Mapping[str, Any]
    features: tuple[Feature, ...] = ()
    encoders: tuple[Encoder, ...] = ()

    def encode(self, rows: Floats) -> Floats:
        """The network's input for rows of codes [n, features]."""
        return encode(self.encoders, self.features, rows)

    def classify(self, rows: Floats, *, training: bool = False) -> Any:
        """The probabilities [n, labels] for rows of codes, as calling the network gives them for its input."""
        return self.network(self.encode(rows), training=training)
