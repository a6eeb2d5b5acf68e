"""What an output of a user's model means: from its activation, the options and the sample's right answers."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.adoption.errors import AdoptionError
from models.adoption.heads import DecidedHead, HeadOptions, Output, OutputEvidence, decide_heads, sigmoid, softmax
from models.adoption.sample import LabelColumn

RNG = np.random.default_rng(0)
ROWS = 300
LOGIT = RNG.normal(0, 3, (ROWS, 1))
LOGITS = RNG.normal(0, 3, (ROWS, 3))
IS_SECOND = (LOGIT[:, 0] > 0).astype(int)
BEST = LOGITS.argmax(axis=1)


def answers(values: Any, name: str = "y") -> LabelColumn:
    """A column of the sample with these values."""
    texts, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
    array = np.asarray(values)
    is_numeric = np.issubdtype(array.dtype, np.number)
    return LabelColumn(name, tuple(texts.tolist()), codes, array.astype(np.float64) if is_numeric else None)


def decide(
    activation: str | None, raw: NDArray[np.float64], *columns: LabelColumn, **options: Any
) -> tuple[DecidedHead, list[str]]:
    """The head of an output, and the notes."""
    notes: list[str] = []
    output = Output("out", raw.shape[1], activation)
    (decided,) = decide_heads([OutputEvidence(output, columns, raw, HeadOptions(**options), notes.append)])
    return decided, notes


NAMED = np.array(["red", "green", "blue"])  # in the order of the units, which is not that of the alphabet
SORTED = np.array(["blue", "green", "red"])
NO_YES = answers(np.array(["no", "yes"])[IS_SECOND])
NEARLY_FLAGS = IS_SECOND[:, None] + RNG.normal(0, 0.1, (ROWS, 1))  # what a regression on flags predicts
POSITIVE = [answers((LOGITS[:, i] > 0).astype(int), f"y{i}") for i in range(3)]
FLAGS = [answers(RNG.integers(0, 2, ROWS), name) for name in ("warm", "wet", "windy")]

HEADS = [
    # activation, output, right answers, options; kind, labels or targets, whether the output is logits
    ("softmax", softmax(LOGITS), [], {}, "classification", ("0", "1", "2"), False),
    ("softmax", softmax(LOGITS), [answers(BEST)], {}, "classification", ("0", "1", "2"), False),
    ("softmax", softmax(LOGITS), [answers(BEST + 1)], {}, "classification", ("1", "2", "3"), False),
    ("softmax", softmax(LOGITS), [answers(SORTED[BEST])], {}, "classification", ("blue", "green", "red"), False),
    ("softmax", softmax(LOGITS), [answers(BEST)], {"labels": [*NAMED]}, "classification", tuple(NAMED), False),
    ("softmax", softmax(LOGITS), [answers(NAMED[BEST])], {"labels": [*NAMED]}, "classification", tuple(NAMED), False),
    ("sparsemax", softmax(LOGITS), [], {}, "classification", ("0", "1", "2"), False),
    ("sigmoid", sigmoid(LOGIT), [], {}, "classification", ("0", "1"), False),
    ("sigmoid", sigmoid(LOGIT), [answers(IS_SECOND)], {"threshold": 0.3}, "classification", ("0", "1"), False),
    ("sigmoid", sigmoid(LOGIT), [NO_YES], {}, "classification", ("no", "yes"), False),
    ("sigmoid", sigmoid(LOGIT), [answers(RNG.uniform(0, 1, ROWS))], {}, "regression", ("y",), False),
    ("sigmoid", sigmoid(LOGITS), [], {}, "multi_label", ("0", "1", "2"), False),
    ("sigmoid", sigmoid(LOGITS), FLAGS, {"threshold": 0.3}, "multi_label", ("warm", "wet", "windy"), False),
    ("sigmoid", sigmoid(LOGITS), FLAGS, {"labels": ["a", "b", "c"]}, "multi_label", ("a", "b", "c"), False),
    ("linear", LOGIT, [], {}, "regression", ("out",), False),
    ("linear", LOGIT, [answers(LOGIT[:, 0] * 3)], {}, "regression", ("y",), False),
    ("linear", LOGIT, [answers(IS_SECOND)], {}, "classification", ("0", "1"), True),
    ("linear", NEARLY_FLAGS, [answers(IS_SECOND)], {}, "regression", ("y",), False),
    ("linear", LOGIT, [NO_YES], {}, "classification", ("no", "yes"), True),
    ("linear", LOGIT, [], {"from_logits": True}, "classification", ("0", "1"), True),
    ("linear", LOGITS, [], {"from_logits": True}, "classification", ("0", "1", "2"), True),
    ("linear", LOGITS, [], {"labels": [*NAMED]}, "classification", tuple(NAMED), True),
    ("linear", LOGITS, [answers(BEST)], {}, "classification", ("0", "1", "2"), True),
    ("linear", LOGITS, [], {"targets": ["a", "b", "c"]}, "regression", ("a", "b", "c"), False),
    ("linear", LOGITS, [answers(LOGITS[:, i], f"y{i}") for i in range(3)], {}, "regression", ("y0", "y1", "y2"), False),
    ("linear", LOGITS, POSITIVE, {}, "multi_label", ("y0", "y1", "y2"), True),
    ("log_softmax", np.log(softmax(LOGITS)), [], {}, "classification", ("0", "1", "2"), True),
    ("relu", np.abs(LOGITS), [], {}, "regression", ("out_1", "out_2", "out_3"), False),
    ("softplus", np.abs(LOGIT), [answers(LOGIT[:, 0])], {}, "regression", ("y",), False),
    (None, softmax(LOGITS), [], {}, "classification", ("0", "1", "2"), False),
    (None, sigmoid(LOGITS), [], {}, "multi_label", ("0", "1", "2"), False),
    (None, sigmoid(LOGIT), [], {}, "classification", ("0", "1"), False),
    (None, LOGIT, [], {}, "regression", ("out",), False),
    (None, LOGITS, [answers(BEST)], {}, "classification", ("0", "1", "2"), True),
]  # fmt: skip


@pytest.mark.parametrize(("activation", "raw", "columns", "options", "kind", "names", "has_logits"), HEADS)
def test_what_an_output_means(  # noqa: PLR0913, PLR0917 (the table's columns)
    activation: str | None,
    raw: NDArray[np.float64],
    columns: list[LabelColumn],
    options: dict[str, Any],
    kind: str,
    names: tuple[str, ...],
    has_logits: bool,
) -> None:
    """And its columns are probabilities, or values as they are."""
    decided, _ = decide(activation, raw, *columns, **options)
    assert (decided.head.kind, decided.head.column_names) == (kind, names)
    assert decided.head.threshold == options.get("threshold")
    assert (decided.truth is not None) == bool(columns)
    served = decided.to_columns(raw)
    if kind == "regression":
        assert np.array_equal(served, raw)
    else:
        own = (softmax(raw) if raw.shape[1] > 1 and kind == "classification" else sigmoid(raw)) if has_logits else raw
        np.testing.assert_allclose(served[:, -1], own[:, -1])
        assert served.shape == (ROWS, len(names))
        assert kind == "multi_label" or np.allclose(served.sum(axis=1), 1)


REFUSED = [
    ("softmax", np.ones((ROWS, 1)), [], {}, "is softmax of a single unit, which is 1 for every row"),
    ("softmax", softmax(LOGITS), [answers(NAMED[BEST])], {}, "with --labels red,green,blue: name them in the order"),
    ("softmax", softmax(RNG.normal(0, 1, (ROWS, 3))), [answers(NAMED[BEST])], {}, "hardly more than otherwise"),
    ("softmax", softmax(LOGITS), [answers(BEST % 2 + 7)], {}, "has 2 labels (7 and 8), but the model tells 3 apart"),
    ("softmax", softmax(LOGITS), [answers(NAMED[BEST])], {"labels": ["a", "b", "c"]}, "(blue, green and red)"),
    ("softmax", softmax(LOGITS), [], {"labels": ["a", "b"]}, "--labels names 2 labels, but output out has 3 units"),
    ("softmax", softmax(LOGITS), [], {"threshold": 0.3}, "a classification with more labels: leave it out"),
    ("softmax", softmax(LOGITS), [], {"from_logits": True}, "ends in softmax, so it gives no logits"),
    ("softmax", softmax(LOGITS), FLAGS, {}, "so its labels are in one column, but --label names warm, wet, windy"),
    ("sigmoid", sigmoid(LOGIT), [answers(BEST)], {}, "has 3 labels (0, 1 and 2), but the model tells 2 apart"),
    ("sigmoid", sigmoid(LOGIT), [], {"labels": ["a"]}, "has one unit, for two labels: name 2"),
    ("sigmoid", sigmoid(LOGITS), FLAGS[:1], {}, "name a column of 0 and 1 for each"),
    ("sigmoid", sigmoid(LOGITS), FLAGS[:2], {}, "has 3 units, but --label names 2 (warm, wet)"),
    ("sigmoid", sigmoid(LOGITS), [*FLAGS[:2], answers(BEST)], {}, "'y' has other values than 0 and 1 ('0', '1'"),
    ("linear", LOGITS, [], {}, "can be logits or quantities: add --from-logits, or name the quantities with --targets"),
    ("linear", LOGITS, [answers(LOGIT[:, 0])], {}, "'y' has quantities, but output out has 3 units"),
    ("linear", LOGIT, [answers(NAMED[BEST])], {}, "so it predicts a quantity, but 'y' is text"),
    ("linear", LOGIT, [], {"threshold": 0.3}, "but the model is a regression: leave it out"),
    ("linear", LOGIT, [], {"targets": ["a", "b"]}, "has 1 unit, but --targets names 2 (a, b)"),
    ("linear", LOGIT, [], {"targets": ["a"], "labels": ["b", "c"]}, "cannot be quantities and labels"),
    ("relu", LOGITS, [], {"labels": ["a", "b", "c"]}, "ends in relu, which gives neither probabilities nor logits"),
    ("tanh", LOGIT, [answers(NAMED[BEST])], {}, "ends in tanh, so it predicts a quantity, but 'y' is text"),
]  # fmt: skip


@pytest.mark.parametrize(("activation", "raw", "columns", "options", "message"), REFUSED)
def test_what_does_not_fit_is_refused(
    activation: str, raw: NDArray[np.float64], columns: list[LabelColumn], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(AdoptionError) as refused:
        decide(activation, raw, *columns, **options)
    assert message in str(refused.value)


def test_guesses_are_noted() -> None:
    """What an activation is, that an output is logits, and the order of labels."""
    _, notes = decide(None, softmax(LOGITS), answers(SORTED[BEST]))
    assert notes == [
        "output out: taken for softmax, because its units sum to 1",
        "labels in sorted order, with which 100% of the sample's predictions are right: blue, green and red",
    ]
    _, notes = decide("linear", LOGITS, answers(BEST))
    assert notes == ["output out: its linear layer gives logits, because 'y' has classes"]


def test_options_that_name_no_output_count_for_those_that_they_fit() -> None:
    """A threshold for what has two labels or independent ones, logits for what is linear."""
    options = HeadOptions(threshold=0.3, from_logits=True)
    named = HeadOptions(targets=["price"], threshold=0.3, from_logits=True)
    decided = decide_heads(
        [
            OutputEvidence(Output("kind", 3, "softmax"), [], softmax(LOGITS), options, lambda _: None),
            OutputEvidence(Output("class", 3, "linear"), [], LOGITS, options, lambda _: None),
            OutputEvidence(Output("churned", 1, "sigmoid"), [], sigmoid(LOGIT), options, lambda _: None),
            OutputEvidence(Output("price", 1, "linear"), [], LOGIT, named, lambda _: None),
        ]
    )
    assert [each.head.kind for each in decided] == [*["classification"] * 3, "regression"]
    assert [each.head.threshold for each in decided] == [None, None, 0.3, None]
