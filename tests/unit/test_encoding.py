"""Encoders: the definition in `models.encoding`, and the fast way of the service, which must give the same bits."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support import handmade_bundles, headed_bundles, mixed_bundles

from models.bundle import Bundle
from models.encoding import NO_COLUMN, NumberEncoder, OneHotEncoder, TableEncoder, encode
from models.feature import Feature, to_codes
from models.manifest import Manifest
from service.inference.encoding import EncodedEngine
from service.inference.model import Model

NUMBER = Feature(name="n", minimum=0, maximum=9, allow_missing=True)
CATEGORY = Feature(
    name="c", kind="category", minimum=None, maximum=None, categories=("a", "b"), allow_other=True, allow_missing=True
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return mixed_bundles.publish(tmp_path_factory.mktemp("store"))


class Recorder:
    """An engine that gives what it is given; ``sizes`` are the numbers of values that it was given."""

    layers: Collection[str] = ("probabilities",)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, rows: Any, layers: Any) -> dict[str, Any]:
        self.sizes.append(rows.size)
        return dict.fromkeys(layers, rows.copy())

    def run_row(self, rows: Any, layer: str) -> Any:
        del layer
        return rows


@pytest.mark.parametrize(
    ("encoder", "feature", "values", "expected"),
    [
        (NumberEncoder(feature="n", fill=4.0), NUMBER, [1.5, None], [[1.5], [4.0]]),
        (NumberEncoder(feature="n", fill=4.0, indicator=True), NUMBER, [1.5, None], [[1.5, 0], [4.0, 1]]),
        (
            OneHotEncoder(feature="c", width=2, columns=(1, 0, NO_COLUMN, 1)),
            CATEGORY,
            ["a", "b", "zzz", None],
            [[0, 1], [1, 0], [0, 0], [0, 1]],
        ),
        (
            OneHotEncoder(feature="n", boundaries=(2.0, 5.0), width=3, columns=(0, 1, 2, NO_COLUMN)),
            NUMBER,
            [1.99, 2.0, 5, 9, None],
            [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]],
        ),
        (
            TableEncoder(feature="c", table=((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0))),
            CATEGORY,
            ["b", None, "zzz"],
            [[3, 4], [7, 8], [5, 6]],
        ),
        (TableEncoder(feature="n", boundaries=(0.5,), table=((1.0,), (2.0,), (3.0,))), NUMBER, [0.5, None], [[2], [3]]),
    ],
)
def test_each_encoder_gives_its_columns(encoder: Any, feature: Feature, values: list[Any], expected: Any) -> None:
    codes = to_codes([feature], [[value] for value in values])

    np.testing.assert_array_equal(encode([encoder], [feature], codes), np.array(expected, np.float32))
    assert len(encoder.column_names(feature)) == encoder.width


def test_the_service_encodes_as_the_definition_says(published: Bundle) -> None:
    manifest = published.manifest
    codes = to_codes(manifest.features, mixed_bundles.raw_rows(300, seed=8))
    engine = EncodedEngine(Recorder(), manifest)

    expected = manifest.encode(codes)

    assert np.isnan(codes).any()
    np.testing.assert_array_equal(engine.run(codes, ("probabilities",))["probabilities"], expected)
    np.testing.assert_array_equal(
        np.concatenate([engine.run_row(codes[i : i + 1], "probabilities") for i in range(len(codes))]), expected
    )
    assert expected.shape[1] == len(manifest.network_inputs)


def test_large_vocabularies_are_encoded_one_by_one() -> None:
    names = tuple(f"c{number}" for number in range(1200))
    feature = Feature(name="c", kind="category", minimum=None, maximum=None, categories=names)
    encoder = OneHotEncoder(feature="c", width=1200, columns=tuple(range(1200)))
    manifest = Manifest.model_construct(features=(feature,), encoders=(encoder,))
    engine = EncodedEngine(Recorder(), manifest)

    row = engine.run_row(np.array([[700]], np.float32), "probabilities")

    assert (row.sum(), row[0, 700]) == (1, 1)


def test_many_rows_of_many_columns_are_encoded_in_parts() -> None:
    """A request of 150 kB, with 10,000 rows of a category, would take half a gigabyte."""
    names = tuple(f"c{number}" for number in range(5000))
    feature = Feature(name="c", kind="category", minimum=None, maximum=None, categories=names)
    encoder = OneHotEncoder(feature="c", width=5000, columns=tuple(range(5000)))
    manifest = Manifest.model_construct(features=(feature,), encoders=(encoder,))
    recorder = Recorder()
    codes = np.arange(2000, dtype=np.float32)[:, np.newaxis]

    encoded = EncodedEngine(recorder, manifest).run(codes, iter(["probabilities"]))["probabilities"]

    np.testing.assert_array_equal(encoded.argmax(axis=1), codes[:, 0])
    assert max(recorder.sizes) <= 2**22
    assert len(recorder.sizes) > 1


def test_rows_have_the_same_bits_alone_and_together(published: Bundle) -> None:
    model = Model.open(published.folder, "litert")
    codes = to_codes(model.features, mixed_bundles.raw_rows(50, seed=9))

    alone = np.concatenate([model.predict(codes[i : i + 1]).outputs for i in range(len(codes))])

    np.testing.assert_array_equal(model.predict(codes).outputs, alone)
    assert len(set(model.predict(codes).labels)) > 1


def change(path: list[Any], value: Any) -> Callable[[dict[str, Any]], None]:
    """Replace what is at a path in a manifest; `...` removes it."""

    def apply(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        if value is ...:
            del document[path[-1]]
        else:
            document[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    "edit",
    [
        change(["format"], 2),
        change(["encoders"], []),
        change(["encoders", 0, "feature"], "unknown"),
        change(["encoders", 0, "kind"], "unknown"),
        change(["encoders", 0], {"kind": "number", "feature": "island"}),
        change(["encoders", 2, "fill"], None),
        change(["encoders", 0, "indicator"], True),
        change(["encoders", 1, "boundaries"], [50.0, 40.0]),
        change(["encoders", 1, "boundaries"], []),
        change(["encoders", 4, "columns"], [0, 1]),
        change(["encoders", 4, "columns"], [0, 1, 3]),
        change(["encoders", 4, "columns"], [0, 1, -2]),
        change(["encoders", 4, "boundaries"], [0.5]),
        change(["encoders", 7, "table", 0], [1.0]),
        change(["encoders", 7, "table"], [[1.0, 2.0]]),
        change(["features", 3, "categories"], ["Biscoe", "Dream"]),
        change(["features", 3, "kind"], "number"),
        change(["golden", 0, "features", 3], "Mars"),
        change(["golden", 0, "features", 3], 1),
        change(["golden", 0, "features", 0], None),
        change(["golden", 0, "features", 0], "12"),
        change(["golden", 0, "features", 0], 1e300),
        change(["golden", 0, "features", 0], 10**60),
        change(["golden", 0, "features", 1], -(10**400)),
        change(["golden", 0, "features", 2], 2007.5),
        change(["background", 0], {"island": 3}),
        change(["background", 0, 2], 10**400),
        change(["background", 0, 3], None),
        change(["reference", "categories", "", "island"], [0.5, 0.5]),
        change(["reference", "categories", ""], ...),
        change(["reference", "categories", "Mars"], {}),
        change(["reference", "missing"], {}),
        change(["reference", "features", "island"], [0] * 7),
        change(["labels"], ["a", "b", "c"]),
    ],
)
def test_inconsistent_manifests_are_invalid(published: Bundle, edit: Any) -> None:
    document = json.loads(published.manifest.to_json())
    Manifest.model_validate(document)
    edit(document)

    with pytest.raises(ValidationError):
        Manifest.model_validate_json(json.dumps(document))


def test_a_manifest_is_read_as_it_was_written(published: Bundle) -> None:
    assert Manifest.model_validate_json(published.manifest.to_json()) == published.manifest


def test_older_formats_have_none_of_the_new_fields(tmp_path: Path) -> None:
    documents = [
        handmade_bundles.publish(tmp_path, handmade_bundles.Network.random((3, 2))).manifest.to_json(),
        headed_bundles.publish(tmp_path, headed_bundles.SOFTMAX).manifest.to_json(),
    ]
    for document in map(json.loads, documents):
        assert not {"encoders"} & document.keys()
        assert document["features"][0].keys() == {"name", "unit", "minimum", "maximum", "how"}
        assert not {"categories", "missing"} & document["reference"].keys()
