"""Features: which raw values they accept, and the code of each."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from models.feature import Feature, Hashing, UnknownCategoryError, to_codes

HASHES = {  # of TensorFlow: to_hash_bucket_fast, and to_hash_bucket_strong with the key (133, 137), in 99,991 bins
    "": (74004, 56661),
    "a": (68000, 66565),
    "abc": (15544, 22631),
    "Biscoe": (95797, 12023),
    "twelve bytes": (62557, 26728),
    "sixteen bytes 16": (89818, 36366),
    "twenty-one bytes here": (12792, 33904),
    "a text of thirty-three bytes, ok!": (36730, 72205),
    "x" * 64: (78218, 49237),
    "x" * 65: (87720, 82080),
    "Straße " * 20: (46674, 63667),
    "y" * 200: (33457, 93280),
}
NUMBER = {"name": "f", "minimum": 0, "maximum": 9}
CATEGORY = {"name": "f", "kind": "category", "minimum": None, "maximum": None}
TEXT = CATEGORY | {"categories": ("a", "b")}


def make(**fields: Any) -> Feature:
    return Feature(**fields)


@pytest.mark.parametrize(
    ("fields", "value", "code"),
    [
        (NUMBER, 2.5, 2.5),
        (NUMBER, 3, 3.0),
        (NUMBER | {"allow_missing": True}, None, math.nan),
        (NUMBER | {"default": 4}, None, 4.0),
        (NUMBER | {"kind": "integer"}, 3.0, 3.0),
        (TEXT, "b", 1.0),
        (TEXT | {"allow_other": True}, "c", 2.0),
        (TEXT | {"allow_other": True, "default": "unseen"}, None, 2.0),
        (TEXT | {"allow_missing": True}, None, math.nan),
        (TEXT | {"default": "b"}, None, 1.0),
        (CATEGORY | {"categories": (5, 7)}, 7, 1.0),
        (CATEGORY | {"categories": (5, 7)}, 7.0, 1.0),
        (CATEGORY | {"categories": (2**60, 2**60 + 1)}, 2**60 + 1, 1.0),
        (CATEGORY | {"categories": (False, True)}, True, 1.0),
        (CATEGORY | {"hashing": Hashing(bins=1)}, "any", 0.0),
        (CATEGORY | {"hashing": Hashing(bins=1, type="integer")}, 12.0, 0.0),
    ],
)
def test_valid_values_have_a_code(fields: dict[str, Any], value: Any, code: float) -> None:
    actual = make(**fields).to_code(value)
    assert actual == code or (math.isnan(actual) and math.isnan(code))


@pytest.mark.parametrize(
    ("fields", "value", "error"),
    [
        (NUMBER, "2", TypeError),
        (NUMBER, True, TypeError),
        (NUMBER, None, TypeError),
        (NUMBER | {"kind": "integer"}, 2.5, TypeError),
        (NUMBER | {"kind": "integer"}, math.inf, TypeError),
        (TEXT, "c", UnknownCategoryError),
        (TEXT, "A", UnknownCategoryError),
        (TEXT, 1, TypeError),
        (TEXT, True, TypeError),
        (TEXT, None, TypeError),
        (TEXT, ["a"], TypeError),
        (TEXT | {"allow_other": True}, 1, TypeError),
        (CATEGORY | {"categories": (0, 1)}, True, TypeError),
        (CATEGORY | {"categories": (0, 1)}, "1", TypeError),
        (CATEGORY | {"categories": (0, 1)}, 0.5, TypeError),
        (CATEGORY | {"categories": (0, 1)}, 2, UnknownCategoryError),
        (CATEGORY | {"categories": (False, True)}, 1, TypeError),
        (CATEGORY | {"categories": (True,)}, False, UnknownCategoryError),
        (CATEGORY | {"hashing": Hashing(bins=3)}, 1, TypeError),
        (CATEGORY | {"hashing": Hashing(bins=3, type="integer")}, 0.5, TypeError),
    ],
)
def test_invalid_values_have_none(fields: dict[str, Any], value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(**fields).to_code(value)


@pytest.mark.parametrize(
    "fields",
    [
        NUMBER | {"categories": ("a",)},
        NUMBER | {"allow_other": True},
        NUMBER | {"minimum": None},
        NUMBER | {"maximum": 0},
        NUMBER | {"default": 10},
        NUMBER | {"default": "a"},
        NUMBER | {"default": 10**400},
        NUMBER | {"kind": "integer", "default": -(10**400)},
        NUMBER | {"default": 1, "allow_missing": True},
        NUMBER | {"kind": "text"},
        TEXT | {"minimum": 0, "maximum": 1},
        TEXT | {"categories": ()},
        TEXT | {"categories": ("a", "a")},
        TEXT | {"categories": ("a", 1)},
        CATEGORY | {"categories": (5, 2**63)},
        CATEGORY | {"categories": (-(2**63) - 1, 5)},
        TEXT | {"categories": (0, False)},
        TEXT | {"categories": (0.5, 1.5)},
        TEXT | {"categories": ("a", None)},
        TEXT | {"default": "c"},
        TEXT | {"default": 1},
        TEXT | {"hashing": Hashing(bins=3)},
        CATEGORY | {"hashing": Hashing(bins=3), "allow_other": True},
        CATEGORY | {"hashing": {"bins": 0}},
    ],
)
def test_inconsistent_features_are_invalid(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make(**fields)


def test_a_larger_default_than_json_writers_take_is_a_float() -> None:
    default = make(name="f", minimum=None, maximum=None, default=10**20).default
    assert (type(default), default) == (float, 1e20)


def test_codes_lead_back_to_values() -> None:
    features = [
        make(**TEXT | {"allow_missing": True}),
        make(**CATEGORY | {"categories": (5, 7)}),
        make(**NUMBER | {"kind": "integer"}),
        make(**NUMBER),
    ]
    rows = [("b", 5, 3, 2.5), (None, 7, 4, 0.5)]

    codes = to_codes(features, rows)

    assert [tuple(map(Feature.from_code, features, row)) for row in codes.tolist()] == rows


@pytest.mark.parametrize(("code", "kind"), [(2.0**62, int), (2.0**63, float), (-(2.0**63), float), (1e30, float)])
def test_integers_that_json_writers_do_not_take_are_floats(code: float, kind: type) -> None:
    value = make(name="f", kind="integer", minimum=None, maximum=None).from_code(code)

    assert (type(value), value) == (kind, code)


def test_several_values_have_no_way_back() -> None:
    other, hashed = make(**TEXT | {"allow_other": True}), make(**CATEGORY | {"hashing": Hashing(bins=3)})

    assert other.from_code(2) is None
    assert hashed.from_code(1) is None
    assert [other.describe_code(2), hashed.describe_code(1), other.describe_code(math.nan)] == [
        "(other)",
        "(bin 1)",
        "(missing)",
    ]


def test_a_copy_forgets_the_old_vocabulary() -> None:
    feature = make(**TEXT | {"default": "a"})
    feature.to_code(None)

    copied = feature.model_copy(update={"categories": ("b", "a")})

    assert (copied.to_code("b"), copied.to_code(None)) == (0.0, 1.0)


@pytest.mark.parametrize("text", HASHES)
def test_hashes_are_those_of_tensorflow(text: str) -> None:
    fast, strong = HASHES[text]
    features = [make(**CATEGORY | {"hashing": Hashing(bins=99_991, salt=salt)}) for salt in (None, (133, 137))]
    assert [feature.to_code(text) for feature in features] == [fast, strong]
