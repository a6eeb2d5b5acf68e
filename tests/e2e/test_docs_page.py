"""``/docs`` in a real browser, as a person uses it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.gunicorn_server import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """A page that must not complain, nor ask another host for anything."""
    complaints: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: complaints.append(asked.url) if not asked.url.startswith((server.url, "data:")) else None,
        )
        page.goto(f"{server.url}/docs")
        yield page
    assert complaints == []


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("Prediction-predict", '"label": "cat"'),
        ("Open_Inference_Protocol-v2_model_infer", '"model_name": "animals"'),
        ("TensorFlow_Serving-v1_model_predict", '"predictions": ['),
    ],
)
def test_try_it_out(page: Page, operation: str, answer: str) -> None:
    """As shipped: open, try it out, execute, and there is the answer to the example that stands there."""
    shown = page.locator(f"#operations-{operation}")
    shown.locator(".opblock-summary-control").click()
    shown.get_by_role("button", name="Try it out").click()
    shown.get_by_role("button", name="Execute").click()
    told = shown.locator(".live-responses-table")
    assert told.locator(".response-col_status").first.inner_text() == "Code"
    assert told.locator("tbody .response-col_status").first.inner_text().startswith("200")
    assert answer in told.inner_text()


def test_what_is_unfolded_is_shown(page: Page, server: Server) -> None:
    """Every operation stands there; the first of each kind opens, and so do the schemas."""
    page.wait_for_selector(".opblock")
    document = page.request.get(f"{server.url}/openapi.json").json()
    assert page.locator(".opblock").count() == sum(len(methods) for methods in document["paths"].values())
    kinds = page.locator(".opblock-tag-section")
    assert [kind.split("\n")[0] for kind in kinds.all_inner_texts()] == [tag["name"] for tag in document["tags"]]
    for kind in kinds.all():
        kind.locator(".opblock-summary-control").first.click()
    assert page.locator(".opblock.is-open .responses-wrapper").count() == kinds.count()
    page.locator("section.models .models-control").click()
    page.wait_for_selector("section.models article")
    assert page.locator("section.models article").count() == len(document["components"]["schemas"])
    assert page.locator(".errors-wrapper").count() == 0
