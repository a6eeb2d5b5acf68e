"""Several models in one service: which are served, as the store changes, and what is said of those that are not."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.named_bundles import publish_named
from support.waiting import await_true

from models.bundle import CURRENT, MANIFEST, BundleError, list_models
from service.app import api_keys
from service.app.flask_app import flask_app
from service.app.routes import Service, build_service
from service.inference import sandbox
from service.inference.catalog import Catalog
from service.inference.registry import Event
from service.inference.sandbox import no_check
from service.settings import Settings

KEY, HASH = api_keys.make()
ROW = {"features": [0.5, -1, 2]}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three models."""
    store = tmp_path / "store"
    for seed, name in enumerate(("cats", "dogs", "owls")):
        publish_named(store, name, seed=seed)
    return store


def open_catalog(store: Path, models: str = "*", **settings: Any) -> Catalog:
    return Catalog(Settings(model_store=store, models=models, **settings), no_check)


def start(store: Path, models: str = "*", **settings: Any) -> tuple[Service, FlaskClient]:
    service = build_service(Settings(model_store=store, models=models, **settings))
    return service, flask_app(service).test_client()


def names(catalog: Catalog) -> list[str]:
    return [registry.name for registry in catalog.registries]


def break_model(store: Path, name: str) -> None:
    (store / name / CURRENT).write_text("none")


def repair_model(store: Path, name: str) -> None:
    (store / name / CURRENT).unlink()


def empty(store: Path, name: str) -> None:
    shutil.rmtree(store / name)
    (store / name).mkdir()


def put_file(store: Path, name: str) -> None:
    shutil.rmtree(store / name)
    (store / name).write_text("a file")


def truncate_manifest(store: Path, name: str) -> None:
    (store / name / "1" / MANIFEST).write_text("{")


def remove(store: Path, name: str) -> None:
    shutil.rmtree(store / name)


def give_it_another_name(store: Path, name: str) -> None:
    path = store / name / "1" / MANIFEST
    path.write_text(path.read_text().replace(f'"{name}"', '"wolves"'))


DAMAGES = [break_model, empty, put_file, truncate_manifest, remove, give_it_another_name]


@pytest.mark.parametrize(
    ("models", "name", "served", "default"),
    [
        ("", "dogs", ["dogs"], "dogs"),
        ("cats", None, ["cats"], "cats"),
        ("dogs,cats", None, ["cats", "dogs"], "dogs"),
        (" dogs , cats,dogs ", None, ["cats", "dogs"], "dogs"),
        ("dogs,cats", "cats", ["cats", "dogs"], "cats"),
        ("dogs,cats", "owls", ["cats", "dogs", "owls"], "owls"),
        ("*", None, ["cats", "dogs", "owls"], None),
        ("*", "owls", ["cats", "dogs", "owls"], "owls"),
        (" * ", "owls", ["cats", "dogs", "owls"], "owls"),
    ],
)
def test_settings_choose_the_models_and_the_default_one(
    store: Path, models: str, name: str | None, served: list[str], default: str | None
) -> None:
    """The named one, else the first of a list; with * the shipped model's name, which is not in this store."""
    _, client = start(store, models, **({"model_name": name} if name else {}))
    listed = client.get("/models").json["models"]  # type: ignore[index]
    assert [each["name"] for each in listed] == served
    assert [each["name"] for each in listed if each["default"]] == ([default] if default else [])
    response = client.post("/predict", json=ROW)
    if default:
        assert response.json["model"]["name"] == default  # type: ignore[index]
    else:
        assert response.status_code == 404
        assert response.json["detail"] == (  # type: ignore[index]
            "no default model: name a model in the path; this service serves cats, dogs, owls"
        )
    for each in served:
        assert client.post(f"/models/{each}/predict", json=ROW).json["model"]["name"] == each  # type: ignore[index]


def test_star_makes_the_usual_name_the_default(store: Path) -> None:
    """Without MENAGERIE_MODEL_NAME, if it is there; as long as it is."""
    publish_named(store, "animals")
    catalog = open_catalog(store)
    assert catalog.default.name == "animals"
    remove(store, "animals")
    catalog.refresh()
    assert "" not in catalog.by_path
    publish_named(store, "animals")
    catalog.refresh()
    assert catalog.default.serving


def test_pinned_version_is_that_of_the_default_model(store: Path) -> None:
    """Of the first in the list as well."""
    for name in ("cats", "dogs"):
        publish_named(store, name, seed=7)
    catalog = open_catalog(store, "dogs,cats", model_version=1)
    serving = {each.name: each.current.model.version for each in catalog.registries}
    assert serving == {"dogs": 1, "cats": 2}


def test_models_are_found_and_dropped_while_serving(store: Path) -> None:
    service, client = start(store, model_name="cats")
    publish_named(store, "yaks", widths=(2, 3, 4))
    remove(store, "dogs")
    assert client.post("/models/dogs/predict", json=ROW).status_code == 200
    service.catalog.refresh()
    assert names(service.catalog) == ["cats", "owls", "yaks"]
    refused = client.post("/models/dogs/predict", json=ROW)
    assert refused.status_code == 404
    assert "this service serves cats, owls, yaks" in refused.json["detail"]  # type: ignore[index]
    assert client.post("/models/yaks/predict", json={"features": [0, 1]}).status_code == 200
    assert client.get("/models/yaks").json["version"] == 1  # type: ignore[index]
    publish_named(store, "dogs", widths=(1, 2, 2))  # another model of that name
    service.catalog.refresh()
    assert client.post("/models/dogs/predict", json={"features": [0]}).status_code == 200


def test_named_models_are_never_dropped(store: Path) -> None:
    """Whatever becomes of their folders."""
    catalog = open_catalog(store, "cats,dogs")
    shutil.rmtree(store)
    catalog.refresh()
    assert names(catalog) == ["cats", "dogs"]
    assert catalog.unavailable == []


def loop(path: Path) -> None:
    """Put a link to itself in place of a folder, which nobody can read then, not even root."""
    path.rename(path.with_name("kept"))
    path.symlink_to(path.name)


def restore(path: Path) -> None:
    path.unlink()
    path.with_name("kept").rename(path)


@pytest.mark.parametrize("moved", ["store", "cats"])
def test_nothing_is_dropped_while_a_folder_cannot_be_read(tmp_path: Path, store: Path, moved: str) -> None:
    """Nor is the model loaded again afterwards."""
    catalog = open_catalog(store)
    before = {registry.name: registry.serving for registry in catalog.registries}
    folder = store if moved == "store" else tmp_path / "cats"
    if moved == "cats":  # so that what is put aside is no model of the store
        shutil.move(store / "cats", folder)
        (store / "cats").symlink_to(folder)
        catalog.refresh()
    before = {registry.name: registry.serving for registry in catalog.registries}
    loop(folder)
    for _ in range(2):
        catalog.refresh()
        assert {registry.name: registry.serving for registry in catalog.registries} == before
    restore(folder)
    catalog.refresh()
    assert {registry.name: registry.serving for registry in catalog.registries} == before


def test_store_that_has_gone_is_logged_once(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And again if it goes again."""
    catalog = open_catalog(store)
    for _ in range(2):
        caplog.clear()
        store.rename(store.with_name("kept"))
        for _ in range(3):
            catalog.refresh()
        store.with_name("kept").rename(store)
        catalog.refresh()
        (record,) = caplog.records
        assert record.getMessage() == (
            f"cannot poll the model store: cannot read {store} (No such file or directory): correct the store"
        )


def test_unreadable_folder_that_is_no_model_hides_no_other(store: Path) -> None:
    """Such as the lost+found of a file system."""
    (store / "lost+found").symlink_to("lost+found")
    catalog = open_catalog(store)
    publish_named(store, "yaks")
    catalog.refresh()
    assert names(catalog) == ["cats", "dogs", "owls", "yaks"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_broken_model_at_the_start_takes_no_other_down(
    store: Path, damage: Callable[[Path, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Its paths say so in every protocol; once it is repaired, it is served."""
    kept = Path(shutil.copytree(store / "dogs", store.with_name("kept")))
    damage(store, "dogs")
    service, client = start(store, "cats,dogs", model_name="cats")
    assert client.post("/predict", json=ROW).status_code == 200
    for path in ("/models/dogs/predict", "/v1/models/dogs:predict", "/v2/models/dogs/infer"):
        response = client.post(path, json=ROW)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert "no version of dogs can be served: GET /models has the reason" in response.text
    listed = {each["name"]: each for each in client.get("/models").json["models"]}  # type: ignore[index]
    assert (listed["cats"]["state"], listed["cats"]["serving"], listed["cats"]["fault"]) == ("ready", 1, None)
    assert (listed["dogs"]["state"], listed["dogs"]["serving"], listed["dogs"]["versions"]) == ("unavailable", None, [])
    assert listed["dogs"]["fault"]
    assert str(store) not in client.get("/models").text
    service.catalog.refresh()
    assert len([each for each in caplog.records if "dogs" in each.getMessage() and each.levelno >= logging.ERROR]) == 1
    if (store / "dogs").is_dir():
        shutil.rmtree(store / "dogs")
    (store / "dogs").unlink(missing_ok=True)
    shutil.move(kept, store / "dogs")
    service.catalog.refresh()
    assert client.post("/models/dogs/predict", json=ROW).status_code == 200
    assert {each["state"] for each in client.get("/models").json["models"]} == {"ready"}  # type: ignore[index]


@pytest.mark.parametrize("damage", [break_model, truncate_manifest, give_it_another_name])
def test_model_that_breaks_later_goes_on_serving(store: Path, damage: Callable[[Path, str], None]) -> None:
    """It stays ready, and the list says what is wrong."""
    service, client = start(store, model_name="cats")
    damage(store, "dogs")
    service.catalog.refresh()
    assert client.post("/models/dogs/predict", json=ROW).status_code == 200
    (dogs,) = [each for each in client.get("/models").json["models"] if each["name"] == "dogs"]  # type: ignore[index]
    assert (dogs["state"], bool(dogs["refused"]) or bool(dogs["fault"])) == ("ready", True)
    assert client.get("/readyz").status_code == 200


def test_polling_goes_on_if_events_cannot_be_counted(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever poll they come from: the first one or a later one, of a known model or a new one."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", no_check)
    catalog = open_catalog(store, poll_seconds=0.05)
    told: list[Event] = []

    def fail(event: Event) -> None:
        told.append(event)
        if event.model == "last":
            threading.Event().wait()  # the thread is a daemon
        raise OSError("no locks available")

    publish_named(store, "cats", seed=5)
    catalog.watch(fail)
    for name in ("dogs", "wolves", "owls"):
        publish_named(store, name, seed=6)
        await_true(lambda name=name: name in {event.model for event in told})  # type: ignore[misc]
    assert told[0].model == "cats"
    assert "an event of wolves is not counted" in caplog.text
    publish_named(store, "last")  # from now on the thread rests
    await_true(lambda: told[-1].model == "last")


def test_last_poll_is_that_of_the_loaded_model_whose_folder_was_read_least_recently(store: Path) -> None:
    """A folder that is no model does not make it 1970."""
    (store / "notes" / "1").mkdir(parents=True)
    catalog = open_catalog(store)
    first = catalog.last_poll
    assert first > time.time() - 600
    catalog.refresh()
    second = catalog.last_poll
    assert second > first
    break_model(store, "dogs")
    catalog.refresh()
    assert second <= catalog.last_poll < catalog.by_path["owls"].last_poll


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("models", ["cats,dogs,owls", "*"])
def test_start_without_any_model_fails_with_one_line(
    store: Path, damage: Callable[[Path, str], None], models: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Which names one of them; nothing else is logged."""
    for name in ("cats", "dogs", "owls"):
        damage(store, name)
    with pytest.raises(BundleError) as refused:
        open_catalog(store, models)
    assert "\n" not in str(refused.value)
    assert str(store) in str(refused.value)
    assert caplog.records == []


def test_start_without_a_store_fails_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*nowhere \(No such file or directory\)"):
        open_catalog(tmp_path / "nowhere")
    assert caplog.records == []


@pytest.mark.parametrize("name", [".hidden", "a:b", "a,b", "a\nb", "\udcff", "a\x00b"[:1] + "\x1b"])
def test_names_that_cannot_be_part_of_a_path_are_not_found(store: Path, name: str) -> None:
    """Nor those that JSON cannot have."""
    (store / name / "1").mkdir(parents=True)
    assert list_models(store) == ["cats", "dogs", "owls"]
    _, client = start(store, model_name="cats")
    assert len(client.get("/models").json["models"]) == 3  # type: ignore[index]


@pytest.mark.parametrize("name", ["my cats", "Kätzchen", "100%", "a?b#c", "c++", "*"])
def test_folder_with_a_name_that_no_bundle_has_is_reported(store: Path, name: str) -> None:
    """Under paths that reach it, as the list has them."""
    publish_named(store, name)
    _, client = start(store)
    (listed,) = [each for each in client.get("/models").json["models"] if each["name"] == name]  # type: ignore[index]
    assert "manifest" in listed["fault"]
    for path in (listed["paths"]["model"], listed["paths"]["oip"], f"{listed['paths']['tfserving']}/metadata"):
        response = client.get(path)
        assert (response.status_code, f"no version of {name} can" in response.get_data(as_text=True)) == (503, True)


def test_what_is_no_model_is_not_found(store: Path) -> None:
    """Files, empty folders, drafts, links to nowhere."""
    for number in range(100):
        (store / f"empty {number}").mkdir()
    (store / "draft" / ".draft-x").mkdir(parents=True)
    (store / "README.md").write_text("")
    (store / "nowhere").symlink_to("nothing")
    assert list_models(store) == ["cats", "dogs", "owls"]


def test_a_link_to_a_folder_is_a_model(store: Path, tmp_path: Path) -> None:
    """As ConfigMaps and volumes have them; the name is that of the link."""
    publish_named(tmp_path / "elsewhere", "yaks")
    (store / "yaks").symlink_to(tmp_path / "elsewhere" / "yaks")
    catalog = open_catalog(store)
    assert catalog.by_path["yaks"].serving


@pytest.mark.parametrize(
    ("models", "settings", "damaged", "status"),
    [
        ("cats,dogs", {}, [], 200),
        ("cats,dogs", {}, ["dogs"], 503),
        ("cats,dogs", {}, ["cats"], 503),
        ("cats,dogs", {"ready": "any"}, ["cats"], 200),
        ("*", {}, ["cats", "dogs"], 200),  # nobody asked for these
        ("*", {"model_name": "owls"}, ["cats"], 200),
        ("*", {"model_name": "cats"}, ["cats"], 503),
        ("*", {"model_name": "nowhere"}, [], 503),
        ("*", {"model_name": "cats", "ready": "any"}, ["cats"], 200),
    ],
)
def test_readiness_is_about_the_models_that_settings_name(
    store: Path, models: str, settings: dict[str, Any], damaged: list[str], status: int
) -> None:
    """In every protocol; the response says which models are ready."""
    for name in damaged:
        break_model(store, name)
    service, client = start(store, models, **settings)
    for path in ("/readyz", "/health", "/v2/health/ready"):
        assert client.get(path).status_code == status, path
    response = client.get("/readyz")
    document = response.json
    assert document
    assert document["status"] == ("ready" if status == 200 else 503)
    unavailable = [*damaged, *(["nowhere"] if settings.get("model_name") == "nowhere" else [])]
    assert document["models"] == {
        "ready": [name for name in names(service.catalog) if name not in unavailable],
        "unavailable": unavailable,
    }
    assert (response.content_type == "application/problem+json") == (status == 503)
    assert client.get("/health").json["models"] == document["models"]  # type: ignore[index]
    for name in names(service.catalog):
        expected = 503 if name in unavailable else 200
        assert client.get(f"/v2/models/{name}/ready").status_code == expected
        assert client.get(f"/v1/models/{name}").status_code == expected


@pytest.mark.parametrize("platform", ["sagemaker", "vertex"])
def test_health_checks_of_cloud_platforms_are_about_the_same_models(store: Path, platform: Any) -> None:
    path = "/ping" if platform == "sagemaker" else "/health"
    break_model(store, "dogs")
    service, client = start(store, "cats,dogs", platform=platform)
    assert client.get(path).json["models"] == {"ready": ["cats"], "unavailable": ["dogs"]}  # type: ignore[index]
    assert client.get(path).status_code == 503
    repair_model(store, "dogs")
    service.catalog.refresh()
    assert client.get(path).status_code == 200


def test_a_service_that_shuts_down_is_not_ready_with_all_models(store: Path) -> None:
    service, client = start(store)
    service.readiness.is_draining = True
    for path in ("/readyz", "/health", "/v2/health/ready", "/v2/models/cats/ready", "/v1/models/cats"):
        assert client.get(path).status_code == 503
    assert client.get("/readyz").json["detail"] == "the service is shutting down"  # type: ignore[index]
    assert client.post("/models/cats/predict", json=ROW).status_code == 200


def test_service_from_which_all_models_are_dropped_is_not_ready(store: Path) -> None:
    """It becomes ready again with the first new one."""
    service, client = start(store)
    for name in ("cats", "dogs", "owls"):
        remove(store, name)
    service.catalog.refresh()
    assert client.get("/readyz").status_code == 503
    assert client.get("/models").json == {"models": []}
    assert "this service serves no model at all" in client.get("/models/cats").json["detail"]  # type: ignore[index]
    assert client.get("/v1/models").json == {"models": []}
    assert client.post("/v2/repository/index").json == []
    publish_named(store, "cats")
    service.catalog.refresh()
    assert client.get("/readyz").status_code == 200


def test_protocols_list_models_that_were_never_loaded(store: Path) -> None:
    """With the reasons, and without the path of the store."""
    break_model(store, "cats")
    truncate_manifest(store, "dogs")
    _, client = start(store)
    assert client.get("/v1/models").json == {"models": ["cats", "dogs", "owls"]}
    index = client.post("/v2/repository/index").json
    assert index
    assert [(each["name"], each["version"], each["state"]) for each in index] == [
        ("cats", "", "UNAVAILABLE"),
        ("dogs", "1", "UNAVAILABLE"),
        ("owls", "1", "READY"),
    ]
    assert [bool(each["reason"]) for each in index] == [True, True, False]
    status = client.get("/v1/models/dogs")
    (version,) = status.json["model_version_status"]  # type: ignore[index]
    assert (status.status_code, version["version"], version["state"]) == (503, "1", "END")
    assert version["status"]["error_code"] == "FAILED_PRECONDITION"
    assert version["status"]["error_message"] == index[1]["reason"]
    assert client.get("/v1/models/cats").json["model_version_status"][0]["status"]["error_message"]  # type: ignore[index]
    assert str(store) not in "".join(client.open(path, method=method).text for method, path in PUBLIC_TEXTS)


PUBLIC_TEXTS = [
    ("GET", "/models"),
    ("GET", "/v1/models/cats"),
    ("GET", "/v1/models/dogs"),
    ("GET", "/v2/models/cats/ready"),
    ("POST", "/v2/repository/index"),
]


def test_reasons_need_an_api_key(store: Path) -> None:
    """States do not."""
    break_model(store, "cats")
    truncate_manifest(store, "dogs")
    _, client = start(store, api_keys=HASH)
    hidden, shown = (client.get("/models", headers=headers).json for headers in ({}, {"X-API-Key": KEY}))
    assert hidden
    assert shown
    reason = "send an API key to see the reason"
    assert [each["fault"] for each in hidden["models"]] == [reason, reason, None]
    assert [each["refused"] for each in hidden["models"]] == [{}, {"1": reason}, {}]
    assert reason not in str(shown)
    assert [each["state"] for each in hidden["models"]] == [each["state"] for each in shown["models"]]


def test_health_is_about_the_default_model_and_works_without_one(store: Path) -> None:
    """Or with one that is unavailable."""
    _, client = start(store)
    health = client.get("/health").json
    assert health
    assert (health["model"], health["versions"], health["refused"]) == (None, [], {})
    truncate_manifest(store, "cats")
    _, client = start(store, "cats,dogs")
    response = client.get("/health")
    assert (response.status_code, response.json["model"]) == (503, None)  # type: ignore[index]
    assert list(response.json["refused"]) == ["1"]  # type: ignore[index]


@pytest.mark.parametrize("call", ["load", "unload"])
@pytest.mark.parametrize("name", ["cats", "yaks"])
def test_requests_load_and_unload_nothing(store: Path, call: str, name: str) -> None:
    """They say how to do it, in the protocol's form, whether or not there is such a model."""
    service, client = start(store)
    before = sorted(os.walk(store))
    response = client.post(f"/v2/repository/models/{name}/{call}", json={"parameters": {"config": "{}"}})
    assert (response.status_code, list(response.json or {})) == (403, ["error"])
    assert "<store>/<model>/" in response.json["error"]  # type: ignore[index]
    service.catalog.refresh()
    assert sorted(os.walk(store)) == before
    assert names(service.catalog) == ["cats", "dogs", "owls"]


def test_an_error_names_a_few_of_many_models(tmp_path: Path) -> None:
    for number in range(12):
        publish_named(tmp_path, f"m{number:02}")
    _, client = start(tmp_path)
    detail = client.get("/models/x").json["detail"]  # type: ignore[index]
    assert detail.endswith("serves m00, m01, m02, m03, m04, m05, m06, m07, m08, m09 and 2 more")


def test_every_listed_path_is_there(store: Path) -> None:
    """Of each model; a GET of a path for POST says so."""
    _, client = start(store)
    for model in client.get("/models").json["models"]:  # type: ignore[index]
        statuses = {part: client.get(path).status_code for part, path in model["paths"].items()}
        assert statuses == {part: 405 if part in {"predict", "explain"} else 200 for part in model["paths"]}
