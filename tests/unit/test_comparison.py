"""The comparison of two versions: what a loop over the rows counts, whatever the batches, for any kind of model."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.stats import binomtest
from support import handmade_bundles, mixed_bundles
from support.handmade_bundles import Network
from support.headed_bundles import BINARY, HEADS, MIXED, publish
from support.looped_comparison import LoopedOutput, compare_in_loops

from models import bundle
from models.feature import to_codes
from models.signature import Head
from service.arrays import Array
from service.comparison.comparison import MAX_CHANGE_CELLS, MAX_LISTED, Comparison
from service.comparison.confidence import row_share, wilson_interval
from service.comparison.document import Report
from service.comparison.probabilities import BOUNDS
from service.comparison.ranges import MIN_CHANGED, MIN_ROWS
from service.inference.model import Model

Versions = tuple[Model, Model]
KINDS = {**HEADS, "mixed": MIXED}
LOWER_THRESHOLD = 0.2  # of the shadow of a binary classification, whose own is 0.3


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Versions]:
    """Two versions of a model of each kind, with a sample and without."""
    made = {}
    for name, heads in KINDS.items():
        for sample in (True, False):
            store = tmp_path_factory.mktemp("store")
            made[name, sample] = open_versions(store, heads, sample=sample)
    return made


def open_versions(store: Path, heads: Sequence[Head], *, sample: bool = True) -> Versions:
    old, new = (publish(store, heads, sample=sample).folder for _ in range(2))
    if heads == BINARY:
        manifest = orjson.loads((new / bundle.MANIFEST).read_bytes())
        manifest["outputs"][0]["threshold"] = LOWER_THRESHOLD
        (new / bundle.MANIFEST).write_bytes(orjson.dumps(manifest))
    return Model.open(old, "litert"), Model.open(new, "litert")


def random_rows(count: int, seed: int = 3, features: int = 3) -> Array:
    return np.random.default_rng(seed).uniform(-3, 3, (count, features)).astype(np.float32)


def moved_outputs(model: Model, rows: Array, seed: int = 3, scale: float = 0.2) -> tuple[Array, Array]:
    """What a model gives, and the same with noise for half of the rows."""
    rng = np.random.default_rng(seed)
    before = model.outputs(rows) if len(rows) else np.empty((0, len(model.column_names)), np.float32)
    noise = rng.normal(0, scale, before.shape) * rng.integers(0, 2, (len(before), 1))
    after = before + noise
    if any(head.head.kind != "regression" for head in model.heads):
        after = after.clip(0, 1)
    return before, after.astype(np.float32)


def compare(versions: Versions, rows: Array, before: Array, after: Array) -> Report:
    comparison = Comparison(*versions)
    return comparison.report(comparison.count(rows, before, after))


def describe(change: Any) -> tuple[str, ...]:
    """What the loop calls a change."""
    if "from" in change:
        return change["from"], change["to"]
    return change.get("label") or change["target"], change["change"]


@pytest.mark.parametrize("sample", [True, False], ids=["sample", "no-sample"])
@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_those_of_a_loop(versions: dict[tuple[str, bool], Versions], kind: str, *, sample: bool) -> None:
    """Rows that agree, changes, labels, movements and ranges, for every kind of output."""
    serving, shadow = versions[kind, sample]
    rows = random_rows(700)
    before, after = moved_outputs(serving, rows)
    report = compare((serving, shadow), rows, before, after)
    looped = compare_in_loops(serving, shadow, rows, before, after)
    assert report["rows"] == len(rows)
    assert report["agree"]["rows"] == looped.agreeing
    assert 0 < looped.agreeing < len(rows)
    for output, expected in zip(report["outputs"], looped.outputs, strict=True):
        assert output["agree"]["rows"] == len(rows) - expected.changed
        assert {describe(change): change["rows"] for change in output["changes"]} == expected.changes
        assert [change["rows"] for change in output["changes"]] == sorted(expected.changes.values(), reverse=True)
        check_own_fields(output, expected)
        for place in output["ranges"] or []:
            assert place["changed"] >= MIN_CHANGED
            assert place["rows"] >= MIN_ROWS
            assert place["share"] > expected.changed / len(rows)
        assert (output["ranges"] is None) == (not sample)


def check_own_fields(output: Any, expected: LoopedOutput) -> None:
    """The fields that outputs of one kind have."""
    differences = np.array(expected.differences)
    if output["kind"] == "regression":
        for index, target in enumerate(output["targets"].values()):
            values = differences[:, index]
            assert target["mean"] == pytest.approx(values.mean(), rel=1e-3, abs=1e-5)
            assert target["root_mean_square"] == pytest.approx(np.sqrt((values**2).mean()), rel=1e-3)
            for bucket in target["histogram"]:
                low = -np.inf if bucket["above"] is None else bucket["above"]
                high = np.inf if bucket["upto"] is None else bucket["upto"]
                assert bucket["rows"] == pytest.approx(((values > low) & (values <= high)).sum(), abs=1)
        return
    for index, (label, counts) in enumerate(output["labels"].items()):
        assert (counts["serving"], counts["shadow"]) == (expected.serving[label], expected.shadow[label])
        assert counts["serving"] - counts["lost"] + counts["gained"] == counts["shadow"]
        assert counts["mean_shift"] == pytest.approx(differences[:, index].mean(), abs=1e-6)
    largest = np.array(expected.largest)
    assert output["moved"]["mean"] == pytest.approx(largest.mean(), abs=1e-6)
    buckets = np.bincount(np.searchsorted(BOUNDS, np.round(largest, 6)), minlength=len(BOUNDS) + 1)
    assert [bucket["rows"] for bucket in output["moved"]["histogram"]] == buckets.tolist()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(some.integers(0, 60), some.integers(0, 2**32 - 1), some.floats(1e-9, 1e9), some.data())
def test_cells_do_not_depend_on_batches(  # noqa: PLR0913, PLR0917 (what is drawn)
    versions: dict[tuple[str, bool], Versions], kind: str, count: int, seed: int, scale: float, data: some.DataObject
) -> None:
    """The cells of batches of any sizes add up to those of all rows, to the bit."""
    serving, shadow = versions[kind, data.draw(some.booleans())]
    comparison = Comparison(serving, shadow)
    rows = random_rows(count, seed)
    before, after = moved_outputs(serving, rows, seed, scale)
    cuts = sorted(data.draw(some.lists(some.integers(0, count), max_size=5)))
    parts = zip(*(np.split(each, cuts) for each in (rows, before, after)), strict=True)
    counted = sum(comparison.count(*part) for part in parts)
    np.testing.assert_array_equal(counted, comparison.count(rows, before, after))


def test_long_batches_are_counted_in_chunks(
    versions: dict[tuple[str, bool], Versions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same result."""
    pair = versions["mixed", True]
    rows = random_rows(300)
    before, after = moved_outputs(pair[0], rows)
    expected = compare(pair, rows, before, after)
    monkeypatch.setattr("service.comparison.comparison._MAX_CHUNK_NUMBERS", 1_000)
    assert compare(pair, rows, before, after) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_compared(versions: dict[tuple[str, bool], Versions], kind: str) -> None:
    """No row: null in place of every share and mean, and no verdict."""
    pair = versions[kind, True]
    nothing = np.empty((0, len(pair[0].column_names)), np.float32)
    report = compare(pair, random_rows(0), nothing, nothing)
    assert report["agree"] == {"rows": 0, "share": None, "low": None, "high": None}
    assert report["verdict"] == "too few rows for a verdict: 0 of 100"


@pytest.mark.parametrize(
    ("count", "rows"), [(0, 1), (1, 1), (0, 1_000), (1_000, 1_000), (41, 5_120), (5_079, 5_120), (1, 7)]
)
def test_intervals_are_those_of_scipy(count: int, rows: int) -> None:
    """Wilson's, also where no row or every row counts."""
    expected = binomtest(count, rows).proportion_ci(0.95, "wilson")
    assert wilson_interval(count, rows) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert row_share(count, rows)["share"] == count / rows


def test_a_threshold_alone_changes_labels(versions: dict[tuple[str, bool], Versions]) -> None:
    """Each version's own: the same probabilities give other labels."""
    serving, shadow = versions["binary", True]
    rows = random_rows(500)
    yes = np.linspace(0, 1, len(rows), dtype=np.float32)
    outputs = np.column_stack([1 - yes, yes])
    (output,) = compare((serving, shadow), rows, outputs, outputs)["outputs"]
    between = ((outputs[:, 1] > np.float32(LOWER_THRESHOLD)) & (outputs[:, 1] <= np.float32(0.3))).sum()
    assert [(describe(change), change["rows"]) for change in output["changes"]] == [(("no", "yes"), between)]
    assert output["kind"] == "classification"
    assert output["moved"]["mean"] == 0


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(some.integers(0, 2**32 - 1), some.floats(0, 1))
def test_incomplete_counts_give_a_report(
    versions: dict[tuple[str, bool], Versions], kind: str, seed: int, share: float
) -> None:
    """A worker that is killed while it adds to shared counts may leave any part of a batch out."""
    pair = versions[kind, True]
    comparison, rows = Comparison(*pair), random_rows(400, seed)
    cells = comparison.count(rows, *moved_outputs(pair[0], rows, seed))
    kept = np.random.default_rng(seed).random(len(cells)) < share
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert comparison.report(cells * kept)["verdict"]
        assert comparison.report(cells + cells * kept)["verdict"]


# The places where predictions changed


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """Two versions of a model with features of every kind, which may be missing."""
    store = tmp_path_factory.mktemp("mixed")
    first, second = (Model.open(mixed_bundles.publish(store).folder, "litert") for _ in range(2))
    return first, second


def mixed_rows(count: int) -> Array:
    return to_codes(mixed_bundles.FEATURES, mixed_bundles.raw_rows(count, 9))


PLACES = [
    ("body_mass", np.isnan, "body_mass is missing", None),
    ("sex", np.isnan, "sex is missing", None),
    ("sex", lambda codes: codes == 1, "sex is male", "male"),
    ("colony", lambda codes: codes == 3, "colony is not a known category", None),
    ("ring", lambda codes: codes == 2, "ring is 5", "5"),
    ("is_breeding", lambda codes: codes == 1, "is_breeding is true", "true"),
    ("observer", lambda codes: codes == 3, "observer is (bin 3)", "(bin 3)"),
    ("year", lambda codes: codes < 2008, "year is at most 2007", None),
    ("year", lambda codes: codes == 2008, "year is 2008", None),
    ("bill_length", lambda codes: codes > 50, "bill_length is above 50 mm", None),
    ("bill_length", lambda codes: codes <= 40, "bill_length is at most 40 mm", None),
]


@pytest.mark.parametrize(("feature", "is_there", "words", "category"), PLACES, ids=[place[2] for place in PLACES])
def test_changes_are_found_where_they_are(
    mixed: Versions, feature: str, is_there: Any, words: str, category: str | None
) -> None:
    """A change that only rows with some values of a feature have is found there, in words."""
    rows = mixed_rows(3_000)
    column = [each.name for each in mixed[0].features].index(feature)
    before = np.tile(np.array([[0.7, 0.2, 0.1]], np.float32), (len(rows), 1))
    after = np.where(is_there(rows[:, column])[:, np.newaxis], before[:, ::-1], before)
    (output,) = compare(mixed, rows, before, after)["outputs"]
    (change,) = output["changes"]
    assert (describe(change), change["rows"]) == (("Adelie", "Gentoo"), is_there(rows[:, column]).sum())
    mostly = change["mostly"]
    assert mostly
    assert (mostly["feature"], mostly["says"], mostly["category"]) == (feature, words, category)
    assert mostly["rows"] >= mostly["changed"] >= 0.9 * change["rows"]
    assert output["ranges"]
    assert output["ranges"][0]["feature"] == feature


def test_ranges_of_mixed_features_are_those_of_a_loop(mixed: Versions) -> None:
    """Each range's rows and changed rows."""
    rows = mixed_rows(2_000)
    before, after = moved_outputs(mixed[0], rows, scale=0.5)
    looped = compare_in_loops(*mixed, rows, before, after)
    (output,) = compare(mixed, rows, before, after)["outputs"]
    counts = {(looped.rows_in[place], looped.outputs[0].changed_in[place], place[0]) for place in looped.rows_in}
    assert output["ranges"]
    for place in output["ranges"]:
        assert (place["rows"], place["changed"], place["feature"]) in counts


def test_a_change_is_compared_with_rows_of_its_label(versions: dict[tuple[str, bool], Versions]) -> None:
    """If all rows of a label change, no range of features stands out, wherever these rows lie."""
    pair = versions["softmax", True]
    rows = random_rows(2_000)
    is_low = rows[:, :1] < 0
    before = np.where(is_low, [[0.8, 0.1, 0.1]], [[0.1, 0.8, 0.1]]).astype(np.float32)
    after = np.where(is_low, [[0.1, 0.1, 0.8]], before).astype(np.float32)
    (output,) = compare(pair, rows, before, after)["outputs"]
    assert [(describe(change), change["mostly"]) for change in output["changes"]] == [(("a", "c"), None)]
    after = np.where(is_low & (rows[:, 1:2] > 1.5), [[0.1, 0.1, 0.8]], before).astype(np.float32)
    (change,) = compare(pair, rows, before, after)["outputs"][0]["changes"]
    assert change["mostly"]
    assert (change["mostly"]["feature"], change["mostly"]["upto"]) == ("f2", None)


@pytest.mark.parametrize("changed", range(1, 8))
def test_few_changed_rows_tell_nothing_about_their_values(
    versions: dict[tuple[str, bool], Versions], changed: int
) -> None:
    """A range is named from five changed rows on."""
    pair = versions["softmax", True]
    rows = random_rows(2_000)
    before = np.tile(np.array([[0.8, 0.1, 0.1]], np.float32), (len(rows), 1))
    after = before.copy()
    after[np.argsort(rows[:, 0])[:changed]] = 0.1, 0.1, 0.8
    (output,) = compare(pair, rows, before, after)["outputs"]
    assert bool(output["ranges"]) == (changed >= MIN_CHANGED) == bool(output["changes"][0]["mostly"])


def test_chance_names_no_range(versions: dict[tuple[str, bool], Versions]) -> None:
    """Rows that change at random lie nowhere in particular."""
    pair, rng = versions["softmax", True], np.random.default_rng(1)
    found = 0
    for count in (5, 6, 8, 10, 20, 40, 100) * 20:
        rows = random_rows(2_000, int(rng.integers(2**32)))
        before = np.tile(np.array([[0.8, 0.1, 0.1]], np.float32), (len(rows), 1))
        after = before.copy()
        after[rng.choice(len(rows), count, replace=False)] = 0.1, 0.1, 0.8
        (change,) = compare(pair, rows, before, after)["outputs"][0]["changes"]
        found += change["mostly"] is not None
    assert found <= 1


# Large models


def test_many_labels(tmp_path: Path) -> None:
    """Too many for pairs: each label's losses and gains; the report lists the most frequent and counts the rest."""
    network = Network.random((3, 4, 1_500))
    first, second = (Model.open(handmade_bundles.publish(tmp_path, network).folder, "litert") for _ in range(2))
    comparison = Comparison(first, second)
    assert comparison.size < 10 * len(first.labels)
    rows = random_rows(400)
    before = first.outputs(rows)
    after = np.roll(before, 1, axis=1)
    report = comparison.report(comparison.count(rows, before, after))
    (output,) = report["outputs"]
    looped = compare_in_loops(first, second, rows, before, after)
    changes = looped.outputs[0].changes
    lost, gained = ({change[side] for change in changes} for side in (0, 1))
    assert output["kind"] == "classification"
    assert output["agree"]["rows"] == 0
    assert len(output["changes"]) + output["other_changes"]["changes"] == len(lost) + len(gained) > MAX_LISTED
    assert sum(each["rows"] for each in output["changes"]) + output["other_changes"]["rows"] == 2 * len(rows)
    assert [text.split(",")[0] for text in output["omitted"]] == [
        "which label became which",
        "the feature ranges of each change",
    ]
    assert {label for label, counts in output["labels"].items() if counts["lost"]} == lost
    assert "changes lose " in report["verdict"]


def test_many_features(tmp_path: Path) -> None:
    """Too many for the ranges of each change: all changes of an output are placed together."""
    network = Network.random((3_000, 4, 3))
    first, second = (Model.open(handmade_bundles.publish(tmp_path, network).folder, "litert") for _ in range(2))
    comparison = Comparison(first, second)
    assert MAX_CHANGE_CELLS < comparison.size < 2 * 16 * 3_000 + 1_000
    rows = random_rows(300, features=3_000)
    before = np.tile(np.array([[0.8, 0.1, 0.1]], np.float32), (len(rows), 1))
    after = np.where(rows[:, 2_000:2_001] < -2, before[:, ::-1], before)
    report = comparison.report(comparison.count(rows, before, after))
    (output,) = report["outputs"]
    assert output["omitted"] == ["the feature ranges of each change, because they would need more than 40,000 counts"]
    assert output["changes"][0]["mostly"] is None
    assert output["mostly"]
    assert output["mostly"]["feature"] == "f2001"
    assert "where f2001 is at most 0 (" in report["verdict"]
