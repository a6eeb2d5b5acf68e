"""Versions: which one serves as the store changes, and that each answer is wholly of one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.handmade_bundles import Network, publish

from models.bundle import CURRENT, MANIFEST, MODEL_LITERT, BundleError
from service.app.flask_app import flask_app
from service.app.routes import Service, build_service
from service.settings import Settings

ROW = {"features": [0.5, -1, 2]}


def network(seed: int, labels: int = 2) -> Network:
    return Network.random((3, 4, labels), seed=seed)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A model of three versions, each another network."""
    for seed in (1, 2, 3):
        publish(tmp_path, network(seed))
    return tmp_path / "handmade"


def opened(home: Path, **settings: Any) -> Service:
    return build_service(Settings(model_store=home.parent, model_name=home.name, **settings))


def asked(service: Service, path: str = "/predict", document: Any = ROW) -> Any:
    answer = flask_app(service).test_client().post(path, json=document)
    assert answer.status_code == 200, answer.data
    return answer.json


def serving(service: Service) -> str:
    """The version that serves, having seen that its own network answers."""
    answer = asked(service)
    version = answer["model"]["version"]
    expected = network(int(version)).outputs([ROW["features"]])["probabilities"][0]  # type: ignore[arg-type]
    assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
    return str(version)


def flip(home: Path, version: int) -> None:
    path = home / str(version) / MODEL_LITERT
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def falsify(home: Path, version: int) -> None:
    path = home / str(version) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["golden"][0]["outputs"]["probabilities"][0] += 0.1
    path.write_text(json.dumps(manifest))


def truncate(home: Path, version: int) -> None:
    path = home / str(version) / MANIFEST
    path.write_bytes(path.read_bytes()[:1000])


def claim(**changes: Any) -> Callable[[Path, int], None]:
    """Let a manifest say that it is of another model or version."""

    def change(home: Path, version: int) -> None:
        path = home / str(version) / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def empty(home: Path, version: int) -> None:
    shutil.rmtree(home / str(version))
    (home / str(version)).mkdir()


def test_the_newest_serves_and_others_are_kept(home: Path) -> None:
    """Paths that name a version reach those that are kept loaded, each answered by its own network."""
    service = opened(home, keep_versions=2)
    assert (serving(service), service.registry.versions) == ("3", [2, 3])
    path = "/v1/models/handmade/versions/{}:predict"
    told = {n: asked(service, path.format(n), {"instances": [ROW["features"]]})["predictions"][0] for n in (2, 3)}
    assert told[2] != told[3]
    assert told[3] == list(asked(service)["probabilities"].values())
    client = flask_app(service).test_client()
    assert client.get("/v2/models/handmade/versions/1").status_code == 404
    assert client.get("/v2/models/handmade").json["versions"] == ["2", "3"]  # type: ignore[index]
    assert len(client.get("/v1/models/handmade").json["model_version_status"]) == 2  # type: ignore[index]


def test_what_appears_serves_from_the_next_request_on(home: Path) -> None:
    """A new version takes over; a path that a caller holds goes on working, and the oldest is let go."""
    service = opened(home)
    assert serving(service) == "3"
    publish(home.parent, network(4))
    service.registry.refresh()
    assert (serving(service), service.registry.versions) == ("4", [3, 4])


@pytest.mark.parametrize("harm", [flip, falsify, truncate, claim(name="others"), claim(version=5), empty])
def test_what_is_no_good_is_refused_and_told(home: Path, harm: Callable[[Path, int], None]) -> None:
    """The old one serves on; what is wrong stands in /health and in the index; once it is mended it serves."""
    service = opened(home)
    publish(home.parent, network(4))
    kept = shutil.copytree(home / "4", home.parent / "kept")
    harm(home, 4)
    for _ in range(3):
        service.registry.refresh()
        assert serving(service) == "3"
    client = flask_app(service).test_client()
    refused = client.get("/health").json["refused"]  # type: ignore[index]
    assert list(refused) == ["4"]
    assert str(home) not in refused["4"]
    index = client.post("/v2/repository/index").json
    assert [(one["version"], one["state"]) for one in index] == [  # type: ignore[union-attr]
        ("2", "READY"),
        ("3", "READY"),
        ("4", "UNAVAILABLE"),
    ]
    shutil.rmtree(home / "4")
    shutil.copytree(kept, home / "4")
    service.registry.refresh()
    assert (serving(service), service.registry.refused) == ("4", {})


def test_another_schema_takes_a_restart(home: Path) -> None:
    """Callers know the features and labels that they were told."""
    service = opened(home)
    publish(home.parent, network(4, labels=3))
    service.registry.refresh()
    assert serving(service) == "3"
    assert "other features or labels" in service.registry.refused["4"]
    assert opened(home).registry.current.model.identity["version"] == "4"


def test_a_start_passes_over_what_is_no_good(home: Path) -> None:
    """The newest good version serves; without any the start fails with the newest one's fault."""
    flip(home, 3)
    assert serving(opened(home)) == "2"
    flip(home, 2)
    falsify(home, 1)
    with pytest.raises(BundleError, match=r"3/model\.tflite is not the file"):
        opened(home)


def test_removing_what_serves_rolls_back(home: Path) -> None:
    """The next newest serves; with none left, what served goes on."""
    service = opened(home)
    for version, then in ((3, "2"), (2, "1"), (1, "1")):
        shutil.rmtree(home / str(version))
        service.registry.refresh()
        assert serving(service) == then


def test_pointing_back_rolls_back(home: Path) -> None:
    """``CURRENT`` names the version that serves, until it is taken away; nonsense in it changes nothing."""
    service = opened(home)
    for said, then in (("1", "1"), ("2\n", "2"), ("9", "2")):
        (home / CURRENT).write_text(said)
        service.registry.refresh()
        assert serving(service) == then
    for nonsense in ("", "two", "-1", "0", "1 2", "1" * 100):
        (home / CURRENT).write_text(nonsense)
        with pytest.raises(BundleError, match="must hold the number of a version"):
            service.registry.refresh()
        assert serving(service) == "2"
    (home / CURRENT).unlink()
    service.registry.refresh()
    assert serving(service) == "3"


def test_a_pin_holds(home: Path) -> None:
    """MENAGERIE_MODEL_VERSION serves that version whatever appears, and is an error where there is none."""
    service = opened(home, model_version=2)
    publish(home.parent, network(4))
    (home / CURRENT).write_text("1")
    service.registry.refresh()
    assert serving(service) == "2"
    with pytest.raises(BundleError, match="cannot read"):
        opened(home, model_version=9)


def test_a_folder_serves_by_another_name(home: Path) -> None:
    """MENAGERIE_MODEL_DIR holds versions, or is one; every protocol knows the name that is set, and no other."""
    (home.parent / "unpacked").mkdir()
    alone = shutil.copytree(home / "2", home.parent / "unpacked" / "models")
    for folder, versions in ((home, ["2", "3"]), (alone, ["2"])):
        service = build_service(Settings(model_dir=folder, model_name="renamed"))
        client = flask_app(service).test_client()
        assert serving(service) == versions[-1]
        assert asked(service)["model"]["name"] == "renamed"
        assert client.get("/model").json["name"] == "renamed"  # type: ignore[index]
        assert client.get("/v2/models/renamed").json["versions"] == versions  # type: ignore[index]
        assert client.get("/v2/models/handmade").status_code == 404
        assert asked(service, "/v1/models/renamed:predict", {"instances": [ROW["features"]]})["predictions"]
    publish(home.parent, network(4))
    (home.parent / "handmade" / "4").rename(alone.parent / "next")
    shutil.rmtree(alone)
    (alone.parent / "next").rename(alone)
    service.registry.refresh()
    assert serving(service) == "4"


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    """The message names the setting."""
    with pytest.raises(BundleError, match="MENAGERIE_MODEL_DIR must be a bundle's folder"):
        build_service(Settings(model_dir=tmp_path))


def test_a_version_changed_in_place_is_looked_at_anew(home: Path) -> None:
    """What was loaded goes on serving until the files are good again."""
    service = opened(home)
    before = asked(service)
    flip(home, 3)
    service.registry.refresh()
    assert asked(service) == before
    assert list(service.registry.refused) == ["3"]


def test_swaps_leave_nothing_behind(home: Path) -> None:
    """Thirty swaps back and forth: no version but those kept stays in memory."""
    import gc
    import weakref

    service = opened(home, keep_versions=1)
    seen = weakref.WeakSet([service.registry.current.model])
    for swap in range(30):
        (home / CURRENT).write_text(str(1 + swap % 3))
        service.registry.refresh()
        seen.add(service.registry.current.model)
        if swap % 10 == 0:
            assert serving(service) == str(1 + swap % 3)
    gc.collect()
    assert list(seen) == [service.registry.current.model]


def test_statistics_are_each_versions_own(home: Path) -> None:
    """A version's counts outlive its swap, and no other's are added to them."""
    service = opened(home, keep_versions=3)
    for version, times in ((1, 3), (2, 5)):
        for _ in range(times):
            asked(service, f"/v1/models/handmade/versions/{version}:predict", {"instances": [ROW["features"]] * 2})
    stats = flask_app(service).test_client().get("/v2/models/handmade/stats").json["model_stats"]  # type: ignore[index]
    assert {one["version"]: one["inference_count"] for one in stats} == {"1": 6, "2": 10, "3": 0}
