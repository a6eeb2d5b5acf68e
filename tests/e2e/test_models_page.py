"""The pages of several models: the way from one to another, and what the shadow version of one would change."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect
from support import headed_bundles, mixed_bundles
from support.gunicorn_server import Server, serving
from support.headed_bundles import REGRESSION
from support.mixed_bundles import FEATURES, raw_rows
from support.web_page import ANY_TEXT, LAPTOP, PHONE, open_page, require_fit

from models import bundle
from service.settings import SHIPPED_STORE

pytestmark = pytest.mark.browser

ROWS = 400


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the shipped model, two with a shadow that has compared `ROWS` rows, and one that is damaged."""
    store = tmp_path_factory.mktemp("several")
    shutil.copytree(SHIPPED_STORE, store, dirs_exist_ok=True)
    for seed in (0, 1):  # the second version of the penguins is trained with other rows
        mixed_bundles.publish(store, name="penguins", rows=raw_rows(400, seed))
        headed_bundles.publish(store, REGRESSION)
    for name in ("penguins", "headed"):
        bundle.write_current_version(store / name, 1)
        bundle.write_shadow_version(store / name, 2)
    (store / "seals" / "1").mkdir(parents=True)
    (store / "seals" / "1" / bundle.MANIFEST).write_text("{}")
    names = [feature.name for feature in FEATURES]
    with serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODELS="*", WEB_CONCURRENCY="1") as server:
        predict(server, "penguins", [dict(zip(names, row, strict=True)) for row in raw_rows(ROWS, seed=2)])
        predict(server, "headed", [{"f1": i / ROWS, "f2": 0.0, "f3": 1.0} for i in range(ROWS)])
        yield server


def predict(server: Server, name: str, rows: list[dict[str, Any]]) -> None:
    """Let a model predict rows, and wait until its shadow has."""
    response = requests.post(f"{server.url}/models/{name}/predict", json={"instances": rows}, timeout=30)
    response.raise_for_status()
    deadline = time.monotonic() + 60
    while report_of(server, name)["rows"] < len(rows):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def report_of(server: Server, name: str) -> Any:
    return requests.get(f"{server.url}/models/{name}/shadow", timeout=10).json()


def open_menu(page: Page) -> None:
    page.locator(".model-menu summary").press("Enter")
    expect(page.locator(".model-menu .model-list")).to_be_visible()


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (LAPTOP, "light")], ids=["phone", "laptop"])
def test_a_menu_leads_to_the_page_of_another_model(
    browser: Browser, several: Server, size: tuple[int, int], scheme: str
) -> None:
    """By keyboard; the page sends its requests to its own model, and the menu leads back to the default one."""
    with open_page(browser, several, size=size, color_scheme=scheme, label=ANY_TEXT) as page:
        expect(page.locator(".model-menu summary")).to_have_text("Model: animals")
        expect(page).to_have_title("animals · Menagerie")
        expect(page.locator("#shadow")).to_be_hidden()
        open_menu(page)
        require_fit(page)
        expect(page.locator(".model-list [aria-current]")).to_contain_text("animals")
        expect(page.get_by_role("link", name="penguins")).to_contain_text("version 1, shadow 2")
        damaged = page.locator(".model-list .unavailable", has_text="seals")
        expect(damaged).to_contain_text(re.compile(r"unavailable: .*manifest"))
        expect(damaged.locator("a")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(page.locator(".model-list")).to_be_hidden()
        expect(page.locator(".model-menu summary")).to_be_focused()
        open_menu(page)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url.removeprefix(several.url)))
        page.get_by_role("link", name="penguins").press("Enter")
        expect(page).to_have_url(re.compile(re.escape(f"{several.url}/models/penguins/") + "(#.*)?$"))
        expect(page.locator("#prediction .predicted-label")).to_have_text(re.compile("|".join(mixed_bundles.LABELS)))
        expect(page.locator(".model-menu summary")).to_have_text("Model: penguins")
        page.click("#drift summary")
        expect(page.locator(".drift-rows li").first).to_be_visible()
        own = ("/models/penguins", "/page/", "data:")
        assert [path for path in sent if not path.startswith(own) and path != "/models"] == []
        command = page.inner_text(".command code")
        assert command.startswith(f"curl {several.url}/models/penguins/predict ")
        links = page.evaluate("[...document.links].map(link => link.href)")
        assert f"{several.url}/models/penguins" in links
        open_menu(page)
        page.get_by_role("link", name="animals").click()
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        assert page.url.partition("#")[0] == f"{several.url}/"


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (LAPTOP, "dark")], ids=["phone", "laptop"])
def test_a_panel_shows_what_the_shadow_would_change(
    browser: Browser, several: Server, size: tuple[int, int], scheme: str
) -> None:
    """The verdict in words, and the numbers of the report in pictures."""
    report = report_of(several, "penguins")
    output = report["outputs"][0]
    assert output["changes"]
    with open_page(browser, several, "/models/penguins/", size, color_scheme=scheme, label=ANY_TEXT) as page:
        panel = page.get_by_role("region", name="What would version 2 change?")
        verdict = report["verdict"].replace(" -> ", " → ")
        expect(panel.locator(".shadow-verdict")).to_have_text(f"{verdict[0].upper()}{verdict[1:]}.")
        expect(panel).to_contain_text(
            re.compile(f"{ROWS} rows compared since .*: version 2 computes the rows that version 1 has predicted")
        )
        expect(panel.locator(".flow-band")).to_have_count(min(10, len(output["changes"])))
        most = output["changes"][0]
        expect(panel.locator(".changes .shadow-bars li").first).to_contain_text(
            re.compile(f"^{most['from']} → {most['to']}{most['rows']} row")
        )
        moved = panel.get_by_role("img", name="Difference in percentage points")
        shown = [int(text) for text in moved.locator(".column small").all_inner_texts() if text]
        assert shown == [bucket["rows"] for bucket in output["moved"]["histogram"] if bucket["rows"]]
        for each in output["ranges"][:6]:
            expect(panel).to_contain_text(each["says"])
        require_fit(page)


def test_the_panel_of_a_regression_shows_differences(browser: Browser, several: Server) -> None:
    """Here none: both versions are the same."""
    report = report_of(several, "headed")
    with open_page(browser, several, "/models/headed/", label=ANY_TEXT) as page:
        panel = page.get_by_role("region", name="What would version 2 change?")
        expect(panel.locator(".shadow-verdict")).to_contain_text(
            f"agrees with 1 to within 1% of the spread on all {ROWS} rows"
        )
        for target in report["outputs"][0]["targets"]:
            chart = panel.get_by_role("img", name=f"Difference of {target}")
            expect(chart.locator(".column:not(.empty)")).to_have_count(1)
        require_fit(page)


def test_one_model_has_no_menu_and_no_panel(browser: Browser, server: Server) -> None:
    """The page is as it was before there were several."""
    with open_page(browser, server) as page:
        expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
        page.wait_for_load_state("networkidle")
        expect(page.locator("#models")).to_be_hidden()
        expect(page.locator("#shadow")).to_be_hidden()
        expect(page).to_have_title(re.compile("^Menagerie"))


def test_without_a_default_model_a_list_leads_to_all(browser: Browser, tmp_path: Path) -> None:
    """At the root."""
    for name in ("penguins", "seals"):
        mixed_bundles.publish(tmp_path, name=name)
    with (
        serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODELS="*", WEB_CONCURRENCY="1") as server,
        browser.new_page() as page,
    ):
        page.goto(f"{server.url}/")
        expect(page.get_by_role("link")).to_have_count(2)
        require_fit(page)
        page.get_by_role("link", name="seals").click()
        expect(page.locator("#prediction .predicted-label")).to_have_text(ANY_TEXT)
        expect(page.locator(".model-menu summary")).to_have_text("Model: seals")
