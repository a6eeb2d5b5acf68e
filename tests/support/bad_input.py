"""Invalid requests to ``POST /predict``, each with the status and the fault that the service must answer."""

import json
from typing import Any, NamedTuple

from support.known_animals import MAINE_COON, named


class BadInput(NamedTuple):
    """A request that is refused with ``status``; for 422, the faults include one with ``code`` at ``field``."""

    description: str
    body: bytes
    status: int
    code: str = ""
    field: str = ""
    content_type: str | None = "application/json"
    more_headers: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """All headers of the request, Content-Type included."""
        return dict(self.more_headers) | ({"Content-Type": self.content_type} if self.content_type else {})


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _named_features(**changes: Any) -> bytes:
    return _json({"features": named(MAINE_COON) | changes})


def _without(name: str) -> bytes:
    return _json({"features": {key: value for key, value in named(MAINE_COON).items() if key != name}})


def _feature_list(*values: Any) -> bytes:
    return _json({"features": values})


def _first_number(value: str) -> bytes:
    """The valid row with ``value`` in place of its first number."""
    return _feature_list(*MAINE_COON).replace(b"6.8", value.encode(), 1)


GOOD = _feature_list(*MAINE_COON)
MASS = "features[0]"

BAD_INPUTS = [
    # not JSON
    BadInput("an empty body", b"", 400),
    BadInput("only whitespace", b"  \n ", 400),
    BadInput("text", b"cat", 400),
    BadInput("a truncated object", GOOD[:-1], 400),
    BadInput("bytes after the object", GOOD + b"x", 400),
    BadInput("two documents", GOOD + GOOD, 400),
    BadInput("a trailing comma", b'{"features": [1, 2, 3, 4, 5, 6, 7, 8,]}', 400),
    BadInput("single quotes", b"{'features': [1]}", 400),
    BadInput("keys without quotes", b"{features: [1]}", 400),
    BadInput("a comment", b"/* a cat */" + GOOD, 400),
    BadInput("a form", b"features=1", 400),
    BadInput("NaN", _first_number("NaN"), 400),
    BadInput("Infinity", _first_number("Infinity"), 400),
    BadInput("-Infinity", _first_number("-Infinity"), 400),
    BadInput("nan", _first_number("nan"), 400),
    BadInput("hexadecimal", _first_number("0x10"), 400),
    BadInput("a leading zero", _first_number("06.8"), 400),
    BadInput("a leading plus", _first_number("+6.8"), 400),
    BadInput("no digit before the point", _first_number(".8"), 400),
    BadInput("no digit after the point", _first_number("6."), 400),
    BadInput("underscores", _first_number("6_8"), 400),
    BadInput("a byte order mark", b"\xef\xbb\xbf" + GOOD, 400),
    BadInput("UTF-16", GOOD.decode().encode("utf-16"), 400),
    BadInput("Latin-1", '{"gewicht größe": 1}'.encode("latin-1"), 400),
    BadInput("a NUL byte", GOOD + b"\x00", 400),
    BadInput("a control character in a string", b'{"fea\ntures": []}', 400),
    BadInput("a lone surrogate in a key", b'{"features": {"\\ud800": 1}}', 400),
    BadInput("a lone surrogate in a value", b'{"features": {"body_mass_kg": "\\udfff"}}', 400),
    BadInput("300 levels of lists", b"[" * 300 + b"]" * 300, 422, "type"),
    BadInput("100,000 levels of lists", b"[" * 100_000 + b"]" * 100_000, 400),
    BadInput("100,000 levels of objects", b'{"a":' * 100_000, 400),
    # JSON, but not a request
    BadInput("a list", b"[]", 422, "type"),
    BadInput("a number", b"6.8", 422, "type"),
    BadInput("a string", b'"cat"', 422, "type"),
    BadInput("null", b"null", 422, "type"),
    BadInput("an empty object", b"{}", 422, "form"),
    BadInput("both forms", _json({"features": MAINE_COON, "instances": [MAINE_COON]}), 422, "form"),
    BadInput("a misspelt form", _json({"feature": MAINE_COON}), 422, "unknown", "feature"),
    BadInput("an unknown key", _json({"features": MAINE_COON, "model": "animals"}), 422, "unknown", "model"),
    BadInput("features null", _json({"features": None}), 422, "type", "features"),
    BadInput("features a number", _json({"features": 6.8}), 422, "type", "features"),
    BadInput("features a string", _json({"features": "6.8"}), 422, "type", "features"),
    # features by name
    BadInput("no features", _json({"features": {}}), 422, "missing", "features.body_mass_kg"),
    BadInput("one missing", _without("ear_length_cm"), 422, "missing", "features.ear_length_cm"),
    BadInput("one unknown", _named_features(colour=1), 422, "unknown", "features.colour"),
    BadInput("a string", _named_features(body_mass_kg="6.8"), 422, "type", "features.body_mass_kg"),
    BadInput("a boolean", _named_features(body_mass_kg=True), 422, "type", "features.body_mass_kg"),
    BadInput("null", _named_features(body_mass_kg=None), 422, "type", "features.body_mass_kg"),
    BadInput("a list", _named_features(body_mass_kg=[6.8]), 422, "type", "features.body_mass_kg"),
    BadInput("an object", _named_features(body_mass_kg={"kg": 6.8}), 422, "type", "features.body_mass_kg"),
    BadInput("below its bound", _named_features(ear_length_cm=-0.1), 422, "out_of_bounds", "features.ear_length_cm"),
    BadInput(
        "above its bound",
        _named_features(body_temperature_c=101.5),
        422,
        "out_of_bounds",
        "features.body_temperature_c",
    ),
    BadInput("a feature twice", _named_features()[:-2] + b', "ear_length_cm": 1}}', 422, "duplicate"),
    BadInput(
        "a feature twice, once escaped", _named_features()[:-2] + b', "\\u0065ar_length_cm": 1}}', 422, "duplicate"
    ),
    BadInput("features twice", GOOD[:-1] + b", " + GOOD[1:], 422, "duplicate", "features"),
    BadInput(
        "100,000 keys, one of them twice",
        b'{"a":1,' + b",".join(b'"%d":1' % i for i in range(100_000)) + b',"a":1}',
        422,
        "duplicate",
        "a",
    ),
    # features as a list
    BadInput("an empty list", _feature_list(), 422, "length", "features"),
    BadInput("one number too few", _feature_list(*MAINE_COON[:7]), 422, "length", "features"),
    BadInput("one number too many", _feature_list(*MAINE_COON, 1.0), 422, "length", "features"),
    BadInput("a string in it", _feature_list("6.8", *MAINE_COON[1:]), 422, "type", MASS),
    BadInput("a boolean in it", _feature_list(False, *MAINE_COON[1:]), 422, "type", MASS),
    BadInput("null in it", _feature_list(None, *MAINE_COON[1:]), 422, "type", MASS),
    BadInput("a list in it", _feature_list(list(MAINE_COON), *MAINE_COON[1:]), 422, "type", MASS),
    BadInput("out of bounds in it", _feature_list(0, *MAINE_COON[1:]), 422, "out_of_bounds", MASS),
    BadInput("overflow to infinity", _first_number("1e999"), 422, "not_finite", MASS),
    BadInput("overflow to minus infinity", _first_number("-1e999"), 422, "not_finite", MASS),
    BadInput("5,000 digits", _first_number("9" * 5000), 422, "not_finite", MASS),
    BadInput("a million digits", _first_number("9" * 1_000_000), 422, "not_finite", MASS),
    BadInput("400 digits", _first_number("9" * 400), 422, "not_finite", MASS),
    # instances
    BadInput("no instances", _json({"instances": []}), 422, "count", "instances"),
    BadInput("both null", _json({"features": None, "instances": None}), 422, "form"),
    BadInput("an unknown key that is null", _json({"features": MAINE_COON, "id": None}), 422, "unknown", "id"),
    BadInput(
        "null and then a list",
        b'{"features": null, "features": [], "instances": [%b]}' % _json(MAINE_COON),
        422,
        "duplicate",
    ),
    BadInput("instances an object", _json({"instances": named(MAINE_COON)}), 422, "type", "instances"),
    BadInput("instances null", _json({"instances": None}), 422, "type", "instances"),
    BadInput("instances a flat list", _json({"instances": MAINE_COON}), 422, "type", "instances[0]"),
    BadInput("an instance within features", _json({"instances": [{"features": MAINE_COON}]}), 422, "missing"),
    BadInput("10,001 instances", _json({"instances": [[1] * 8] * 10_001}), 422, "count", "instances"),
    BadInput("a million empty rows", b'{"instances": [' + b"{}," * 999_999 + b"{}]}", 422, "count", "instances"),
    BadInput("10,000 empty rows", _json({"instances": [{}] * 10_000}), 422, "missing", "instances[0].body_mass_kg"),
    BadInput("a short second row", _json({"instances": [MAINE_COON, [1]]}), 422, "length", "instances[1]"),
    BadInput("a fault in the third row", _json({"instances": [MAINE_COON, MAINE_COON, [0] * 8]}), 422, "out_of_bounds"),
    # not sent as JSON
    BadInput("no content type", GOOD, 415, content_type=None),
    BadInput("text/plain", GOOD, 415, content_type="text/plain"),
    BadInput("a form's content type", GOOD, 415, content_type="application/x-www-form-urlencoded"),
    BadInput("JSON lines", GOOD, 415, content_type="application/jsonl"),
    BadInput("text/json", GOOD, 415, content_type="text/json"),
    BadInput("two content types", GOOD, 415, content_type="application/json; charset=utf-8, text/plain"),
    BadInput("UTF-16, declared", GOOD.decode().encode("utf-16"), 400, content_type="application/json; charset=utf-16"),
    BadInput(
        "UTF-16 without a mark",
        GOOD.decode().encode("utf-16-le"),
        400,
        content_type="application/json; charset=utf-16le",
    ),
    BadInput(
        "Latin-1, declared", '{"größe": 1}'.encode("latin-1"), 400, content_type="application/json; charset=latin-1"
    ),
    BadInput("gzip", GOOD, 415, more_headers=(("Content-Encoding", "gzip"),)),
    # too large
    BadInput("5 MB", b" " * 5_000_000 + GOOD, 413),
]

MIXED: dict[str, Any] = {
    "bill_length": 38.5,
    "body_mass": 4000.0,
    "year": 2008,
    "island": "Dream",
    "sex": "male",
    "colony": "south",
    "ring": 5,
    "is_breeding": True,
    "observer": "observer 3",
}
"""A valid row of `support.mixed_bundles`."""


def _mixed(**changes: Any) -> bytes:
    return _json({"features": MIXED | changes})


def _mixed_without(name: str) -> bytes:
    return _json({"features": {key: value for key, value in MIXED.items() if key != name}})


def _mixed_number(name: str, value: str) -> bytes:
    """The valid row with ``value`` as the JSON of one of its numbers."""
    return _mixed(**{name: 123454321}).replace(b"123454321", value.encode())


MIXED_BAD_INPUTS = [
    # a category with a vocabulary of strings
    BadInput("another case", _mixed(island="dream"), 422, "unknown_category", "features.island"),
    BadInput("an unknown string", _mixed(island="Anvers"), 422, "unknown_category", "features.island"),
    BadInput("an empty string", _mixed(island=""), 422, "unknown_category", "features.island"),
    BadInput("a blank behind it", _mixed(island="Dream "), 422, "unknown_category", "features.island"),
    BadInput("a character without width", _mixed(island="Dream\u200b"), 422, "unknown_category", "features.island"),
    BadInput("quotes and escapes", _mixed(island='"\\\n\t\x7f\u2028'), 422, "unknown_category", "features.island"),
    BadInput("a million characters", _mixed(island="D" * 1_000_000), 422, "unknown_category", "features.island"),
    BadInput("a number for a string", _mixed(island=1), 422, "type", "features.island"),
    BadInput("a boolean for a string", _mixed(island=True), 422, "type", "features.island"),
    BadInput("a list for a string", _mixed(island=["Dream"]), 422, "type", "features.island"),
    BadInput("an object for a string", _mixed(island={"b64": "RHJlYW0="}), 422, "type", "features.island"),
    BadInput("null where a value is required", _mixed(island=None), 422, "type", "features.island"),
    BadInput("a required string missing", _mixed_without("island"), 422, "missing", "features.island"),
    BadInput("a lone surrogate", _mixed(island="\ud800"), 400),
    BadInput("a category twice", _mixed()[:-2] + b', "island": "Dream"}}', 422, "duplicate"),
    BadInput("the same twice in escapes", _mixed()[:-2] + b', "isl\\u0061nd": "Dream"}}', 422, "duplicate"),
    # optional values are as strict where they are there
    BadInput("an optional one unknown", _mixed(sex="Male"), 422, "unknown_category", "features.sex"),
    BadInput("an optional one that is empty", _mixed(sex=""), 422, "unknown_category", "features.sex"),
    BadInput("an optional number as a string", _mixed(body_mass="4000"), 422, "type", "features.body_mass"),
    BadInput("an optional number as a boolean", _mixed(body_mass=True), 422, "type", "features.body_mass"),
    BadInput("an optional number too large", _mixed(body_mass=1e9), 422, "out_of_bounds", "features.body_mass"),
    BadInput(
        "an optional number that overflows",
        _mixed_number("body_mass", "1e400"),
        422,
        "not_finite",
        "features.body_mass",
    ),
    BadInput("a number for an open category", _mixed(colony=1), 422, "type", "features.colony"),
    BadInput("a number to hash", _mixed(observer=3), 422, "type", "features.observer"),
    BadInput("null to hash", _mixed(observer=None), 422, "type", "features.observer"),
    # integers
    BadInput("a fraction", _mixed(year=2007.5), 422, "type", "features.year"),
    BadInput("nearly a whole number", _mixed(year=2007.000001), 422, "type", "features.year"),
    BadInput("an integer as a string", _mixed(year="2007"), 422, "type", "features.year"),
    BadInput("an integer as a boolean", _mixed(year=True), 422, "type", "features.year"),
    BadInput("an integer that is null", _mixed(year=None), 422, "type", "features.year"),
    BadInput("an integer out of bounds", _mixed(year=1999), 422, "out_of_bounds", "features.year"),
    BadInput("an integer of 300 digits", _mixed_number("year", "9" * 300), 422, "out_of_bounds", "features.year"),
    BadInput("an integer of 400 digits", _mixed_number("year", "9" * 400), 422, "not_finite", "features.year"),
    # integer categories
    BadInput("an unknown integer", _mixed(ring=3), 422, "unknown_category", "features.ring"),
    BadInput("a whole float that is unknown", _mixed(ring=3.0), 422, "unknown_category", "features.ring"),
    BadInput("a fraction for a category", _mixed(ring=5.5), 422, "type", "features.ring"),
    BadInput("true for 1", _mixed(ring=True), 422, "type", "features.ring"),
    BadInput("a numeral", _mixed(ring="5"), 422, "type", "features.ring"),
    BadInput("a category of 300 digits", _mixed_number("ring", "9" * 300), 422, "unknown_category", "features.ring"),
    BadInput("a category that overflows", _mixed_number("ring", "1e400"), 422, "type", "features.ring"),
    # truth values
    BadInput("1 for true", _mixed(is_breeding=1), 422, "type", "features.is_breeding"),
    BadInput("0.0 for false", _mixed(is_breeding=0.0), 422, "type", "features.is_breeding"),
    BadInput("true as a string", _mixed(is_breeding="true"), 422, "type", "features.is_breeding"),
    # rows
    BadInput("an unknown name", _mixed(Island="Dream"), 422, "unknown", "features.Island"),
    BadInput("no features", _json({"features": {}}), 422, "missing", "features.year"),
    BadInput("a value too few", _json({"features": [*MIXED.values()][1:]}), 422, "length", "features"),
    BadInput("a fault in a list", _json({"features": [*MIXED.values()][::-1]}), 422, "type", "features[0]"),
    BadInput("a string for a row", _json({"instances": [MIXED, "Dream"]}), 422, "type", "instances[1]"),
    BadInput(
        "a fault in the last of 1,000 rows",
        _json({"instances": [MIXED] * 999 + [MIXED | {"sex": "M"}]}),
        422,
        "unknown_category",
        "instances[999].sex",
    ),
    BadInput(
        "10,000 unknown strings",
        _json({"instances": [MIXED | {"island": f"Dream {number}"} for number in range(10_000)]}),
        422,
        "unknown_category",
        "instances[0].island",
    ),
]
"""Invalid requests to a model of `support.mixed_bundles`."""
