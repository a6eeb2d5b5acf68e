"""Strict JSON (RFC 8259): UTF-8, no byte order mark, no NaN, no duplicate keys; floats as their shortest decimals."""

import json
from collections import Counter
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from service.arrays import Array
from service.http.errors import Fault, NotJsonError, UnacceptableError

_MAX_DIGITS = 300  # int() takes quadratic time; a longer integer becomes the nearest float, perhaps infinity
_NUMBERS_AND_LISTS = b"0123456789+-.eE,[] \t\r\n"
_MAX_DUPLICATES = 10  # reported in one response


def loads(body: bytes) -> Any:
    """Parse strictly, with errors that name the line and column; an integer of more than 300 digits becomes a float.

    Raises:
        NotJsonError: the body is not strict JSON; the message repeats nothing of it.
        UnacceptableError: an object has a key twice.
    """
    duplicates: list[str] = []  # of the first object that has any: one is enough to refuse the body

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs) and not duplicates:
            duplicates.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return document

    try:
        text = body.decode("utf-8")
        document = json.loads(text, object_pairs_hook=unique, parse_constant=_refuse_constant, parse_int=_parse_integer)
        if "\\u" in text:  # only an escape can stand for half a surrogate pair, which no UTF-8 can hold
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotJsonError("the body is not valid JSON: a string has an unpaired surrogate") from None
    except UnicodeDecodeError as error:
        raise NotJsonError(f"the body is not valid UTF-8: invalid byte at position {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotJsonError(
            f"the body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise NotJsonError("the body is nested too deeply: a request has at most three levels") from None
    if duplicates:
        raise UnacceptableError(
            [
                Fault(truncated(key), "duplicate", f"{truncated(key)} occurs twice in one object: send it once")
                for key in duplicates[:_MAX_DUPLICATES]
            ],
            has_more=len(duplicates) > _MAX_DUPLICATES,
        )
    return document


def parse(body: bytes) -> Any:
    """Parse ten times as fast as `loads`, but keep the last of duplicate keys: call `require_unique_keys` afterwards.

    Raises:
        NotJsonError, UnacceptableError: as `loads`, which reads again what the fast parser refuses.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return loads(body)


def has_numbers_only(body: bytes, key: str) -> bool:
    """Whether valid JSON is an object with this one key, and numbers in lists under it."""
    return body.translate(None, _NUMBERS_AND_LISTS) == b'{"%b":}' % key.encode().translate(None, _NUMBERS_AND_LISTS)


def require_unique_keys(body: bytes, strings: int) -> None:
    """Refuse duplicate keys; ``strings`` is how many strings, keys included, the parsed document has.

    Counting quotes takes 0.1 us. Only if there are more than the strings account for is the body parsed again.

    Raises:
        UnacceptableError: an object has a key twice.
    """
    if body.count(b'"') != 2 * strings:
        loads(body)


def count_strings(document: Any, *, skip: str = "") -> int:
    """How many strings a document has, keys included, without the values under the key ``skip``."""
    count, pending = int(type(document) is str), [document]
    for value in pending:  # it grows; recursion would fail on a document deeper than Python's stack
        if type(value) is dict:
            count += len(value)
            inner = [each for key, each in value.items() if key != skip] if skip else [*value.values()]
        elif type(value) is list:
            inner = value
        else:
            continue
        types = [*map(type, inner)]
        count += types.count(str)
        if dict in types or list in types:
            pending += inner
    return count


def shortest_floats(values: Array) -> list[list[float]]:
    """Python floats that print as the shortest decimals of float32 values: 0.97, not 0.9700000286102295."""
    return orjson.loads(shortest_decimals(values))  # type: ignore[no-any-return]


def shortest_decimals(values: Array | NDArray[np.bool_]) -> bytes:
    """The same as JSON; booleans as true and false."""
    return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)


def truncated(key: str) -> str:
    """A client's key, short enough to be repeated in a response."""
    return key[:100]


def _refuse_constant(token: str) -> NoReturn:
    raise NotJsonError(f"the body is not valid JSON: {token} is not a JSON number")


def _parse_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)
