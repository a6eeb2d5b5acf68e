"""The service's web page in a browser: opened, and checked for what no page may have."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from support.gunicorn_server import Server

PHONE, LAPTOP, PROJECTOR = (390, 844), (1280, 800), (1920, 1080)
SECOND = 1000  # ms
ANY_LABEL = re.compile(r"^\w+$")
ANY_TEXT = re.compile(r"[^\s…]")
MINUS, TIMES = "\u2212", "\u00d7"
_TEXTS = """[...document.querySelectorAll("#network text")]
  .filter(text => text.textContent && getComputedStyle(text).display !== "none")
  .map(text => text.getBoundingClientRect())
  .map(({left, top, right, bottom}) => [left, top, right, bottom])"""

_Box = list[float]


@contextmanager
def open_page(
    browser: Browser,
    server: Server,
    address: str = "/",
    size: tuple[int, int] = LAPTOP,
    *,
    label: re.Pattern[str] = ANY_LABEL,
    **options: object,
) -> Iterator[Page]:
    """A page that shows a prediction; on exit, check that it logged nothing and sent requests to the service only."""
    viewport = {"width": size[0], "height": size[1]}
    with browser.new_context(viewport=viewport, **options) as context:  # type: ignore[arg-type]
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith((server.url, "data:")) else problems.append(request.url),
        )
        page.goto(server.url + address)
        if "=" not in address or "=&" not in address:
            expect(page.locator("#prediction .predicted-label")).to_have_text(label)
        yield page
        assert problems == []


def overlapping_texts(page: Page, selector: str = "#network text") -> list[tuple[_Box, _Box]]:
    """The pairs of texts, as boxes (left, top, right, bottom), that share more than a pixel or two."""
    boxes: list[_Box] = page.evaluate(_TEXTS.replace("#network text", selector))
    return [
        (one, other)
        for i, one in enumerate(boxes)
        for other in boxes[:i]
        if min(one[2], other[2]) - max(one[0], other[0]) > 1 and min(one[3], other[3]) - max(one[1], other[1]) > 4
    ]


def require_fit(page: Page) -> None:
    """Check that nothing scrolls sideways, and that axe has no serious finding."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    violations = Axe().run(page).response["violations"]
    serious = [fault for fault in violations if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], fault["nodes"][0]["target"]) for fault in serious] == []


def parse_number(text: str) -> float:
    """The number in a text of the page."""
    return float(re.sub(r"[(),]", "", text.replace(MINUS, "-")))
