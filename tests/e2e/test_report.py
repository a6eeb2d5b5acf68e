"""The shipped report in a real browser: it stands by itself and reads well anywhere."""

import pytest
from playwright.sync_api import Browser

from service.settings import SHIPPED_STORE

PAGE = SHIPPED_STORE / "animals" / "1" / "report" / "index.html"

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_reads_on_a_phone_and_a_laptop(browser: Browser, width: int, scheme: str) -> None:
    """Every picture is there, nothing sticks out sideways, nothing complains, and no other host is asked."""
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: complaints.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None,
        )
        page.goto(PAGE.as_uri())
        assert complaints == []
        assert page.locator("h1").is_visible()
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert "sampled from the published means" in page.inner_text("body")


def test_the_report_shows_its_figures_without_a_script(browser: Browser) -> None:
    """A page to be read needs no JavaScript."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(PAGE.as_uri())
        assert page.locator("img, svg").count() >= 4
        assert page.locator("script").count() == 0
