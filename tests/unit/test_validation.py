"""From bytes to rows: whatever is sent, rows in bounds come out or a problem does."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.known_animals import MAINE_COON

from models.manifest import Feature
from service.http import strict_json
from service.http.context import RequestContext
from service.http.errors import NotJsonError, RequestError, UnacceptableError
from service.inference.validation import Validator

ODD = (
    Feature(name='height 5"', unit="in", minimum=-1, maximum=1),
    Feature(name="features", minimum=0, maximum=1e30),
    Feature(name="größe\n", minimum=0, maximum=10),
)
odd = Validator(ODD, max_rows=5, max_errors=3)
rows = st.tuples(*(st.floats(feature.minimum, feature.maximum) for feature in ODD))
forms = rows.flatmap(
    lambda row: st.sampled_from([list(row), dict(zip([feature.name for feature in ODD], row, strict=True))])
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["features", "instances", *(feature.name for feature in ODD)]) | st.text(), inner
        )
    ),
    max_leaves=20,
)


def expected(form: Any) -> list[float]:
    return list(form) if isinstance(form, list) else [form[feature.name] for feature in ODD]


@given(st.lists(forms, min_size=1, max_size=5), st.booleans(), st.randoms())
def test_every_valid_body_becomes_its_rows(asked: list[Any], escaped: bool, order: Any) -> None:
    """Both forms, any order of keys, any spelling of them, any names: the float32 of the numbers in schema order."""
    for form in asked:
        if isinstance(form, dict):
            items = list(form.items())
            order.shuffle(items)
            form.clear()
            form.update(items)
    submission = odd.parse(
        json.dumps({"instances": asked}, ensure_ascii=escaped).encode(), RequestContext("POST", "/predict", None)
    )
    assert not submission.is_single
    assert submission.rows.dtype == np.float32
    np.testing.assert_array_equal(submission.rows, np.array([expected(form) for form in asked], np.float32))
    single = odd.parse(
        json.dumps({"features": asked[0]}, ensure_ascii=escaped).encode(), RequestContext("POST", "/predict", None)
    )
    assert single.is_single
    np.testing.assert_array_equal(single.rows, submission.rows[:1])


@given(
    json_values | st.fixed_dictionaries({"features": json_values}) | st.fixed_dictionaries({"instances": json_values})
)
def test_no_document_slips_through_or_breaks_anything(document: Any) -> None:
    """Any document at all is either rows within bounds or a refusal with a reason; NaN is no JSON."""
    body = json.dumps(document).encode()
    try:
        submission = odd.parse(body, RequestContext("POST", "/predict", None))
    except UnacceptableError as refused:
        assert 1 <= len(refused.faults) <= 3
        assert all(fault.message for fault in refused.faults)
    except NotJsonError as refused:
        assert refused.detail
    else:
        assert np.isfinite(submission.rows).all()


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,.0123456789eE+-ntfaurls \\', max_size=60).map(str.encode))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Bytes that are not even JSON end as a refusal, never as another error."""
    with pytest.raises(RequestError):
        odd.parse(body, RequestContext("POST", "/predict", None))


@given(rows, st.integers(0, 2), st.booleans())
def test_a_key_that_stands_twice_is_always_found(row: Any, which: int, escaped: bool) -> None:
    """Wherever the second one stands and however it is spelt; the last would win silently otherwise."""
    pairs = [(feature.name, value) for feature, value in zip(ODD, row, strict=True)]
    pairs.insert(0, pairs[which])
    body = ", ".join(f"{json.dumps(name, ensure_ascii=escaped)}: {json.dumps(value)}" for name, value in pairs)
    with pytest.raises(UnacceptableError) as refused:
        odd.parse(f'{{"features": {{{body}}}}}'.encode(), RequestContext("POST", "/predict", None))
    assert (refused.value.faults[0].code, refused.value.faults[0].field) == ("duplicate", ODD[which].name)


@given(json_values.filter(lambda value: "NaN" not in (text := json.dumps(value)) and "Infinity" not in text))
def test_strict_json_reads_what_the_standard_library_wrote(document: Any) -> None:
    """Strictness takes nothing away from honest JSON, but strings that no UTF-8 can hold."""
    text = json.dumps(document)
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(NotJsonError):
            strict_json.loads(text.encode())
    else:
        assert strict_json.loads(text.encode()) == document


def test_nothing_of_a_body_is_repeated(validator: Validator) -> None:
    """A refused value does not come back in the refusal; only the field at fault is named."""
    body = json.dumps({"features": ["confidential", *MAINE_COON[1:7], 12345.678]}).encode()
    with pytest.raises(UnacceptableError) as refused:
        validator.parse(body, RequestContext("POST", "/predict", None))
    told = str(refused.value.faults)
    assert "confidential" not in told
    assert "12345" not in told


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [' + b"{}," * 1_300_000 + b"{}]}",
        b'{"instances": [' + b"[[[]]]," * 550_000 + b"[]]}",
        b'{"features": {' + b",".join(b'"%07d":1' % number for number in range(340_000)) + b"}}",
        b'{"features": [' + b"1," * 1_900_000 + b"1]}",
    ],
    ids=["objects", "lists", "keys", "numbers"],
)
def test_a_body_of_millions_of_faults_stays_small(validator: Validator, body: bytes) -> None:
    """Refusing 4 MB of anything takes some 100 MB for the moment, not a gigabyte."""
    tracemalloc.start()
    try:
        with pytest.raises(UnacceptableError):
            validator.parse(body, RequestContext("POST", "/predict", None))
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()
