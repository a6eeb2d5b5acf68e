"""What a cloud platform says in the environment, as the service's own variables."""

import json
import shutil
from pathlib import Path

import pytest
from support import mixed_bundles

from models.bundle import MANIFEST
from service.server import cloud_environment
from service.settings import ROUTE, SHIPPED_STORE

SHIPPED = SHIPPED_STORE / "animals"
VERTEX = {
    "AIP_HTTP_PORT": "8080",
    "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
}


def apply(environment: dict[str, str]) -> tuple[dict[str, str], str | None]:
    """What `apply` adds or changes, and its fault; a second call changes nothing."""
    changed = dict(environment)
    fault = cloud_environment.apply(changed)
    again = dict(changed)
    assert cloud_environment.apply(again) == fault
    assert again == changed
    return {name: value for name, value in changed.items() if environment.get(name) != value}, fault


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"PORT": "9000", "MENAGERIE_MODEL_NAME": "x"},
        {"MENAGERIE_PLATFORM": "none", **VERTEX},
        {"MENAGERIE_PLATFORM": "heroku"},  # the settings refuse it
        {"AIP_MODEL_DIR": "gs://x", "AZUREML_RUN_ID": "1", "SAGEMAKER_REGION": "x"},  # of training and notebooks
    ],
    ids=str,
)
def test_nothing_changes_elsewhere(environment: dict[str, str]) -> None:
    assert apply(environment) == ({}, None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MENAGERIE_PLATFORM": "sagemaker"}, {"PORT": "8080"}),
        ({"MENAGERIE_PLATFORM": "sagemaker", "PORT": "9000"}, {}),
        ({"MENAGERIE_PLATFORM": "sagemaker", "PORT": "9000", "SAGEMAKER_BIND_TO_PORT": "1"}, {"PORT": "1"}),
        ({"MENAGERIE_PLATFORM": "vertex"}, {"PORT": "8080"}),
        ({"AIP_HTTP_PORT": "7080", "PORT": "8000"}, {"PORT": "7080", "MENAGERIE_PLATFORM": "vertex"}),
        (
            VERTEX,
            {
                "PORT": "8080",
                "MENAGERIE_PLATFORM": "vertex",
                "MENAGERIE_VERTEX_HEALTH_ROUTE": VERTEX["AIP_HEALTH_ROUTE"],
                "MENAGERIE_VERTEX_PREDICT_ROUTE": VERTEX["AIP_PREDICT_ROUTE"],
            },
        ),
        ({"MENAGERIE_PLATFORM": "azureml"}, {}),
    ],
    ids=str,
)
def test_platform_port_and_routes(environment: dict[str, str], expected: dict[str, str]) -> None:
    """The platform's port takes precedence over PORT; without one, PORT over the platform's default."""
    assert apply(environment) == (expected, None)


LAYOUTS = {
    "a bundle": "",
    "a version": "1",
    "another version": "12",
    "a name and a version": "animals/1",
    "a store": "store/animals/1",
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("variable", ["AZUREML_MODEL_DIR", "AIP_STORAGE_URI"])
def test_model_is_found_wherever_the_archive_begins(tmp_path: Path, variable: str, layout: str) -> None:
    """With its own name; hidden files, and folders without a model, are not looked at."""
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED / "1", folder / LAYOUTS[layout])
    (folder / "code").mkdir()
    (folder / "._1").mkdir()
    (folder / "._1" / MANIFEST).write_text("{}")
    changed, fault = apply({variable: str(folder), "MENAGERIE_PLATFORM": _platform(variable)})
    parent = LAYOUTS[layout].rpartition("/")[0]
    assert fault is None
    assert changed["MENAGERIE_MODEL_DIR"] == str(folder / parent if LAYOUTS[layout] else folder)
    assert changed["MENAGERIE_MODEL_NAME"] == "animals"


def _platform(variable: str) -> str:
    return "azureml" if variable.startswith("AZURE") else "vertex"


def test_a_file_uri_is_a_path() -> None:
    changed, _ = apply(VERTEX | {"AIP_STORAGE_URI": f"file://{SHIPPED}"})
    assert changed["MENAGERIE_MODEL_DIR"] == str(SHIPPED)


def test_sagemaker_extracts_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there was none, the folder is missing or empty, and the image's own model is served."""
    folder = tmp_path / "model"
    monkeypatch.setattr(cloud_environment, "_SAGEMAKER_MODEL", str(folder))
    environment = {"MENAGERIE_PLATFORM": "sagemaker"}
    assert apply(environment) == ({"PORT": "8080"}, None)
    folder.mkdir()
    assert apply(environment) == ({"PORT": "8080"}, None)
    (folder / "model.joblib").touch()
    _, fault = apply(environment)
    assert fault == f"no model in {folder} ({folder}): it must be a bundle, or contain one (docs/clouds.md)"
    shutil.copytree(SHIPPED, folder / "animals")
    changed, fault = apply(environment)
    assert (changed["MENAGERIE_MODEL_DIR"], fault) == (str(folder / "animals"), None)


def test_settings_take_precedence_over_the_platform(tmp_path: Path) -> None:
    """Even over a model that it cannot give."""
    for given in ({"MENAGERIE_MODEL_DIR": "/mine"}, {"MENAGERIE_MODEL_STORE": "/store"}):
        for platform in ({"AZUREML_MODEL_DIR": str(tmp_path)}, VERTEX | {"AIP_STORAGE_URI": "gs://bucket/x"}):
            changed, fault = apply(given | platform)
            assert fault is None
            assert not changed.keys() & {"MENAGERIE_MODEL_DIR", "MENAGERIE_MODEL_NAME", "MENAGERIE_MODEL_STORE"}


def test_one_of_several_models_is_named(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "animals")
    mixed_bundles.publish(tmp_path)
    environment = {"AZUREML_MODEL_DIR": str(tmp_path)}
    _, fault = apply(environment)
    assert fault == "AZUREML_MODEL_DIR has the models animals, mixed: set MENAGERIE_MODEL_NAME to one of them"
    changed, fault = apply(environment | {"MENAGERIE_MODEL_NAME": "mixed"})
    assert (changed["MENAGERIE_MODEL_DIR"], fault) == (str(tmp_path / "mixed"), None)
    _, fault = apply(environment | {"MENAGERIE_MODEL_NAME": "plants"})
    assert fault
    assert fault.startswith(f"no model plants in {tmp_path} (AZUREML_MODEL_DIR): ")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 1}', "\xff"])
def test_a_manifest_that_cannot_be_read_is_left_to_loading(tmp_path: Path, content: str) -> None:
    """It reports what is wrong."""
    (tmp_path / MANIFEST).write_text(content, encoding="latin-1")
    changed, fault = apply({"AZUREML_MODEL_DIR": str(tmp_path)})
    assert (changed["MENAGERIE_MODEL_DIR"], fault) == (str(tmp_path), None)


BAD = [
    (VERTEX | {"AIP_HTTP_PORT": "http"}, "AIP_HTTP_PORT is invalid ('http'): set it to a port"),
    (
        {"MENAGERIE_PLATFORM": "sagemaker", "SAGEMAKER_BIND_TO_PORT": "-1"},
        "SAGEMAKER_BIND_TO_PORT is invalid ('-1'): set it to a port",
    ),
    (VERTEX | {"AIP_HEALTH_ROUTE": "health"}, "AIP_HEALTH_ROUTE is invalid ('health'): set it to a path such as"),
    (VERTEX | {"AIP_PREDICT_ROUTE": "/predict/"}, "AIP_PREDICT_ROUTE is invalid ('/predict/'): "),
    (VERTEX | {"AIP_PREDICT_ROUTE": "/{model}"}, "AIP_PREDICT_ROUTE is invalid ('/{model}'): "),
    (
        VERTEX | {"AIP_STORAGE_URI": "gs://bucket/models"},
        "AIP_STORAGE_URI is gs://bucket/models, but this image does not download models: put the model into an image",
    ),
    (VERTEX | {"AIP_STORAGE_URI": "/nowhere"}, "no model in /nowhere (AIP_STORAGE_URI): "),
    ({"AZUREML_MODEL_DIR": "/nowhere"}, "no model in /nowhere (AZUREML_MODEL_DIR): "),
]


@pytest.mark.parametrize(("environment", "message"), BAD, ids=lambda value: str(value)[:60])
def test_what_cannot_be_followed_is_one_line(environment: dict[str, str], message: str) -> None:
    """With the platform's variable and the remedy."""
    _, fault = apply(environment)
    assert fault
    assert fault.startswith(message)
    assert "\n" not in fault


def test_routes_are_those_that_the_settings_accept() -> None:
    """The pattern is written twice, because every start would wait for the settings' imports."""
    assert f"^{cloud_environment.ROUTE}$" == ROUTE


def test_shipped_manifest_has_the_name_of_its_folder() -> None:
    assert json.loads((SHIPPED / "1" / MANIFEST).read_text())["name"] == SHIPPED.name
