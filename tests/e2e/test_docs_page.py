"""``/docs`` in a browser."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from support.gunicorn_server import Server, serving
from support.named_bundles import publish_named
from support.nginx import PREFIXES, under_prefixes

from service.app import api_keys

pytestmark = pytest.mark.browser


@contextmanager
def open_docs(browser: Browser, base: str, *, credentials: str = "", query: str = "") -> Iterator[Page]:
    """/docs in a browser; fails on console messages, errors and requests to anything but ``base``."""
    problems: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.replace(credentials, "").startswith((base, "data:"))
                else problems.append(request.url)
            ),
        )
        page.goto(f"{base}docs{query}".replace("//", f"//{credentials}", 1))
        yield page
    assert problems == []


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    with open_docs(browser, f"{server.url}/") as page:
        yield page


def try_out(page: Page, operation: str) -> Locator:
    """Open an operation, try it out, execute: the response to its example."""
    section = page.locator(f"#operations-{operation}")
    section.locator(".opblock-summary-control").click()
    section.get_by_role("button", name="Try it out").click()
    section.get_by_role("button", name="Execute").click()
    response = section.locator(".live-responses-table")
    assert response.locator(".response-col_status").first.inner_text() == "Code"
    assert response.locator("tbody .response-col_status").first.inner_text().startswith("200")
    return response


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("native-predict", '"label": "cat"'),
        ("oip-v2_model_infer", '"model_name": "animals"'),
        ("tfserving-v1_model_predict", '"predictions": ['),
    ],
)
def test_try_it_out(page: Page, operation: str, expected: str) -> None:
    assert expected in try_out(page, operation).inner_text()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_try_it_out_behind_a_path_prefix(browser: Browser, proxy: str, prefix: str) -> None:
    """The request, and the command that is shown, keep the prefix."""
    base = f"{proxy}{prefix}/"
    operation = "oip-v2_model_infer"
    with open_docs(browser, base) as page:
        assert '"model_name": "animals"' in try_out(page, operation).inner_text()
        url = f"{base}v2/models/animals/infer"
        assert page.locator(f"#operations-{operation} .request-url pre").inner_text() == url
        assert url in shlex.split(page.locator(f"#operations-{operation} .curl-command pre").inner_text())


def test_try_it_out_with_a_password_in_the_url(browser: Browser, proxy: str) -> None:
    """A proxy may ask for one; a browser refuses to fetch a URL that has one."""
    with open_docs(browser, f"{proxy}/models/", credentials="anne:secret@") as page:
        try_out(page, "native-predict")
        assert "secret" not in page.inner_text("body")


def test_an_api_key_is_asked_for_once(browser: Browser) -> None:
    """The document requires one, too; afterwards requests have the key, and no other page of the service asks."""
    key, key_hash = api_keys.make()
    with serving(MENAGERIE_API_KEYS=key_hash) as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/docs")
        for entered in ("wrong", key):
            page.get_by_label("This service requires an API key.").fill(entered)
            page.get_by_role("button", name="Use this key").click()
        assert '"label": "cat"' in try_out(page, "native-predict").inner_text()
        page.locator(".auth-wrapper .authorize").first.click()
        expect(page.locator(".auth-container", has_text="X-API-Key")).to_contain_text("Authorized")
        page.goto(f"{server.url}/")
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")


def test_operations_and_schemas_unfold(page: Page, server: Server) -> None:
    """The page lists every operation; the first of each tag opens, and so do the schemas."""
    page.wait_for_selector(".opblock")
    document = page.request.get(f"{server.url}/openapi.json").json()
    assert page.locator(".opblock").count() == sum(len(methods) for methods in document["paths"].values())
    tags = page.locator(".opblock-tag-section")
    assert [text.split("\n")[0] for text in tags.all_inner_texts()] == [tag["name"] for tag in document["tags"]]
    for section in tags.all():
        section.locator(".opblock-summary-control").first.click()
    assert page.locator(".opblock.is-open .responses-wrapper").count() == tags.count()
    page.locator("section.models .models-control").click()
    schemas, names = page.locator("section.models article"), list(document["components"]["schemas"])
    expect(schemas.first).to_contain_text(names[0])
    expect(schemas.nth(9)).to_contain_text(names[9])  # of more than 100, Swagger UI renders only those in view
    assert page.locator(".errors-wrapper").count() == 0
    assert page.locator(".authorize").count() == 0, "the service has no API keys"


def test_query_chooses_the_model(browser: Browser, tmp_path: Path) -> None:
    """Its operations send to its own paths, also behind a path prefix; others are those of the whole service."""
    for name in ("cats", "dogs"):
        publish_named(tmp_path / "store", name)
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path / "store"), "MENAGERIE_MODELS": "cats,dogs"}
    with serving(**settings) as server, under_prefixes(tmp_path, {PREFIXES[0]: server.port}) as proxy:
        for base in (f"{server.url}/", f"{proxy}{PREFIXES[0]}/"):
            with open_docs(browser, base, query="?model=dogs") as page:
                assert '"name": "dogs"' in try_out(page, "native-models_predict").inner_text()
                assert '"status": "ready"' in try_out(page, "service-ready").inner_text()
                expect(page.locator("#operations-native-predict")).to_have_count(0)
