"""Which columns of a sample a user's model takes, and which have the right answers."""

import pytest

from models.adoption.columns import (
    BY_NAME,
    BY_OPTION,
    BY_SAMPLE,
    NUMBERED,
    assign_labels,
    assign_names,
    order_columns,
)
from models.adoption.errors import AdoptionError
from models.signature import Input

MATRIX = [Input(name="input_1", width=3)]
NAMED = [Input(name="tenure", width=1), Input(name="age", width=1)]
ODD = [Input(name="sepal_length_cm", width=1), Input(name="Größe", width=1)]
TWO = [Input(name="person", width=1), Input(name="house", width=2)]


@pytest.mark.parametrize(
    ("inputs", "candidates", "chosen", "names", "reason"),
    [
        (MATRIX, ["b", "a", "c"], (), ("b", "a", "c"), BY_SAMPLE),
        (MATRIX, ["b", "a", "c", "id"], ("a", "b", "c"), ("a", "b", "c"), BY_OPTION),
        (MATRIX, None, (), ("feature_1", "feature_2", "feature_3"), NUMBERED),
        (MATRIX, None, ("x", "y", "z"), ("x", "y", "z"), BY_OPTION),
        (NAMED, ["age", "id", "tenure"], (), ("tenure", "age"), BY_NAME),
        (NAMED, ["Age", "Tenure"], (), ("Tenure", "Age"), BY_NAME),
        (NAMED, ["x", "y"], (), ("x", "y"), BY_SAMPLE),
        (NAMED, ["age", "tenure"], ("age", "tenure"), ("age", "tenure"), BY_OPTION),
        (NAMED, None, (), ("tenure", "age"), BY_NAME),
        (ODD, ["Größe", "sepal length (cm)"], (), ("sepal length (cm)", "Größe"), BY_NAME),
        (TWO, ["a", "b", "c"], (), ("a", "b", "c"), BY_SAMPLE),
        (TWO, None, (), ("person", "house_1", "house_2"), NUMBERED),
    ],
)
def test_the_order_of_columns(
    inputs: list[Input], candidates: list[str] | None, chosen: tuple[str, ...], names: tuple[str, ...], reason: str
) -> None:
    assert order_columns(inputs, candidates, chosen) == (names, reason)


@pytest.mark.parametrize(
    ("inputs", "candidates", "chosen", "message"),
    [
        (MATRIX, ["a", "b"], (), "takes 3 columns (input_1: 3), but the sample has 2 (a, b): name those that it takes"),
        (MATRIX, ["a", "b", "c", "d"], (), "but the sample has 4 (a, b, c, d)"),
        (MATRIX, ["a", "b", "c"], ("a", "b"), "but --columns names 2 (a, b): name as many as the model takes"),
        (MATRIX, ["a", "b", "c"], ("a", "b", "x"), "has no column 'x' beside the labels: use a, b, c"),
        (MATRIX, None, ("a", "b", "a"), "--columns names a twice"),
        (NAMED, ["age", "income"], (), "takes tenure, but the sample has no such column; it has age, income"),
        (NAMED, ["age", "AGE", "Tenure!", "tenure"], ("age",), "takes 2 columns (tenure, age), but --columns names 1"),
    ],
)
def test_columns_that_do_not_fit(
    inputs: list[Input], candidates: list[str] | None, chosen: tuple[str, ...], message: str
) -> None:
    with pytest.raises(AdoptionError) as refused:
        order_columns(inputs, candidates, chosen)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("given", "outputs", "assigned"),
    [
        (["y"], ["out"], {"out": ["y"]}),
        (["a,b", "c"], ["out"], {"out": ["a", "b", "c"]}),
        (["b, c"], ["out"], {"out": ["b, c"]}),  # a column's own name
        (["price=y", "tags=a,b"], ["price", "tags"], {"price": ["y"], "tags": ["a", "b"]}),
        (["tags", "y=1"], ["tags", "y=1"], {"tags": ["tags"], "y=1": ["y=1"]}),  # by their names
        (["y=1"], ["y"], {"y": ["y=1"]}),
        ([], ["out"], {}),
    ],
)
def test_right_answers_by_output(given: list[str], outputs: list[str], assigned: dict[str, list[str]]) -> None:
    assert assign_labels(given, outputs, ["y", "a", "b", "c", "b, c", "tags", "y=1"]) == assigned


@pytest.mark.parametrize(
    ("given", "outputs", "message"),
    [
        (["z"], ["out"], "no column 'z': set --label to one of y, a"),
        (["y", "y"], ["out"], "--label names 'y' twice"),
        (["y"], ["price", "tags"], "say which one 'y' belongs to, for example --label price=y"),
        (["other=y"], ["price", "tags"], "no column 'other=y'"),
    ],
)
def test_right_answers_that_do_not_fit(given: list[str], outputs: list[str], message: str) -> None:
    with pytest.raises(AdoptionError) as refused:
        assign_labels(given, outputs, ["y", "a"])
    assert message in str(refused.value)


def test_names_of_labels() -> None:
    """In quotes where they have commas; of each output."""
    assert assign_names(['a,"b, c"'], ["out"], "--labels") == {"out": ["a", "b, c"]}
    assert assign_names(["x=a,b", "y=c"], ["x", "y"], "--labels") == {"x": ["a", "b"], "y": ["c"]}
    for text, message in {"a,,b": "empty name", "a,a": "one twice", "": "empty name"}.items():
        with pytest.raises(AdoptionError, match=message):
            assign_names([text], ["out"], "--labels")
    with pytest.raises(AdoptionError, match="for example --targets x=a,b"):
        assign_names(["a,b"], ["x", "y"], "--targets")
