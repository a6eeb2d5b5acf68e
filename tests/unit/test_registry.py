"""Model versions: which one serves as the store changes, and that each response comes from one version."""

import gc
import json
import logging
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import headed_bundles, mixed_bundles
from support.handmade_bundles import Network, publish

from models.bundle import CURRENT, MANIFEST, MODEL_LITERT, SHADOW, BundleError
from models.feature import Feature, Hashing
from models.signature import Input
from service.app.flask_app import flask_app
from service.app.routes import Service, build_service
from service.inference.registry import Version
from service.inference.schema_change import find_change
from service.settings import Settings

ROW = {"features": [0.5, -1, 2]}


def network(seed: int, labels: int = 2) -> Network:
    return Network.random((3, 4, labels), seed=seed)


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A model with three versions, each a different network."""
    for seed in (1, 2, 3):
        publish(tmp_path, network(seed))
    return tmp_path / "handmade"


def start_service(model_dir: Path, **settings: Any) -> Service:
    return build_service(Settings(model_store=model_dir.parent, model_name=model_dir.name, **settings))


def post_json(service: Service, path: str = "/predict", document: Any = ROW) -> Any:
    response = flask_app(service).test_client().post(path, json=document)
    assert response.status_code == 200, response.data
    return response.json


def serving_version(service: Service) -> str:
    """The version that serves; asserts that the response comes from its network."""
    response = post_json(service)
    version = response["model"]["version"]
    expected = network(int(version)).outputs([ROW["features"]])["probabilities"][0]  # type: ignore[arg-type]
    assert list(response["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    return str(version)


def flip_one_bit(model_dir: Path, version: int) -> None:
    path = model_dir / str(version) / MODEL_LITERT
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def change_golden_row(model_dir: Path, version: int) -> None:
    path = model_dir / str(version) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["golden"][0]["outputs"]["probabilities"][0] += 0.1
    path.write_text(json.dumps(manifest))


def truncate_manifest(model_dir: Path, version: int) -> None:
    path = model_dir / str(version) / MANIFEST
    path.write_bytes(path.read_bytes()[:1000])


def change_manifest(**changes: Any) -> Callable[[Path, int], None]:
    """Let a manifest name another model or version."""

    def change(model_dir: Path, version: int) -> None:
        path = model_dir / str(version) / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def remove_all_files(model_dir: Path, version: int) -> None:
    shutil.rmtree(model_dir / str(version))
    (model_dir / str(version)).mkdir()


def test_newest_version_serves_and_others_stay_loaded(model_dir: Path) -> None:
    """Paths that name a version are answered by that version's network."""
    service = start_service(model_dir, keep_versions=2)
    assert (serving_version(service), service.registry.versions) == ("3", [2, 3])
    path = "/v1/models/handmade/versions/{}:predict"
    predictions = {
        n: post_json(service, path.format(n), {"instances": [ROW["features"]]})["predictions"][0] for n in (2, 3)
    }
    assert predictions[2] != predictions[3]
    assert predictions[3] == list(post_json(service)["probabilities"].values())
    client = flask_app(service).test_client()
    assert client.get("/v2/models/handmade/versions/1").status_code == 404
    assert client.get("/v2/models/handmade").json["versions"] == ["2", "3"]  # type: ignore[index]
    assert len(client.get("/v1/models/handmade").json["model_version_status"]) == 2  # type: ignore[index]


def test_new_version_takes_over(model_dir: Path) -> None:
    """It serves from the next request on; the versions before it stay loaded, except the oldest."""
    service = start_service(model_dir)
    assert serving_version(service) == "3"
    publish(model_dir.parent, network(4))
    service.registry.refresh()
    assert (serving_version(service), service.registry.versions) == ("4", [3, 4])


@pytest.mark.parametrize(
    "damage",
    [
        flip_one_bit,
        change_golden_row,
        truncate_manifest,
        change_manifest(name="others"),
        change_manifest(version=5),
        remove_all_files,
    ],
)
def test_broken_version_is_refused(model_dir: Path, damage: Callable[[Path, int], None]) -> None:
    """The old version serves on, /health and the repository index list the refused one, and once repaired it serves."""
    service = start_service(model_dir)
    publish(model_dir.parent, network(4))
    intact = shutil.copytree(model_dir / "4", model_dir.parent / "kept")
    damage(model_dir, 4)
    for _ in range(3):
        service.registry.refresh()
        assert serving_version(service) == "3"
    client = flask_app(service).test_client()
    refused = client.get("/health").json["refused"]  # type: ignore[index]
    assert list(refused) == ["4"]
    assert str(model_dir) not in refused["4"]
    index = client.post("/v2/repository/index").json
    assert [(one["version"], one["state"]) for one in index] == [  # type: ignore[union-attr]
        ("2", "READY"),
        ("3", "READY"),
        ("4", "UNAVAILABLE"),
    ]
    shutil.rmtree(model_dir / "4")
    shutil.copytree(intact, model_dir / "4")
    service.registry.refresh()
    assert (serving_version(service), service.registry.refused) == ("4", {})


def test_changed_schema_needs_a_restart(model_dir: Path) -> None:
    """Clients rely on the features and labels that they have read."""
    service = start_service(model_dir)
    publish(model_dir.parent, network(4, labels=3))
    service.registry.refresh()
    assert serving_version(service) == "3"
    assert "other features, labels or outputs" in service.registry.refused["4"]
    assert start_service(model_dir).registry.current.model.identity["version"] == "4"


def rename(*keys: str | int) -> Callable[[Any], None]:
    """Change the name that stands at a place of a manifest."""

    def change(manifest: Any) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = f"{manifest[keys[-1]]} 2"

    return change


def swap_outputs(manifest: Any) -> None:
    """Swap two outputs of the same width."""
    manifest["outputs"][1], manifest["outputs"][2] = manifest["outputs"][2], manifest["outputs"][1]


def merge_inputs(manifest: Any) -> None:
    manifest["inputs"] = [{"name": "position", "width": 3}]


@pytest.mark.parametrize(
    ("change", "is_served"),
    [
        (rename("inputs", 0, "name"), False),
        (merge_inputs, False),
        (rename("outputs", 0, "name"), False),
        (rename("outputs", 1, "labels", 0), False),
        (rename("outputs", 0, "targets", 0, "name"), False),
        (rename("outputs", 0, "targets", 0, "unit"), False),
        (swap_outputs, False),
        (rename("features", 0, "name"), False),
        (rename("features", 0, "unit"), False),
        (rename("features", 0, "how"), True),
        (lambda manifest: manifest["outputs"][1].update(threshold=0.2), True),
        (lambda manifest: manifest["features"][0].update(minimum=-4, maximum=4), True),
    ],
)
def test_changed_inputs_and_outputs_need_a_restart(
    tmp_path: Path, change: Callable[[Any], None], is_served: bool
) -> None:
    """Names, kinds, labels, targets and units are what clients rely on; bounds and thresholds may differ."""
    inputs = (Input(name="position", width=2), Input(name="speed", width=1))
    for _ in range(2):
        headed_bundles.publish(tmp_path, headed_bundles.SEVERAL, inputs=inputs, sample=False)
    model_dir = tmp_path / "headed"
    path = model_dir / "2" / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    (model_dir / "2").rename(tmp_path / "next")
    service = start_service(model_dir)
    (tmp_path / "next" / MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / "next").rename(model_dir / "2")
    service.registry.refresh()
    assert service.registry.current.model.identity["version"] == ("2" if is_served else "1")
    assert list(service.registry.refused) == ([] if is_served else ["2"])


def publish_mixed(store: Path, name: str = "year", columns: tuple[int, ...] = (), **fields: Any) -> None:
    """Publish a model of which one feature has other fields, and its encoder other columns."""
    feature = next(feature for feature in mixed_bundles.FEATURES if feature.name == name)
    changed = Feature(**{**feature.model_dump(), **fields})
    encoders = [
        encoder.model_copy(update={"columns": columns}) if columns and encoder.feature == name else encoder
        for encoder in mixed_bundles.ENCODERS
    ]
    features = [changed if each is feature else each for each in mixed_bundles.FEATURES]
    position = features.index(changed)
    rows = mixed_bundles.raw_rows(400)
    if changed.categories and not changed.allow_other:  # the others are not valid any more
        rows = [row for row in rows if row[position] is None or row[position] in changed.categories]
    mixed_bundles.publish(store, features=features, encoders=encoders, rows=rows)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "island", "categories": (*mixed_bundles.ISLANDS, "Anvers"), "columns": (0, 1, 2, 0)}, ""),
        ({"name": "island", "categories": mixed_bundles.ISLANDS[::-1]}, ""),
        ({"name": "year", "minimum": 1990, "maximum": 2050}, ""),
        (
            {"name": "island", "categories": ("Biscoe", "Dream"), "columns": (0, 1)},
            "island has no 'Torgersen' any more",
        ),
        ({"name": "ring", "categories": (1, 2, 6)}, "ring has no '5' any more"),
        ({"name": "year", "kind": "number"}, "year is of another kind or type"),
        ({"name": "colony", "default": "south"}, "colony has another default"),
        ({"name": "year", "unit": "a"}, "other features"),
    ],
)
def test_new_versions_take_every_row_that_was_valid(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """A vocabulary may grow; with another one, another kind or another default the service must be restarted."""
    publish_mixed(tmp_path)
    service = start_service(tmp_path / "mixed")
    publish_mixed(tmp_path, **change)
    service.registry.refresh()
    assert service.registry.current.model.identity["version"] == ("1" if reason else "2"), service.registry.refused
    assert reason in service.registry.refused.get("2", "")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({"allow_other": True}, {"allow_other": True}, ""),
        ({}, {"allow_other": True}, ""),
        ({"allow_other": True}, {}, "must be one of the known categories now"),
        ({}, {"allow_missing": True}, ""),
        ({"allow_missing": True}, {}, "must not be missing any more"),
        ({"allow_missing": True}, {"default": "a"}, ""),
        ({"default": "a"}, {"default": "b"}, "another default"),
        ({"default": "a"}, {"allow_missing": True}, "another default"),
        ({"categories": ("a", "b", "c")}, {"categories": ("c", "a", "b")}, ""),
        ({"categories": ("a", "b", "c")}, {}, "has no 'c' any more"),
        ({"categories": ("a", "b")}, {"categories": (1, 2)}, "another kind or type"),
        ({}, {"categories": (), "hashing": Hashing(bins=9)}, ""),
        ({"categories": (), "hashing": Hashing(bins=9)}, {}, "must be one of the known categories now"),
        ({"categories": (), "hashing": Hashing(bins=9)}, {"categories": (), "hashing": Hashing(bins=3)}, ""),
        ({"categories": (0, 1)}, {"categories": (False, True)}, "another kind or type"),
    ],
)
def test_changes_of_a_category(old: dict[str, Any], new: dict[str, Any], reason: str) -> None:
    """What was valid must stay valid, and mean the same."""
    base = {"name": "c", "kind": "category", "minimum": None, "maximum": None, "categories": ("a", "b")}
    change = find_change(Feature(**{**base, **new}), Feature(**{**base, **old}))
    assert (reason in change) if reason else change == ""


def test_start_skips_broken_versions(model_dir: Path) -> None:
    """The newest valid version serves; without one the start fails with the newest version's error."""
    flip_one_bit(model_dir, 3)
    assert serving_version(start_service(model_dir)) == "2"
    flip_one_bit(model_dir, 2)
    change_golden_row(model_dir, 1)
    with pytest.raises(BundleError, match=r"3/model\.tflite does not match manifest"):
        start_service(model_dir)


def test_removing_the_serving_version_rolls_back(model_dir: Path) -> None:
    """The next newest version serves; the last one goes on serving_version from memory."""
    service = start_service(model_dir)
    for version, expected in ((3, "2"), (2, "1"), (1, "1")):
        shutil.rmtree(model_dir / str(version))
        service.registry.refresh()
        assert serving_version(service) == expected


def test_current_selects_the_serving_version(model_dir: Path) -> None:
    """``CURRENT`` names the version that serves, until the file is removed; invalid content changes nothing."""
    service = start_service(model_dir)
    for content, expected in (("1", "1"), ("2\n", "2"), ("9", "2")):
        (model_dir / CURRENT).write_text(content)
        service.registry.refresh()
        assert serving_version(service) == expected
    for invalid in ("", "two", "-1", "0", "1 2", "1" * 100):
        (model_dir / CURRENT).write_text(invalid)
        with pytest.raises(BundleError, match="must contain a version number only"):
            service.registry.refresh()
        assert serving_version(service) == "2"
    (model_dir / CURRENT).unlink()
    service.registry.refresh()
    assert serving_version(service) == "3"


@pytest.mark.parametrize(
    ("shadow", "current", "pinned", "serving", "compared", "fault"),
    [
        ("3", "", None, "2", "3", ""),
        ("3\n", "", None, "2", "3", ""),
        ("2", "", None, "3", "2", ""),
        ("1", "", None, "3", "1", ""),
        ("3", "1", None, "1", "3", ""),
        ("1", "2", None, "2", "1", ""),
        ("3", "", 1, "1", "3", ""),
        ("3", "1", 2, "2", "3", ""),
        ("3", "3", None, "3", "", "version 3 serves"),
        ("2", "3", 2, "2", "", "version 2 serves"),
        ("4", "", None, "3", "", "there is no version 4 yet"),
        ("4", "2", None, "2", "", "there is no version 4 yet"),
        ("", "", None, "3", "", "SHADOW must contain a version number only"),
        ("three", "2", None, "2", "", "SHADOW must contain a version number only"),
        ("-1", "", 1, "1", "", "SHADOW must contain a version number only"),
        (None, "", None, "3", "", ""),
    ],
)
def test_shadow_is_loaded_and_never_serves(  # noqa: PLR0913, PLR0917 (a table)
    model_dir: Path, shadow: str | None, current: str, pinned: int | None, serving: str, compared: str, fault: str
) -> None:
    """Whether it is named before the start or while the service runs; no fault of it stops either."""
    running = start_service(model_dir, model_version=pinned, keep_versions=1)
    if current:
        (model_dir / CURRENT).write_text(current)
    if shadow is not None:
        (model_dir / SHADOW).write_text(shadow)
    running.registry.refresh()
    for service in (running, start_service(model_dir, model_version=pinned, keep_versions=1)):
        registry = service.registry
        assert serving_version(service) == serving
        assert str(registry.shadow.model.version if registry.shadow else "") == compared
        assert registry.shadow_fault.startswith(fault)
        assert bool(registry.shadow_fault) == bool(fault)
        assert set(registry.by_number) == {serving, compared} - {""}
        assert registry.versions == sorted(map(int, registry.by_number))
    (model_dir / SHADOW).unlink(missing_ok=True)
    (model_dir / CURRENT).unlink(missing_ok=True)
    running.registry.refresh()
    assert (running.registry.shadow, running.registry.shadow_fault) == (None, "")
    assert serving_version(running) == str(pinned or 3)


def test_shadow_waits_for_its_version(model_dir: Path) -> None:
    """It does not serve when it appears, is kept beside as many versions as without it, and is answered by its path."""
    service = start_service(model_dir)
    (model_dir / SHADOW).write_text("4")
    service.registry.refresh()
    publish(model_dir.parent, network(4))
    service.registry.refresh()
    assert (serving_version(service), service.registry.versions) == ("3", [2, 3, 4])
    assert service.registry.current.model is not service.registry.shadow.model  # type: ignore[union-attr]
    document = {"instances": [ROW["features"]]}
    predicted = post_json(service, "/v1/models/handmade/versions/4:predict", document)["predictions"][0]
    assert predicted == pytest.approx(network(4).outputs([ROW["features"]])["probabilities"][0], abs=1e-5)  # type: ignore[arg-type]
    publish(model_dir.parent, network(5))
    service.registry.refresh()
    assert (serving_version(service), service.registry.versions) == ("5", [3, 4, 5])
    shutil.rmtree(model_dir / "4")
    service.registry.refresh()
    assert (service.registry.shadow, service.registry.versions) == (None, [3, 5])


@pytest.mark.parametrize("damage", [flip_one_bit, change_golden_row, remove_all_files, change_manifest(version=5)])
def test_broken_shadow_is_refused(
    model_dir: Path, damage: Callable[[Path, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once and stops no start; once it is repaired, it is compared."""
    caplog.set_level(logging.INFO, "menagerie")
    intact = shutil.copytree(model_dir / "3", model_dir.parent / "kept")
    damage(model_dir, 3)
    (model_dir / SHADOW).write_text("3")
    service = start_service(model_dir)
    for _ in range(3):
        service.registry.refresh()
        assert (serving_version(service), service.registry.shadow) == ("2", None)
        assert service.registry.shadow_fault == f"version 3 is refused: {service.registry.refused['3']}"
        assert str(model_dir) not in service.registry.shadow_fault
    assert caplog.text.count("handmade has no shadow: version 3 is refused") == 1
    shutil.rmtree(model_dir / "3")
    shutil.copytree(intact, model_dir / "3")
    service.registry.refresh()
    assert service.registry.shadow
    assert (service.registry.shadow_fault, service.registry.refused) == ("", {})
    flip_one_bit(model_dir, 3)
    service.registry.refresh()
    assert list(service.registry.refused) == ["3"]
    assert service.registry.shadow.model.version == 3


def test_shadow_has_the_schema_of_the_serving_version(model_dir: Path) -> None:
    """Also at the start, where kept versions need not: their outputs are never compared."""
    publish(model_dir.parent, network(4, labels=3))
    (model_dir / SHADOW).write_text("4")
    for service in (start_service(model_dir), start_service(model_dir, keep_versions=4)):
        assert (serving_version(service), service.registry.shadow) == ("3", None)
        assert "other features, labels or outputs than the serving version" in service.registry.shadow_fault
        service.registry.refresh()
        assert service.registry.versions[-1] == 3
    loaded_before = start_service(model_dir, keep_versions=4, model_version=4)
    (model_dir / SHADOW).write_text("3")
    loaded_before.registry.refresh()
    assert loaded_before.registry.shadow is None
    for _ in range(2):
        assert list(loaded_before.registry.refused) == ["3"]
        assert loaded_before.registry.refresh() == []


@pytest.mark.parametrize("change", ["serves", "is compared", "is kept"])
def test_version_refused_as_a_shadow_is_refused_no_longer_than_that(model_dir: Path, change: str) -> None:
    """It may serve, or be compared with another version, although it could not be compared with this one."""
    publish(model_dir.parent, network(4, labels=3))
    service = start_service(model_dir, keep_versions=4)
    (model_dir / SHADOW).write_text("3")
    service.registry.refresh()
    assert list(service.registry.refused) == ["3"]
    if change == "serves":
        (model_dir / CURRENT).write_text("3")
    elif change == "is compared":
        (model_dir / CURRENT).write_text("2")
    else:
        (model_dir / SHADOW).unlink()
    service.registry.refresh()
    assert service.registry.refused == {}
    assert 3 in service.registry.versions


def test_only_version_does_not_serve_as_shadow(tmp_path: Path) -> None:
    """A running service goes on; at the start there is nothing to serve."""
    publish(tmp_path, network(1))
    publish(tmp_path, network(2))
    model_dir = tmp_path / "handmade"
    service = start_service(model_dir)
    shutil.rmtree(model_dir / "1")
    (model_dir / SHADOW).write_text("2")
    service.registry.refresh()
    assert "version 2 serves" in service.registry.shadow_fault
    with pytest.raises(BundleError, match="SHADOW names the only version, so that none may serve"):
        start_service(model_dir)
    with pytest.raises(BundleError, match="SHADOW names the only version, so that none may serve"):
        build_service(Settings(model_dir=model_dir, model_name="handmade"))


def test_promoted_shadow_serves_as_it_is(model_dir: Path) -> None:
    """It is not loaded again, whichever file changes first."""
    (model_dir / SHADOW).write_text("3")
    for steps in (("CURRENT", "SHADOW"), ("SHADOW", "CURRENT")):
        service = start_service(model_dir)
        shadow = service.registry.shadow
        assert shadow
        for step in steps:
            if step == "SHADOW":
                (model_dir / SHADOW).unlink()
            else:
                (model_dir / CURRENT).write_text("3")
            events = service.registry.refresh()
            assert "loaded" not in [event.kind for event in events]
            assert service.registry.serving is shadow
        assert (service.registry.shadow, service.registry.shadow_fault) == (None, "")
        (model_dir / CURRENT).unlink()
        (model_dir / SHADOW).write_text("3")


def test_pinned_version_serves(model_dir: Path) -> None:
    """MENAGERIE_MODEL_VERSION serves that version whatever appears; a version that does not exist is an error."""
    service = start_service(model_dir, model_version=2)
    publish(model_dir.parent, network(4))
    (model_dir / CURRENT).write_text("1")
    service.registry.refresh()
    assert serving_version(service) == "2"
    with pytest.raises(BundleError, match="cannot read"):
        start_service(model_dir, model_version=9)


def test_model_dir_serves_under_the_configured_name(model_dir: Path) -> None:
    """MENAGERIE_MODEL_DIR holds versions, or is one; every protocol knows the configured name and no other."""
    (model_dir.parent / "unpacked").mkdir()
    version_dir = shutil.copytree(model_dir / "2", model_dir.parent / "unpacked" / "models")
    for folder, versions in ((model_dir, ["2", "3"]), (version_dir, ["2"])):
        service = build_service(Settings(model_dir=folder, model_name="renamed"))
        client = flask_app(service).test_client()
        assert serving_version(service) == versions[-1]
        assert post_json(service)["model"]["name"] == "renamed"
        assert client.get("/model").json["name"] == "renamed"  # type: ignore[index]
        assert client.get("/v2/models/renamed").json["versions"] == versions  # type: ignore[index]
        assert client.get("/v2/models/handmade").status_code == 404
        assert post_json(service, "/v1/models/renamed:predict", {"instances": [ROW["features"]]})["predictions"]
    publish(model_dir.parent, network(4))
    (model_dir.parent / "handmade" / "4").rename(version_dir.parent / "next")
    shutil.rmtree(version_dir)
    (version_dir.parent / "next").rename(version_dir)
    service.registry.refresh()
    assert serving_version(service) == "4"


def test_model_dir_without_a_model_is_an_error(tmp_path: Path) -> None:
    """The message names the setting."""
    with pytest.raises(BundleError, match="MENAGERIE_MODEL_DIR must be a bundle or"):
        build_service(Settings(model_dir=tmp_path))


def test_version_changed_in_place_is_checked_again(model_dir: Path) -> None:
    """The loaded one serves until the files are valid again."""
    service = start_service(model_dir)
    before = post_json(service)
    flip_one_bit(model_dir, 3)
    service.registry.refresh()
    assert post_json(service) == before
    assert list(service.registry.refused) == ["3"]


def select_current(model_dir: Path, swap: int) -> None:
    (model_dir / CURRENT).write_text(str(1 + swap % 3))


def replace_in_place(model_dir: Path, swap: int) -> None:
    touch(model_dir / "3", swap)


def replace_shadow(model_dir: Path, swap: int) -> None:
    (model_dir / SHADOW).write_text("2")
    touch(model_dir / "2", swap)


def touch(folder: Path, time: int) -> None:
    os.utime(folder / MANIFEST, (time, time))


@pytest.fixture
def collector_off() -> Iterator[None]:
    """Python's own collections are left out; those that the service asks for are not."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector_off")
@pytest.mark.parametrize("swap_version", [select_current, replace_in_place, replace_shadow])
def test_swaps_do_not_leak_models(model_dir: Path, swap_version: Callable[[Path, int], None]) -> None:
    """After a dozen swaps only what is loaded is in memory, and perhaps a shadow that was compared last."""
    service = start_service(model_dir, keep_versions=1)
    models_seen = weakref.WeakSet(service.registry.models)
    for swap in range(12):
        swap_version(model_dir, swap)
        service.registry.refresh()
        models_seen.update(service.registry.models)
        if swap % 4 == 0:
            serving_version(service)
    assert len(models_seen) <= len(service.registry.models) + (service.registry.shadow is not None)


def test_models_are_listed_while_versions_are_dropped(model_dir: Path) -> None:
    """Those of before or those of after, as metrics and statistics are asked for in other threads."""
    registry = start_service(model_dir, keep_versions=3).registry

    class Dropping(dict[int, Version]):
        def __iter__(self) -> Iterator[int]:
            vars(registry)["_loaded"] = {}
            return super().__iter__()

    vars(registry)["_loaded"] = Dropping(vars(registry)["_loaded"])
    assert [model.version for model in registry.models] == [1, 2, 3]
    assert registry.models == []


def test_statistics_are_kept_per_version(model_dir: Path) -> None:
    """A version's counts survive a swap and include no other version's requests."""
    service = start_service(model_dir, keep_versions=3)
    for version, times in ((1, 3), (2, 5)):
        for _ in range(times):
            post_json(service, f"/v1/models/handmade/versions/{version}:predict", {"instances": [ROW["features"]] * 2})
    stats = flask_app(service).test_client().get("/v2/models/handmade/stats").json["model_stats"]  # type: ignore[index]
    assert {one["version"]: one["inference_count"] for one in stats} == {"1": 6, "2": 10, "3": 0}
