"""The service behind nginx, which serves it under a path prefix and removes that from the path of each request."""

import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from support.bad_input import GOOD
from support.gunicorn_server import Server
from support.nginx import PREFIXES

BROWSER, JSON = {"Accept": "text/html"}, {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=PREFIXES)
def base(request: pytest.FixtureRequest, proxy: str) -> str:
    return f"{proxy}{request.param}"


def test_every_get_path_of_the_document_is_found(base: str) -> None:
    """Under the prefix, by the name of a file or the model where the path has a parameter."""
    document = requests.get(f"{base}/openapi.json", timeout=30).json()
    shared = {name: each["schema"] for name, each in document["components"]["parameters"].items()}
    for path, methods in document["paths"].items():
        if "get" not in methods:
            continue
        own = {each["name"]: each["schema"] for each in methods["get"]["parameters"] if "name" in each}
        values = {name: schema["enum"][0] for name, schema in (shared | own).items() if "enum" in schema}
        assert requests.get(base + path.format(**values), timeout=30).status_code == 200, path


def test_every_listed_path_is_found(base: str) -> None:
    """``GET /`` lists paths of the service: a client puts them behind the address that it uses."""
    paths = requests.get(f"{base}/", timeout=30).json()["paths"]
    for path in set(paths.values()) - {"/predict", "/explain"}:
        assert requests.get(base + path, timeout=30).status_code == 200, path
    for path in ("/predict", "/explain"):
        assert requests.post(base + path, GOOD, headers=JSON, timeout=30).status_code == 200, path


@pytest.mark.parametrize("path", ["/", "/models/animals/", "/page/main.js", "/docs/swagger-ui.css"])
def test_unchanged_file_is_not_sent_again(base: str, path: str) -> None:
    """Its entity tag is the same under every prefix."""
    first = requests.get(base + path, headers=BROWSER, timeout=30)
    again = requests.get(base + path, headers=BROWSER | {"If-None-Match": first.headers["ETag"]}, timeout=30)
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/docs/", 404),
        ("GET", "/predict/", 404),
        ("GET", "/page", 404),
        ("GET", "/page/report/", 404),
        ("GET", "/models/", 404),
        ("GET", "/v2/models/animals/", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/predict", 405),
        ("POST", "/docs", 405),
        ("POST", "/predict", 415),
    ],
)
def test_errors_are_those_without_a_proxy(base: str, server: Server, method: str, path: str, status: int) -> None:
    """No path is redirected, and no error has an address that would lack the prefix."""
    direct, proxied = (
        requests.request(method, url + path, data=b"x", allow_redirects=False, timeout=30) for url in (server.url, base)
    )
    assert direct.status_code == proxied.status_code == status
    assert not {"Location", "Content-Location", "Link", "Refresh"} & proxied.headers.keys()
    assert _without_id(direct) == _without_id(proxied)


def test_address_without_a_slash_leads_to_the_page(base: str) -> None:
    """Nginx redirects it: the page's own references are relative to the path with a slash."""
    response = requests.get(base, headers=BROWSER, timeout=30)
    assert response.url == f"{base}/"
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/models/animals/"])
def test_files_of_a_page_are_those_under_the_prefix(base: str, path: str) -> None:
    """The page of a model, two folders further down, has the same ones."""
    names = re.findall(r'(?:href|src)="([^"]*page/[^"]+)"', requests.get(base + path, headers=BROWSER, timeout=30).text)
    assert len(names) > 20
    for name in names:
        url = urljoin(base + path, name)
        assert url.startswith(f"{base}/page/")
        assert requests.head(url, timeout=30).status_code == 200


def _without_id(response: requests.Response) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(response.content)
    document.pop("request_id", None)
    return document
