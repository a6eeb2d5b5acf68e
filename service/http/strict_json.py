"""JSON as RFC 8259 means it between strangers: UTF-8, no byte order mark, no NaN, no key twice."""

import json
from collections import Counter
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from service.http.errors import Fault, NotJsonError, UnacceptableError

_DIGITS = 300  # int() takes quadratic time; a longer integer is read as the float nearest to it, perhaps infinite
_TOLD = 10


def loads(body: bytes) -> Any:
    """The document in ``body``; an integer of more than 300 digits comes back as a float.

    Raises:
        NotJsonError: with the line and column where reading ended, never with what stood there.
        UnacceptableError: an object has a key twice.
    """
    twice: list[str] = []  # of the first object that has any: one is enough to refuse the whole

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs) and not twice:
            twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return document

    try:
        text = body.decode("utf-8")
        document = json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant, parse_int=_integer)
        if "\\u" in text:  # only an escape can stand for half a surrogate pair, which no UTF-8 can hold
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotJsonError("the body is not JSON: a string holds half a surrogate pair") from None
    except UnicodeDecodeError as error:
        raise NotJsonError(f"the body is not UTF-8: byte {error.start} does not belong there") from None
    except json.JSONDecodeError as error:
        raise NotJsonError(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJsonError("the body is nested too deeply: a request is three levels deep at most") from None
    if twice:
        raise UnacceptableError(
            [
                Fault(shown(key), "duplicate", f"{shown(key)} stands twice in one object: give it once")
                for key in twice[:_TOLD]
            ],
            more=len(twice) > _TOLD,
        )
    return document


def read(body: bytes) -> Any:
    """The document in ``body``, by a reader ten times as fast that keeps the last of two equal keys: `require_unique`.

    Raises:
        NotJsonError, UnacceptableError: as `loads`, which has the last word on what the fast one refuses.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return loads(body)


def require_unique(body: bytes, strings: int) -> None:
    """Refuse a body in which a key stands twice, if its document has so many strings, keys among them.

    Counting quotes takes 0.1 us; only where there are more than the strings account for is the body read again.

    Raises:
        UnacceptableError: an object has a key twice.
    """
    if body.count(b'"') != 2 * strings:
        loads(body)


def strings(document: Any, *, but: str = "") -> int:
    """How many strings a document has, keys among them; what stands under one key is passed over."""
    count, left = 0, [document]
    for value in left:  # which grows: to call itself, a document may be deeper than Python's stack
        kind = type(value)
        if kind is dict:
            count += len(value)
            left += [inner for key, inner in value.items() if key != but]
        elif kind is list:
            left += value
        else:
            count += kind is str
    return count


def shortest(values: NDArray[np.float32]) -> list[list[float]]:
    """The values as Python floats that print as the shortest decimal of the float32: 0.97, not 0.9700000286102295."""
    return orjson.loads(orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY))  # type: ignore[no-any-return]


def shown(key: str) -> str:
    """A caller's own key as it may stand in an answer."""
    return key[:100]


def _no_constant(token: str) -> NoReturn:
    raise NotJsonError(f"the body is not JSON: {token} is no JSON number")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)
