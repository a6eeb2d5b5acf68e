"""Shared fixtures: the shipped model, the Flask application in process, and the service under gunicorn."""

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from playwright.sync_api import Browser, expect, sync_playwright
from support.gunicorn_server import Server, serving
from support.http_responses import HttpResponse, Send
from support.nginx import PREFIXES, under_prefixes
from werkzeug.datastructures import Headers

from service.app import create_app
from service.inference.model import Model
from service.inference.validation import Validator
from service.settings import SHIPPED_STORE, Settings

if TYPE_CHECKING:
    from support.adopted_lookups import Get
    from support.adoptions import AdoptedModels

pytest_plugins = [
    "support.adopted_models",
    "support.docker_images",
    "support.exclusive_tests",
    "support.fault_reports",
    "support.unit_isolation",
]

# No deadline: the duration of an example depends on how busy the machine is.
hypothesis.settings.register_profile("menagerie", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.settings.load_profile("menagerie")

_REQUIRES_ALL = os.environ.get("MENAGERIE_REQUIRE_ALL") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With MENAGERIE_REQUIRE_ALL=1, turn a skipped test into a failed one."""
    report = yield
    if report.skipped and _REQUIRES_ALL:
        report.outcome = "failed"
        report.longrepr = f"skipped where MENAGERIE_REQUIRE_ALL=1 allows no skip: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _without_test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variable that ``Settings.load`` would refuse as an unknown setting."""
    monkeypatch.delenv("MENAGERIE_REQUIRE_ALL", raising=False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, with its key in ``key.pem`` beside it."""
    folder = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=menagerie"
    make += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(make.split(), cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings()


@pytest.fixture(scope="session")
def model(settings: Settings) -> Model:
    return Model.open(settings.model_store / "animals" / "1", settings.engine)


@pytest.fixture(scope="session")
def validator(model: Model, settings: Settings) -> Validator:
    return Validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)


@pytest.fixture(scope="session")
def app(settings: Settings) -> Flask:
    return create_app(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as ready:
        yield ready


@pytest.fixture(scope="session")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an nginx that serves ``server`` under the prefixes `PREFIXES` and nothing else."""
    with under_prefixes(tmp_path_factory.mktemp("nginx"), dict.fromkeys(PREFIXES, server.port)) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("no Chromium here: install Debian's package, or set CHROMIUM")
    expect.set_options(timeout=20_000)  # ms; other tests may keep the machine busy
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
    ):
        yield browser


@pytest.fixture(params=["in process", "gunicorn"])
def send(request: pytest.FixtureRequest) -> Send:
    """Sends a request in process, and in a second test to gunicorn; both must give the same response."""
    if request.param == "in process":
        client: FlaskClient = request.getfixturevalue("client")

        def send_in_process(
            method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
        ) -> HttpResponse:
            # The client would take the first segment of a path with two leading slashes for a host.
            overrides = {"PATH_INFO": path} if path.startswith("//") else {}
            response = client.open(path, method=method, data=body, headers=headers, environ_overrides=overrides)
            return HttpResponse(response.status_code, response.headers, response.data)

        return send_in_process
    server: Server = request.getfixturevalue("server")

    def send_over_http(
        method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HttpResponse:
        response = requests.request(method, server.url + path, data=body, headers=headers, timeout=30)
        return HttpResponse(response.status_code, Headers(response.headers.items()), response.content)

    return send_over_http


@pytest.fixture(scope="session")
def adopted_models(tmp_path_factory: pytest.TempPathFactory) -> "AdoptedModels":
    """Users' models, adopted when they are first asked for; tests that take it have the marker ``tensorflow``."""
    from support.adoptions import AdoptedModels  # which imports pyarrow and SciPy

    return AdoptedModels(_shared_folder(tmp_path_factory) / "adopted_models")


@pytest.fixture(scope="session")
def adopted_lookups(tmp_path_factory: pytest.TempPathFactory) -> "Get":
    """The same for models that begin with lookups."""
    from support import adopted_lookups  # which imports pyarrow and SciPy

    return adopted_lookups.getter(_shared_folder(tmp_path_factory) / "adopted_lookups")


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of pytest-xdist have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy of the shipped store that a test may change."""
    return Path(shutil.copytree(SHIPPED_STORE, tmp_path / "store"))
