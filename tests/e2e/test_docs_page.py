"""``/docs`` in a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.gunicorn_server import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """/docs in a browser; fails on console messages, errors and requests to other hosts."""
    problems: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: problems.append(request.url) if not request.url.startswith((server.url, "data:")) else None,
        )
        page.goto(f"{server.url}/docs")
        yield page
    assert problems == []


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("native-predict", '"label": "cat"'),
        ("oip-v2_model_infer", '"model_name": "animals"'),
        ("tfserving-v1_model_predict", '"predictions": ['),
    ],
)
def test_try_it_out(page: Page, operation: str, expected: str) -> None:
    """Open an operation, try it out, execute: the response to its example appears."""
    section = page.locator(f"#operations-{operation}")
    section.locator(".opblock-summary-control").click()
    section.get_by_role("button", name="Try it out").click()
    section.get_by_role("button", name="Execute").click()
    response = section.locator(".live-responses-table")
    assert response.locator(".response-col_status").first.inner_text() == "Code"
    assert response.locator("tbody .response-col_status").first.inner_text().startswith("200")
    assert expected in response.inner_text()


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
    page.wait_for_selector("section.models article")
    assert page.locator("section.models article").count() == len(document["components"]["schemas"])
    assert page.locator(".errors-wrapper").count() == 0
