"""Encoders that are fitted to a training set, and the vectors of categories that a network learns."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from support import mixed_datasets

from models import reference_fitting
from models.dataset import Floats, Sample
from models.embeddings import fill_absent, find_slices, one_hot, sum_by_entry
from models.encoder_fitting import MAX_ONE_HOT, Encoding
from models.encoding import NO_COLUMN, NumberEncoder, OneHotEncoder, TableEncoder, encode
from models.feature import Feature
from models.golden_inputs import select_golden_inputs
from models.raw_values import find_unknown, to_raw
from models.reference_fitting import compute_category_shares, compute_missing_shares, compute_number_ranges
from models.replicas import DenseLayer, Replicas, move_into_tables

NAN = np.nan


def number(**changes: Any) -> Feature:
    fields: dict[str, Any] = {"name": "x", "minimum": 0, "maximum": 9} | changes
    return Feature(**fields)


def category(*categories: Any, **changes: Any) -> Feature:
    return Feature(
        **{"name": "c", "kind": "category", "minimum": None, "maximum": None, "categories": categories} | changes
    )


def column(*codes: float) -> Floats:
    return np.array(codes, np.float32)[:, np.newaxis]


@pytest.mark.parametrize(
    ("feature", "codes", "encoder"),
    [
        (number(), [1, 2, 6], None),  # plain numbers need none
        (number(kind="integer"), [1, 2, 6], NumberEncoder(feature="x")),
        (number(default=4), [1, 2, 6], NumberEncoder(feature="x")),
        (number(allow_missing=True), [1, NAN, 6], NumberEncoder(feature="x", fill=3.5, indicator=True)),
        (number(allow_missing=True), [1, 2, 6], NumberEncoder(feature="x", fill=3, indicator=False)),
        (number(allow_missing=True), [NAN, NAN], NumberEncoder(feature="x", fill=0, indicator=True)),
        (category("a", "b"), [0, 1, 1], OneHotEncoder(feature="c", width=2, columns=(0, 1))),
        (category("a", "b", "d"), [0, 2], OneHotEncoder(feature="c", width=2, columns=(0, NO_COLUMN, 1))),
        (
            category("a", "b", allow_other=True, allow_missing=True),
            [0, 1, NAN],
            OneHotEncoder(feature="c", width=3, columns=(0, 1, NO_COLUMN, 2)),
        ),
        (
            category(False, True, allow_missing=True),
            [0, 1],
            OneHotEncoder(feature="c", width=2, columns=(0, 1, NO_COLUMN)),
        ),
        (category(*range(MAX_ONE_HOT)), range(20), OneHotEncoder(feature="c", width=20, columns=tuple(range(20)))),
    ],
)
def test_an_encoder_fits_the_training_rows(feature: Feature, codes: list[float], encoder: Any) -> None:
    """A mean and an indicator for missing numbers; a column for each category that occurs."""
    encoding = Encoding.fit([feature], column(*codes))
    assert encoding.fixed == ((encoder,) if encoder else ())
    assert encoding.embedded == ()
    if encoder:
        encoder.check(feature)


def test_many_categories_are_embedded() -> None:
    """Missing values and other ones count, too; their vectors become tables after all other encoders."""
    many = category(*range(MAX_ONE_HOT), allow_missing=True)
    rows = np.hstack([column(0, 7, NAN), column(1, 2, 3)])
    encoding = Encoding.fit([many, number()], rows)
    assert encoding.embedded == (many,)
    assert encoding.find_entries(rows).tolist() == [[0], [7], [20]]
    assert encoding.encode(rows).tolist() == [[1], [2], [3]]
    table = np.arange(42, dtype=np.float32).reshape(21, 2)
    encoders = encoding.complete([table])
    assert isinstance(encoders[-1], TableEncoder)
    assert encode(encoders, [many, number()], rows).tolist() == [[1, 0, 1], [2, 14, 15], [3, 40, 41]]


def test_only_embedded_categories_leave_no_column() -> None:
    many = category(*range(MAX_ONE_HOT + 1))
    encoding = Encoding.fit([many], column(1, 2))
    assert encoding.encode(column(1, 2)).shape == (2, 0)
    assert encoding.fit_normalization(encoding.encode(column(1, 2))).mean.shape == (0,)


def test_only_numbers_are_normalized() -> None:
    """The columns of categories and of gaps stay 0 and 1."""
    features = [number(allow_missing=True), category("a", "b")]
    rows = np.hstack([column(1, NAN, 6), column(0, 1, 1)])
    encoding = Encoding.fit(features, rows)
    columns = encoding.fit_normalization(encoding.encode(rows)).apply(encoding.encode(rows))
    assert columns[:, 0].mean() == pytest.approx(0)
    assert columns[:, 0].std() == pytest.approx(1)
    assert columns[:, 1:].tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 1]]


def test_an_entry_without_rows_gets_the_mean_vector() -> None:
    """Weighted by the rows of the others; in each replica by its own rows."""
    vectors = np.array([[[1.0], [4.0], [99.0]], [[1.0], [4.0], [99.0]]])
    filled = fill_absent(vectors, np.array([[1, 2, 0], [0, 1, 1]]))
    assert filled[:, :, 0].tolist() == [[1, 4, 3], [51.5, 4, 99]]


def test_deltas_are_summed_by_entry() -> None:
    """As the gradient of one-hot columns is."""
    entries = np.array([2, 0, 2])
    deltas = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    columns = one_hot(entries, 4).toarray()
    assert np.array_equal(sum_by_entry(deltas, entries, 4), columns.T @ deltas)
    assert find_slices(10, (4, 3)) == [slice(3, 7), slice(7, 10)]


def test_replicas_learn_vectors_of_categories() -> None:
    """The kernel's last rows are the vectors, which also are a table for each category."""
    rng = np.random.default_rng(0)
    rows, entries = rng.standard_normal((90, 2)).astype(np.float32), rng.integers(0, 5, (90, 1))
    labels = (rows[:, 0] + entries[:, 0] > 2).astype(np.intp)
    counts = [np.bincount(entries[:, 0], minlength=5)[np.newaxis]]
    weights = np.ones((1, 90), np.float32)
    embedded = Replicas([7, 4, 2], [1.0], weights, 0, counts)
    embedded.train(rows, labels, 100, entries)
    whole = np.hstack([rows, one_hot(entries[:, 0], 5).toarray()]).astype(np.float32)
    layers, tables = move_into_tables(embedded.get_layers(0), [5])
    logits = embedded.compute_logits(rows, slice(1), entries)[0]
    assert (logits.argmax(axis=1) == labels).mean() > 0.9
    by_table = np.hstack([rows, tables[0][entries[:, 0]]])
    assert _compute(by_table, layers) == pytest.approx(logits, abs=1e-5)
    assert _compute(whole, embedded.get_layers(0)) == pytest.approx(logits, abs=1e-5)


def _compute(rows: Any, layers: tuple[DenseLayer, ...]) -> Any:
    hidden = np.maximum(rows @ layers[0].kernel + layers[0].bias, 0)
    return hidden @ layers[1].kernel + layers[1].bias


def test_the_width_of_a_table_is_what_the_first_layer_uses() -> None:
    """A logistic regression of two labels uses one unit."""
    kernel = np.zeros((5, 6), np.float32)
    kernel[:, 0] = np.arange(5)
    layers = (DenseLayer(kernel, np.zeros(6)), DenseLayer(np.ones((6, 2)), np.zeros(2)))
    rest, (table,) = move_into_tables(layers, [3])
    assert table.tolist() == [[2], [3], [4]]
    assert rest[0].kernel[:, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("feature", "unknown"),
    [
        (category("a", "b"), "other"),
        (category("a", "other", "other 2"), "other 3"),
        (category(-5, 7), 8),
        (category(False, True), 2),
    ],
)
def test_some_value_is_unknown(feature: Feature, unknown: Any) -> None:
    assert find_unknown(feature) == unknown


def test_codes_become_raw_values_and_codes_again() -> None:
    """None for a missing value, and some unknown word for "other"."""
    features = [number(allow_missing=True), category("a", "b", allow_other=True, allow_missing=True)]
    rows = np.hstack([column(1.5, NAN, 2, 3), column(0, 1, 2, NAN)])
    raw = to_raw(features, rows)
    assert raw == [(1.5, "a"), (None, "b"), (2, "other"), (3, None)]
    codes = [[feature.to_code(value) for feature, value in zip(features, row, strict=True)] for row in raw]
    assert np.array_equal(np.array(codes, np.float32), rows, equal_nan=True)


@pytest.mark.parametrize("make", [mixed_datasets.penguins, mixed_datasets.titanic, mixed_datasets.pets])
def test_golden_rows_have_all_kinds_of_values(make: Any) -> None:
    """Every category or, of many, the first and the last; unknown and missing ones, and each bound."""
    table = make(300)
    sample, features = table.individuals, table.features
    columns = Encoding.fit(features, sample.rows).encode(sample.rows)
    rows = select_golden_inputs(features, sample, columns, len(table.labels), 200)
    for feature, codes in zip(features, rows.T, strict=True):
        found = set(codes[~np.isnan(codes)].tolist())
        assert np.isnan(codes).any() == feature.allow_missing
        if feature.is_category:
            assert {0, feature.code_count - 1} <= found
            assert feature.code_count > 16 or found == set(range(feature.code_count))
        else:
            assert {np.float32(feature.minimum), np.float32(feature.maximum)} <= found
            assert feature.kind != "integer" or all(value.is_integer() for value in found)


def test_statistics_of_a_reference() -> None:
    """Of present numbers, of each code, and of missing values last; a label without values has everyone's range."""
    features = [number(allow_missing=True), category("a", "b", allow_missing=True)]
    rows = np.hstack([column(1, 3, NAN, NAN), column(0, NAN, 1, 1)])
    groups = {"first": np.array([True, True, False, False]), "second": np.array([False, False, True, True])}
    assert compute_missing_shares(features, rows) == {"x": 0.5}
    assert compute_number_ranges(features, rows, groups["second"]) == {"x": (1, 3)}
    shares = compute_category_shares(features, rows, groups)
    assert shares[""]["c"] == (0.25, 0.5, 0.25)
    assert shares["first"]["c"] == (0.5, 0, 0.5)
    assert shares["second"]["c"] == (0, 1, 0)
    assert compute_category_shares(features[:1], rows[:, :1], groups) == {}


def test_ranges_of_many_labels_do_not_read_all_rows_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hundreds of labels, that took half a minute for 200,000 rows."""
    original, read = reference_fitting.list_numbers, list[int]()

    def list_numbers(features: Sequence[Feature], rows: Floats) -> Iterator[tuple[str, Floats]]:
        read.append(len(rows))
        return original(features, rows)

    monkeypatch.setattr(reference_fitting, "list_numbers", list_numbers)
    rows = np.arange(100, dtype=np.float32)[:, np.newaxis]
    groups = {str(label): rows[:, 0] % 50 == label for label in range(50)}
    described = reference_fitting.describe_features([number(maximum=99)], rows, groups)
    assert described["ranges"]["7"] == {"x": (7, 57)}
    assert sum(read) <= 3 * len(rows)


def test_a_sample_without_categories_has_golden_rows_as_before() -> None:
    """Each label's typical row, and five corners."""
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    sample = Sample(rows, np.array([0, 0, 0, 1, 1, 1]), np.arange(6))
    features = [number(maximum=20), number(name="y", maximum=30)]
    golden = select_golden_inputs(features, sample, rows, 2, 100)
    assert golden.tolist() == [[2, 3], [8, 9], [0, 0], [0, 1], [5, 6], [10, 11], [20, 30]]
