"""What each output of a model means, decided from its activation, the options and the sample's right answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.adoption.errors import AdoptionError
from models.adoption.label_order import LabelOrder, order_labels
from models.adoption.sample import LabelColumn
from models.dataset import Doubles
from models.signature import Head, Target
from models.tables.findings import count, list_some

SUM_TO_ONE = {"softmax", "sparsemax"}  # activations whose units are the probabilities of labels
INDEPENDENT = {"sigmoid", "hard_sigmoid"}  # whose units are probabilities of their own
LOGITS = {"linear", "log_softmax"}  # whose units may be logits
_SUM_TOLERANCE = 1e-3


class Output(NamedTuple):
    """An output of the model; ``activation`` is Keras' name, None if it cannot be told."""

    name: str
    width: int
    activation: str | None


@dataclass(frozen=True)
class HeadOptions:
    """What the command line says of one output, and the unit of each target by name."""

    labels: Sequence[str] = ()
    targets: Sequence[str] = ()
    threshold: float | None = None
    from_logits: bool = False
    unit_of: Callable[[str], str] = field(default=lambda _: "")


@dataclass(frozen=True)
class DecidedHead:
    """A head without its layer; ``activation`` is the output's as far as it could be told, ``linear`` for logits.

    ``truth`` has the right answers, if the sample has them: for a classification the label's index [rows], for
    multi-label 0 or 1 [rows, labels], for a regression the value [rows, targets].
    """

    head: Head
    activation: str
    truth: NDArray[Any] | None

    def to_columns(self, raw: Doubles) -> Doubles:
        """The head's columns [rows, columns] from the output [rows, width] as the model gives it."""
        if self.head.kind == "regression":
            return raw
        has_logits = self.activation == "linear"
        if self.head.kind == "classification" and raw.shape[1] > 1:
            return softmax(raw) if has_logits else raw
        probabilities = sigmoid(raw) if has_logits else raw
        if self.head.kind == "multi_label":
            return probabilities
        return np.concatenate([1 - probabilities, probabilities], axis=1)


@dataclass(frozen=True)
class OutputEvidence:
    """What is known of an output.

    ``answers`` are the sample's columns with the right answers, ``raw`` [rows, width] is what the output gives for the
    sample's rows, or for random ones if there is no sample. ``note`` gets a sentence for everything that was guessed.
    """

    output: Output
    answers: Sequence[LabelColumn]
    raw: Doubles
    options: HeadOptions
    note: Callable[[str], None]

    def decide(self) -> DecidedHead:
        """Decide what the output means.

        Raises:
            AdoptionError: it cannot be told, or the answers or options do not fit the output.
        """
        activation = self.output.activation or self._recognize()
        kind, has_logits = self._choose_kind(activation)
        known = "linear" if has_logits else activation
        if kind == "regression":
            return self._build_regression(known)
        return self._build_multi_label(known) if kind == "multi_label" else self._build_classification(known)

    def _recognize(self) -> str:
        """The activation of an output that does not say it, from what it gives."""
        raw, width = self.raw, self.output.width
        if self.options.from_logits:
            return "linear"
        is_share = bool(((raw >= 0) & (raw <= 1)).all())
        if is_share and width > 1 and bool((np.abs(raw.sum(axis=1) - 1) < _SUM_TOLERANCE).all()):
            found, why = "softmax", "its units sum to 1"
        elif is_share:
            found, why = "sigmoid", "its values lie between 0 and 1"
        else:
            found, why = "linear", "its values are no probabilities"
        self.note(f"output {self.output.name}: taken for {found}, because {why}")
        return found

    def _choose_kind(self, activation: str) -> tuple[str, bool]:
        """The kind of head, and whether the output is logits."""
        if self.options.targets:
            if self.options.from_logits or self.options.labels:
                raise AdoptionError(f"output {self.output.name} cannot be quantities and labels: leave out --targets")
            return "regression", False
        if activation in LOGITS:
            return self._choose_kind_of_linear()
        if self.options.from_logits:
            raise AdoptionError(
                f"output {self.output.name} ends in {activation}, so it gives no logits: leave out --from-logits"
            )
        if activation in SUM_TO_ONE:
            return self._choose_kind_of_softmax(activation)
        if activation in INDEPENDENT:
            return self._choose_kind_of_sigmoid()
        if self.options.labels:
            raise AdoptionError(
                f"output {self.output.name} ends in {activation}, which gives neither probabilities nor logits: leave "
                "out --labels, or end the model in softmax, sigmoid or a linear layer"
            )
        return "regression", False

    def _choose_kind_of_softmax(self, activation: str) -> tuple[str, bool]:
        if self.output.width == 1:
            raise AdoptionError(
                f"output {self.output.name} is {activation} of a single unit, which is 1 for every row: use sigmoid, "
                "train the model again and adopt that"
            )
        return "classification", False

    def _choose_kind_of_sigmoid(self) -> tuple[str, bool]:
        if self.output.width > 1:
            return "multi_label", False
        answers = self.answers
        if len(answers) == 1 and _is_share(answers[0]) and not self.options.labels:
            self.note(
                f"output {self.output.name}: a regression, because {answers[0].name!r} has values between 0 and 1"
            )
            return "regression", False
        return "classification", False

    def _choose_kind_of_linear(self) -> tuple[str, bool]:
        output, answers = self.output, self.answers
        classes = "classification" if output.width == 1 or len(answers) <= 1 else "multi_label"
        if self.options.from_logits or self.options.labels:
            return classes, True
        if answers and not self._has_classes():
            return "regression", False
        if answers:
            columns = ", ".join(repr(answer.name) for answer in answers)
            self.note(f"output {output.name}: its linear layer gives logits, because {columns} has classes")
            return classes, True
        if output.activation == "log_softmax":
            return classes, True
        if output.width > 1:
            raise AdoptionError(
                f"output {output.name} has {output.width} linear units, which can be logits or quantities: add "
                "--from-logits, or name the quantities with --targets, or add --sample with --label"
            )
        return "regression", False

    def _has_classes(self) -> bool:
        """Whether the answers of a linear output are classes, so that it gives logits."""
        answers, output = self.answers, self.output
        if len(answers) == 1 and output.width > 1:
            if answers[0].numbers is not None and not answers[0].has_whole_numbers:
                raise AdoptionError(
                    f"{answers[0].name!r} has quantities, but output {output.name} has {output.width} units: give one "
                    "--label for each, or the right one"
                )
            return True
        if not all(answer.is_flag for answer in answers):
            return output.width == 1 and answers[0].numbers is None and len(answers[0].texts) <= 2  # noqa: PLR2004 (labels)
        if len(answers) != output.width:
            return True
        flags = _stack(answers)  # logits are nearer to them after a sigmoid, predicted flags as they are
        return bool(np.square(sigmoid(self.raw) - flags).mean() < np.square(self.raw - flags).mean())

    def _build_regression(self, activation: str) -> DecidedHead:
        output, answers, options = self.output, self.answers, self.options
        self._require_one_for_each_unit("--label", [answer.name for answer in answers])
        self._require_one_for_each_unit("--targets", options.targets)
        for answer in answers:
            if answer.numbers is None:
                raise AdoptionError(
                    f"output {output.name} ends in {activation}, so it predicts a quantity, but {answer.name!r} is "
                    f"text ({list_some(map(repr, answer.texts))}): choose another --label"
                )
        names = [*options.targets] or [answer.name for answer in answers] or _number_targets(output)
        targets = tuple(Target(name=name, unit=options.unit_of(name)) for name in names)
        head = Head(name=output.name, kind="regression", layer="", targets=targets)
        return DecidedHead(head, activation, _stack(answers) if answers else None)

    def _build_multi_label(self, activation: str) -> DecidedHead:
        output, answers, labels = self.output, self.answers, self.options.labels
        if len(answers) == 1:
            raise AdoptionError(
                f"output {output.name} has {output.width} independent probabilities, but --label names one column "
                f"({answers[0].name!r}): name a column of 0 and 1 for each"
            )
        self._require_one_for_each_unit("--label", [answer.name for answer in answers])
        self._require_one_for_each_unit("--labels", labels)
        for answer in answers:
            if not answer.is_flag:
                raise AdoptionError(
                    f"output {output.name} has independent probabilities, but {answer.name!r} has other values than 0 "
                    f"and 1 ({list_some(map(repr, answer.texts))}): choose another --label"
                )
        names = [*labels] or [answer.name for answer in answers] or [*map(str, range(output.width))]
        head = self._build_head("multi_label", names, self.options.threshold)
        return DecidedHead(head, activation, _stack(answers).astype(np.intp) if answers else None)

    def _build_classification(self, activation: str) -> DecidedHead:
        output, answers, labels = self.output, self.answers, self.options.labels
        width = max(2, output.width)
        if labels and len(labels) != width:
            what = "one unit, for two labels" if output.width == 1 else count(output.width, "unit")
            raise AdoptionError(
                f"--labels names {count(len(labels), 'label')}, but output {output.name} has {what}: name {width}"
            )
        if len(answers) > 1:
            raise AdoptionError(
                f"output {output.name} is a classification, so its labels are in one column, but --label names "
                f"{', '.join(answer.name for answer in answers)}: name one"
            )
        order = LabelOrder(tuple(labels) or tuple(map(str, range(width))), None)
        if answers:
            unlabelled = DecidedHead(self._build_head("classification", order.labels, None), activation, None)
            order = order_labels(answers[0], width, labels, unlabelled.to_columns(self.raw), self.note)
        threshold = self.options.threshold if width == 2 else None  # noqa: PLR2004 (only of two labels)
        return DecidedHead(self._build_head("classification", order.labels, threshold), activation, order.indices)

    def _build_head(self, kind: Any, labels: Sequence[str], threshold: float | None) -> Head:
        return Head(name=self.output.name, kind=kind, layer="", labels=tuple(labels), threshold=threshold)

    def _require_one_for_each_unit(self, option: str, names: Sequence[str]) -> None:
        if names and len(names) != self.output.width:
            raise AdoptionError(
                f"output {self.output.name} has {count(self.output.width, 'unit')}, but {option} names {len(names)} "
                f"({', '.join(names)}): name one for each"
            )


def decide_heads(evidence: Sequence[OutputEvidence]) -> list[DecidedHead]:
    """Decide what each output means. Options that do not name an output count for those that they fit.

    Raises:
        AdoptionError: as `OutputEvidence.decide`, or an option fits none of the outputs.
    """
    if any(_may_be_logits(each.output) for each in evidence):
        evidence = [
            each
            if _may_be_logits(each.output) and not each.options.targets
            else replace(each, options=replace(each.options, from_logits=False))
            for each in evidence
        ]
    decided = [each.decide() for each in evidence]
    if evidence[0].options.threshold is not None and not any(each.head.threshold for each in decided):
        kinds = " and ".join(sorted({each.head.kind for each in decided}))
        raise AdoptionError(
            f"--threshold is for two labels or for independent ones, but the model is a {kinds}"
            f"{' with more labels' if kinds == 'classification' else ''}: leave it out"
        )
    return decided


def softmax(logits: Doubles) -> Doubles:
    """Probabilities [rows, labels] from logits of the same shape."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def sigmoid(logits: Doubles) -> Doubles:
    """The probability for each logit."""
    probabilities: Doubles = 0.5 * (1 + np.tanh(0.5 * logits))
    return probabilities


def _may_be_logits(output: Output) -> bool:
    return output.activation is None or output.activation in LOGITS


def _is_share(answer: LabelColumn) -> bool:
    """Whether a column has a quantity from 0 to 1 rather than two classes."""
    numbers = answer.numbers
    return numbers is not None and len(answer.texts) > 2 and bool(((numbers >= 0) & (numbers <= 1)).all())  # noqa: PLR2004 (classes)


def _stack(answers: Sequence[LabelColumn]) -> Doubles:
    """The numbers of columns [rows, columns]."""
    return np.column_stack([answer.numbers for answer in answers if answer.numbers is not None])


def _number_targets(output: Output) -> list[str]:
    if output.width == 1:
        return [output.name]
    return [f"{output.name}_{number}" for number in range(1, output.width + 1)]
