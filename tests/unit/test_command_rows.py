"""Rows on the command line: FEATURE=VALUE, JSON and CSV, each value as its feature wants it."""

from typing import Any

import pytest
from support import mixed_bundles

from menagerie.errors import CommandError
from menagerie.rows import Line, parse_row, read_csv, read_schema

SCHEMA = read_schema({"features": [each.model_dump(mode="json") for each in mixed_bundles.FEATURES]})
PLAIN = read_schema({"features": [{"name": name, "minimum": 0, "maximum": 9} for name in ("a", "b")]})


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("bill_length=40", 40),
        ("bill_length=+4.5e1", 45.0),
        ("bill_length=.5", 0.5),
        ("bill_length=", None),
        ("bill_length=long", "long"),
        ("bill_length=1e999", "1e999"),
        ("bill_length=nan", "nan"),
        ("bill_length=1_000", "1_000"),
        ("bill_length=12345678901234567890123", 12345678901234567890123.0),
        ("year=2009", 2009),
        ("year=2009.5", 2009.5),
        ("island=Biscoe", "Biscoe"),
        ("island= Biscoe", " Biscoe"),
        ("island=", None),
        ("colony=a = b", "a = b"),
        ("colony=NA", "NA"),
        ("ring=5", 5),
        ("ring=five", "five"),
        ("is_breeding=True", True),
        ("is_breeding=false", False),
        ("is_breeding=1", "1"),
        ("observer=17", "17"),
        ("unheard_of=17", 17),
    ],
)
def test_value_becomes_what_its_feature_takes(word: str, value: Any) -> None:
    """What is no valid value stays as it is: the service says what is wrong with it."""
    row = parse_row([word], SCHEMA)
    assert row == {word.partition("=")[0]: value}
    assert type(row.popitem()[1]) is type(value)


def test_hashed_integers_are_integers() -> None:
    schema = read_schema({"features": [{"name": "zip", "kind": "category", "hashing": {"bins": 4, "type": "integer"}}]})
    assert parse_row(["zip=8001"], schema) == {"zip": 8001}


@pytest.mark.parametrize(("word", "row"), [('{"a": 1, "b": null}', {"a": 1, "b": None}), (" [1, 2.5]", [1, 2.5])])
def test_row_can_be_json(word: str, row: Any) -> None:
    assert parse_row([word], PLAIN) == row


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["a=1", "b"], "'b' is neither FEATURE=VALUE nor a row in JSON"),
        (["a=1", "a=2"], "a is given twice"),
        (["{a: 1}"], "the row is not JSON"),
        (["[1, 2"], "the row is not JSON"),
        (["[1]", "[2]"], r"'\[1\]' is neither"),
    ],
)
def test_row_that_is_neither_is_refused(words: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        parse_row(words, PLAIN)


def test_csv_has_a_row_for_each_line() -> None:
    """Blank lines and other columns do not count; NA is a missing value where it is no category."""
    text = [
        "island, note,bill_length,sex,is_breeding\n",
        "Dream,x,40,NA,TRUE\n",
        "\n",
        '"Biscoe","a\n',
        'b",41.5,male,0\n',
    ]
    assert list(read_csv(text, SCHEMA)) == [
        Line(2, {"island": "Dream", "bill_length": 40, "sex": None, "is_breeding": True}),
        Line(5, {"island": "Biscoe", "bill_length": 41.5, "sex": "male", "is_breeding": "0"}),
    ]


@pytest.mark.parametrize("description", [{}, [], None, {"features": [1]}, {"features": [{}]}, "features"])
def test_description_of_something_else_is_refused(description: Any) -> None:
    with pytest.raises(CommandError, match="lists no features"):
        read_schema(description)


def test_category_that_looks_like_a_gap_is_a_category() -> None:
    schema = read_schema({"features": [{"name": "country", "kind": "category", "categories": ["NA", "CH"]}]})
    assert [line.row for line in read_csv(["country\n", "NA\n", "CH\n"], schema)] == [
        {"country": "NA"},
        {"country": "CH"},
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1\n", "line 2 has 1 values, the header has 2"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 values, the header has 2"),
        ('a,b\n"1,2\n', "the table is no CSV"),
        ("a,b,a\n1,2,3\n", "the header has a more than once"),
    ],
)
def test_csv_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        list(read_csv(text.splitlines(keepends=True), PLAIN))
