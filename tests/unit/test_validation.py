"""Validation: any bytes become rows within the features' bounds, or an error."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.known_animals import MAINE_COON

from models.feature import Feature
from service.http import strict_json
from service.http.context import RequestContext
from service.http.errors import NotJsonError, RequestError, UnacceptableError
from service.inference.validation import Validator

FEATURES = (
    Feature(name='height 5"', unit="in", minimum=-1, maximum=1),
    Feature(name="features", minimum=0, maximum=1e30),
    Feature(name="größe\n", minimum=0, maximum=10),
)
validator_of_features = Validator(FEATURES, max_rows=5, max_errors=3)
rows = st.tuples(*(st.floats(feature.minimum, feature.maximum) for feature in FEATURES))
forms = rows.flatmap(
    lambda row: st.sampled_from([list(row), dict(zip([feature.name for feature in FEATURES], row, strict=True))])
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["features", "instances", *(feature.name for feature in FEATURES)]) | st.text(), inner
        )
    ),
    max_leaves=20,
)


def in_schema_order(form: Any) -> list[float]:
    return list(form) if isinstance(form, list) else [form[feature.name] for feature in FEATURES]


@given(st.lists(forms, min_size=1, max_size=5), st.booleans(), st.randoms())
def test_valid_body_becomes_rows(instances: list[Any], escaped: bool, order: Any) -> None:
    """Both forms, any order and JSON spelling of any names: the float32 of the numbers, in schema order."""
    for form in instances:
        if isinstance(form, dict):
            items = list(form.items())
            order.shuffle(items)
            form.clear()
            form.update(items)
    rows, is_single = validator_of_features.parse(
        json.dumps({"instances": instances}, ensure_ascii=escaped).encode(), RequestContext("POST", "/predict", None)
    )
    assert not is_single
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.array([in_schema_order(form) for form in instances], np.float32))
    row, is_single = validator_of_features.parse(
        json.dumps({"features": instances[0]}, ensure_ascii=escaped).encode(), RequestContext("POST", "/predict", None)
    )
    assert is_single
    np.testing.assert_array_equal(row, rows[:1])


@given(
    json_values | st.fixed_dictionaries({"features": json_values}) | st.fixed_dictionaries({"instances": json_values})
)
def test_any_document_is_accepted_or_refused(document: Any) -> None:
    """It becomes rows within the bounds or an error with a reason; NaN is not JSON."""
    body = json.dumps(document).encode()
    try:
        rows, _ = validator_of_features.parse(body, RequestContext("POST", "/predict", None))
    except UnacceptableError as refused:
        assert 1 <= len(refused.faults) <= 3
        assert all(fault.message for fault in refused.faults)
    except NotJsonError as refused:
        assert refused.detail
    else:
        assert np.isfinite(rows).all()


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,.0123456789eE+-ntfaurls \\', max_size=60).map(str.encode))
def test_arbitrary_bytes_raise_a_request_error(body: bytes) -> None:
    """They never raise another error."""
    with pytest.raises(RequestError):
        validator_of_features.parse(body, RequestContext("POST", "/predict", None))


@given(rows, st.integers(0, 2), st.booleans())
def test_duplicate_key_is_always_found(row: Any, index: int, escaped: bool) -> None:
    """At any position and in any JSON spelling; otherwise the last value would win silently."""
    pairs = [(feature.name, value) for feature, value in zip(FEATURES, row, strict=True)]
    pairs.insert(0, pairs[index])
    body = ", ".join(f"{json.dumps(name, ensure_ascii=escaped)}: {json.dumps(value)}" for name, value in pairs)
    with pytest.raises(UnacceptableError) as refused:
        validator_of_features.parse(f'{{"features": {{{body}}}}}'.encode(), RequestContext("POST", "/predict", None))
    assert (refused.value.faults[0].code, refused.value.faults[0].field) == ("duplicate", FEATURES[index].name)


@given(json_values.filter(lambda value: "NaN" not in (text := json.dumps(value)) and "Infinity" not in text))
def test_strict_json_reads_what_the_standard_library_wrote(document: Any) -> None:
    """It accepts all standard JSON, except strings that cannot be encoded as UTF-8."""
    text = json.dumps(document)
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(NotJsonError):
            strict_json.loads(text.encode())
    else:
        assert strict_json.loads(text.encode()) == document


def test_error_does_not_repeat_values(validator: Validator) -> None:
    """It names the invalid field only."""
    body = json.dumps({"features": ["confidential", *MAINE_COON[1:7], 12345.678]}).encode()
    with pytest.raises(UnacceptableError) as refused:
        validator.parse(body, RequestContext("POST", "/predict", None))
    faults = str(refused.value.faults)
    assert "confidential" not in faults
    assert "12345" not in faults


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
def test_memory_of_a_body_with_millions_of_faults_is_bounded(validator: Validator, body: bytes) -> None:
    """Refusing 4 MB of anything takes about 100 MB, not a gigabyte."""
    tracemalloc.start()
    try:
        with pytest.raises(UnacceptableError):
            validator.parse(body, RequestContext("POST", "/predict", None))
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()
