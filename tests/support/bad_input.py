"""What is wrong with a ``POST /predict`` and what it gets: one row a fault, sent in process and through gunicorn."""

import json
from typing import Any, NamedTuple

from support.known_animals import MAINE_COON, named


class Bad(NamedTuple):
    """A body or request that is refused with ``status``; for 422 the first fault is of ``code`` at ``field``."""

    what: str
    body: bytes
    status: int
    code: str = ""
    field: str = ""
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _features(**changes: Any) -> bytes:
    return _json({"features": named(MAINE_COON) | changes})


def _without(name: str) -> bytes:
    return _json({"features": {key: value for key, value in named(MAINE_COON).items() if key != name}})


def _listed(*values: Any) -> bytes:
    return _json({"features": values})


def _raw(value: str) -> bytes:
    """The good row with its first number spelt as given."""
    return _listed(*MAINE_COON).replace(b"6.8", value.encode(), 1)


GOOD = _listed(*MAINE_COON)
MASS = "features[0]"

BODIES = [
    # not JSON
    Bad("an empty body", b"", 400),
    Bad("blanks", b"  \n ", 400),
    Bad("text", b"cat", 400),
    Bad("an object cut off", GOOD[:-1], 400),
    Bad("bytes behind the object", GOOD + b"x", 400),
    Bad("two documents", GOOD + GOOD, 400),
    Bad("a trailing comma", b'{"features": [1, 2, 3, 4, 5, 6, 7, 8,]}', 400),
    Bad("single quotes", b"{'features': [1]}", 400),
    Bad("keys without quotes", b"{features: [1]}", 400),
    Bad("a comment", b"/* a cat */" + GOOD, 400),
    Bad("a form", b"features=1", 400),
    Bad("NaN", _raw("NaN"), 400),
    Bad("Infinity", _raw("Infinity"), 400),
    Bad("-Infinity", _raw("-Infinity"), 400),
    Bad("nan", _raw("nan"), 400),
    Bad("hexadecimal", _raw("0x10"), 400),
    Bad("a leading zero", _raw("06.8"), 400),
    Bad("a leading plus", _raw("+6.8"), 400),
    Bad("no digit before the point", _raw(".8"), 400),
    Bad("no digit behind the point", _raw("6."), 400),
    Bad("underscores", _raw("6_8"), 400),
    Bad("a byte order mark", b"\xef\xbb\xbf" + GOOD, 400),
    Bad("UTF-16", GOOD.decode().encode("utf-16"), 400),
    Bad("Latin-1", '{"gewicht größe": 1}'.encode("latin-1"), 400),
    Bad("a NUL byte", GOOD + b"\x00", 400),
    Bad("a control character in a string", b'{"fea\ntures": []}', 400),
    Bad("half a surrogate pair in a key", b'{"features": {"\\ud800": 1}}', 400),
    Bad("half a surrogate pair in a value", b'{"features": {"body_mass_kg": "\\udfff"}}', 400),
    Bad("300 levels of lists", b"[" * 300 + b"]" * 300, 422, "type"),
    Bad("100,000 levels of lists", b"[" * 100_000 + b"]" * 100_000, 400),
    Bad("100,000 levels of objects", b'{"a":' * 100_000, 400),
    # JSON, but no request
    Bad("a list", b"[]", 422, "type"),
    Bad("a number", b"6.8", 422, "type"),
    Bad("a string", b'"cat"', 422, "type"),
    Bad("null", b"null", 422, "type"),
    Bad("an empty object", b"{}", 422, "form"),
    Bad("both forms", _json({"features": MAINE_COON, "instances": [MAINE_COON]}), 422, "form"),
    Bad("a misspelt form", _json({"feature": MAINE_COON}), 422, "unknown", "feature"),
    Bad("a key too many", _json({"features": MAINE_COON, "model": "animals"}), 422, "unknown", "model"),
    Bad("features null", _json({"features": None}), 422, "type", "features"),
    Bad("features a number", _json({"features": 6.8}), 422, "type", "features"),
    Bad("features a string", _json({"features": "6.8"}), 422, "type", "features"),
    # an object of features
    Bad("no features", _json({"features": {}}), 422, "missing", "features.body_mass_kg"),
    Bad("one missing", _without("ear_length_cm"), 422, "missing", "features.ear_length_cm"),
    Bad("one unknown", _features(colour=1), 422, "unknown", "features.colour"),
    Bad("a string", _features(body_mass_kg="6.8"), 422, "type", "features.body_mass_kg"),
    Bad("a boolean", _features(body_mass_kg=True), 422, "type", "features.body_mass_kg"),
    Bad("null", _features(body_mass_kg=None), 422, "type", "features.body_mass_kg"),
    Bad("a list", _features(body_mass_kg=[6.8]), 422, "type", "features.body_mass_kg"),
    Bad("an object", _features(body_mass_kg={"kg": 6.8}), 422, "type", "features.body_mass_kg"),
    Bad("below its bound", _features(ear_length_cm=-0.1), 422, "out_of_bounds", "features.ear_length_cm"),
    Bad("above its bound", _features(body_temperature_c=101.5), 422, "out_of_bounds", "features.body_temperature_c"),
    Bad("a feature twice", _features()[:-2] + b', "ear_length_cm": 1}}', 422, "duplicate"),
    Bad("a feature twice, once escaped", _features()[:-2] + b', "\\u0065ar_length_cm": 1}}', 422, "duplicate"),
    Bad("features twice", GOOD[:-1] + b", " + GOOD[1:], 422, "duplicate", "features"),
    Bad(
        "100,000 keys, one of them twice",
        b'{"a":1,' + b",".join(b'"%d":1' % i for i in range(100_000)) + b',"a":1}',
        422,
        "duplicate",
        "a",
    ),
    # a list of features
    Bad("an empty list", _listed(), 422, "length", "features"),
    Bad("one number too few", _listed(*MAINE_COON[:7]), 422, "length", "features"),
    Bad("one number too many", _listed(*MAINE_COON, 1.0), 422, "length", "features"),
    Bad("a string in it", _listed("6.8", *MAINE_COON[1:]), 422, "type", MASS),
    Bad("a boolean in it", _listed(False, *MAINE_COON[1:]), 422, "type", MASS),
    Bad("null in it", _listed(None, *MAINE_COON[1:]), 422, "type", MASS),
    Bad("a list in it", _listed(list(MAINE_COON), *MAINE_COON[1:]), 422, "type", MASS),
    Bad("out of bounds in it", _listed(0, *MAINE_COON[1:]), 422, "out_of_bounds", MASS),
    Bad("infinity by exponent", _raw("1e999"), 422, "not_finite", MASS),
    Bad("minus infinity by exponent", _raw("-1e999"), 422, "not_finite", MASS),
    Bad("5,000 digits", _raw("9" * 5000), 422, "not_finite", MASS),
    Bad("a million digits", _raw("9" * 1_000_000), 422, "not_finite", MASS),
    Bad("400 digits", _raw("9" * 400), 422, "not_finite", MASS),
    # instances
    Bad("no instances", _json({"instances": []}), 422, "count", "instances"),
    Bad("instances an object", _json({"instances": named(MAINE_COON)}), 422, "type", "instances"),
    Bad("instances null", _json({"instances": None}), 422, "type", "instances"),
    Bad("instances a flat list", _json({"instances": MAINE_COON}), 422, "type", "instances[0]"),
    Bad("an instance within features", _json({"instances": [{"features": MAINE_COON}]}), 422, "missing"),
    Bad("10,001 instances", _json({"instances": [[1] * 8] * 10_001}), 422, "count", "instances"),
    Bad("a million empty rows", b'{"instances": [' + b"{}," * 999_999 + b"{}]}", 422, "count", "instances"),
    Bad("10,000 empty rows", _json({"instances": [{}] * 10_000}), 422, "missing", "instances[0].body_mass_kg"),
    Bad("a short second row", _json({"instances": [MAINE_COON, [1]]}), 422, "length", "instances[1]"),
    Bad("a fault in the third", _json({"instances": [MAINE_COON, MAINE_COON, [0] * 8]}), 422, "out_of_bounds"),
    # not sent as JSON
    Bad("no content type", GOOD, 415, content_type=None),
    Bad("text/plain", GOOD, 415, content_type="text/plain"),
    Bad("a form's content type", GOOD, 415, content_type="application/x-www-form-urlencoded"),
    Bad("JSON lines", GOOD, 415, content_type="application/jsonl"),
    Bad("another charset", GOOD, 415, content_type="application/json; charset=utf-16"),
    Bad("gzip", GOOD, 415, headers=(("Content-Encoding", "gzip"),)),
    # too large
    Bad("5 MB", b" " * 5_000_000 + GOOD, 413),
]
