"""The shipped report in a real browser: it needs no other file and fits every screen."""

import pytest
from playwright.sync_api import Browser

from service.settings import SHIPPED_STORE

PAGE = SHIPPED_STORE / "animals" / "1" / "report" / "index.html"

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_fits_a_phone_and_a_laptop(browser: Browser, width: int, scheme: str) -> None:
    """Every picture loads, nothing scrolls sideways, the console stays empty, and no other host receives a request."""
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: problems.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
        )
        page.goto(PAGE.as_uri())
        assert problems == []
        assert page.locator("h1").is_visible()
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert "sampled from the published means" in page.inner_text("body")


def test_the_report_needs_no_script(browser: Browser) -> None:
    """It shows its figures with JavaScript disabled."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(PAGE.as_uri())
        assert page.locator("img, svg").count() >= 4
        assert page.locator("script").count() == 0
