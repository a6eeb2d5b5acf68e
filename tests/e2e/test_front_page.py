"""The page in a real browser, served by real processes: what a person sees, points at, types and shares."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect
from sklearn.datasets import load_iris
from support import sampled_animals
from support.gunicorn_server import ROOT, Server, serving

from service.app import api_keys

pytestmark = pytest.mark.browser

PHONE, LAPTOP, PROJECTOR = (390, 844), (1280, 800), (1920, 1080)
SECOND = 1000  # ms
SAID = re.compile(r"^\w+$")
MINUS, TIMES = "\u2212", "\u00d7"
TEXTS = """[...document.querySelectorAll("#network text")]
  .filter(text => text.textContent && getComputedStyle(text).display !== "none")
  .map(text => text.getBoundingClientRect())
  .map(({left, top, right, bottom}) => [left, top, right, bottom])"""


@contextmanager
def opened(
    browser: Browser, server: Server, address: str = "/", size: tuple[int, int] = LAPTOP, **more: object
) -> Iterator[Page]:
    """A page that answers; at the end nothing has complained and no other host was asked."""
    viewport = {"width": size[0], "height": size[1]}
    with browser.new_context(viewport=viewport, **more) as context:  # type: ignore[arg-type]
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((server.url, "data:")) else complaints.append(asked.url),
        )
        page.goto(server.url + address)
        if "=" not in address or "=&" not in address:
            expect(page.locator("#verdict .said")).to_have_text(SAID)
        yield page
        assert complaints == []


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with opened(browser, server) as page:
        yield page


def values(page: Page) -> dict[str, float]:
    """What the page would ask for: the measurements of its curl line."""
    return json.loads(re.search(r"-d '(.*)'$", page.inner_text(".command code"))[1])["features"]  # type: ignore[index,no-any-return]


def explained(server: Server, features: dict[str, float]) -> dict[str, object]:
    return requests.post(f"{server.url}/explain", json={"features": features}, timeout=10).json()  # type: ignore[no-any-return]


def number(said: str) -> float:
    return float(said.replace(MINUS, "-").strip("()"))


def test_the_first_answer_comes_by_itself(browser: Browser, server: Server) -> None:
    """Whoever opens the page sees an answer before doing anything, in a browser that has nothing kept."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/", wait_until="commit")
        page.wait_for_selector("#verdict .said")


def test_scripts_that_do_not_come_are_told(browser: Browser, server: Server) -> None:
    """A browser breaks off what it loads when the network changes: the page says so, and can be loaded again."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/page/state.js", lambda route: route.abort("connectionaborted"))
        page.goto(server.url)
        late = page.locator("p.late")
        expect(late).to_be_attached()
        expect(late).to_be_visible()
        page.unroute("**/page/state.js")
        late.get_by_role("link", name="Load it again").click()
        expect(page.locator("#verdict .said")).to_have_text(SAID)
        expect(late).not_to_be_attached()


def test_the_network_is_drawn_whole(page: Page, server: Server) -> None:
    """As many nodes and connections as the model has, each node with its own output."""
    layers = requests.get(f"{server.url}/model", timeout=10).json()["layers"]
    assert page.locator(".node").count() == sum(layer["units"] for layer in layers) == 24
    assert page.locator(".link").count() == 8 * 6 + 6 * 6 + 6 * 4
    answer = explained(server, values(page))
    hidden = answer["layers"][1]["nodes"]  # type: ignore[index]
    shown = [number(page.text_content(f'[data-key="hidden_1.{i + 1}"] .value') or "") for i in range(6)]
    assert shown == pytest.approx([node["output"] for node in hidden], abs=0.006)


def test_a_node_shows_its_sum(page: Page, server: Server) -> None:
    """Input times weight for each connection, the bias, the sum and the activation: the model's own numbers."""
    node = explained(server, values(page))["layers"][1]["nodes"][2]  # type: ignore[index]
    page.hover('[data-key="hidden_1.3"] .body')
    expect(page.locator("#sum h3")).to_have_text("hidden 1, node 3")
    expect(page.locator("#sum .formula")).to_have_text("output = relu(weighted sum of the inputs)")
    said = page.locator("#sum .term-sum").all_inner_texts()
    factors = [tuple(map(number, term.split(f" {TIMES} "))) for term in said[:-1]]
    assert factors == [
        pytest.approx((connection["input"], connection["weight"]), abs=0.006) for connection in node["connections"]
    ]
    assert number(said[-1]) == pytest.approx(node["bias"], abs=0.006)
    parts = [number(part) for part in page.locator("#sum .term-value").all_inner_texts()]
    assert sum(parts) == pytest.approx(node["weighted_sum"], abs=0.05)
    total = number(page.inner_text("#sum .total b"))
    assert total == pytest.approx(node["weighted_sum"], abs=0.006)
    assert number(page.inner_text("#sum .output b")) == max(0, total)
    assert page.locator(".link.on").count() == 8
    page.mouse.move(5, 5)
    expect(page.locator(".link.on")).to_have_count(0)


def test_a_node_is_kept_by_a_click_and_let_go_by_escape(page: Page) -> None:
    """And is part of the address while it is kept."""
    page.click('[data-key="hidden_2.4"] .body')
    page.mouse.move(5, 5)
    expect(page.locator(".link.on")).to_have_count(6)
    expect(page).to_have_url(re.compile(r"hidden_2\.4"))
    page.keyboard.press("Escape")
    expect(page.locator(".link.on")).to_have_count(0)


def test_a_slider_moves_the_answer(page: Page, server: Server) -> None:
    """Across a boundary that the track has shown before."""
    slider = page.get_by_role("slider", name="Head length")
    boundary = explained(server, values(page))["sweeps"]["head_length_cm"]["changes"]["below"]  # type: ignore[index]
    said = page.locator(".row", has=slider).locator(".hint")
    expect(said).to_contain_text(f"{boundary['label']} below {boundary['at']:.3g}")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    expect(page.locator("#verdict .said")).to_have_text(boundary["label"])
    assert values(page)["head_length_cm"] < boundary["at"]


def test_updates_keep_up_with_a_slider(page: Page, server: Server) -> None:
    """Answers are drawn while a slider moves, and the last one is of where it stopped: no late one comes after."""
    drawn = """async () => {
      const slider = document.querySelector("input[type=range]");
      const value = document.querySelector('[data-key="normalization.1"] .value');
      let drawn = 0;
      const watch = new MutationObserver(() => drawn++);
      watch.observe(value, {childList: true});
      for (let moves = 0, at = 0; moves < 60; moves++, at = (at + 7) % 1000) {
        slider.value = at;
        slider.dispatchEvent(new Event("input"));
        await new Promise(requestAnimationFrame);
      }
      watch.disconnect();
      return drawn;
    }"""
    assert page.evaluate(drawn) > 5
    (first, *_) = explained(server, values(page))["layers"][0]["nodes"]  # type: ignore[index]
    expect(page.locator('[data-key="normalization.1"] .value')).to_have_text(
        f"{first['output']:.2f}".replace("-", MINUS)
    )


def test_a_value_can_be_typed(page: Page) -> None:
    """With a comma too; what is no number, or out of bounds, is told and not sent."""
    field = page.get_by_label("Body mass", exact=True)
    field.fill("61,5")
    expect(page.locator(".command code")).to_contain_text('"body_mass_kg":61.5')
    field.fill("9000")
    expect(page.locator(".row.wrong .hint")).to_have_text("Give a number from 0.0005 to 300\u00a0kg.")
    field.fill("heavy")
    expect(page.locator(".row.wrong .hint")).to_contain_text("Not a number")
    field.blur()
    expect(field).to_have_value("61.5")
    expect(page.locator(".row.wrong")).to_have_count(0)


def test_what_training_did_not_cover_is_warned_of(page: Page) -> None:
    """At the measurement and at the answer."""
    page.get_by_label("Tail length", exact=True).fill("240")
    expect(page.locator(".row.warned")).to_have_count(1)
    expect(page.locator(".row.warned .hint")).to_contain_text("it was trained on")
    expect(page.locator(".warnings summary")).to_contain_text("A guess")


def test_presets_are_real_animals_with_a_source(page: Page) -> None:
    """By a button, from the list and by chance; the source is a link."""
    page.get_by_role("button", name="Pogona barbata").click()
    expect(page.locator("#verdict .said")).to_have_text("lizard")
    expect(page.locator(".about")).to_contain_text(
        "Pogona barbata is a lizard in the facts, and the network says so too"
    )
    assert page.locator(".about a").first.get_attribute("href").startswith("https://")  # type: ignore[union-attr]
    page.get_by_label("All animals").select_option("Kangal (Europe-bred)")
    expect(page.locator("#verdict .said")).to_have_text("dog")
    page.get_by_role("button", name="Random animal").click()
    expect(page.locator(".about")).to_contain_text("in the facts")


def test_the_answer_is_explained(page: Page, server: Server) -> None:
    """From the average animal to this one, in the order of what counts most; any label can be asked about."""
    answer = explained(server, values(page))
    of_dog = {name: shares["dog"] for name, shares in answer["attributions"]["values"].items()}  # type: ignore[index]
    expect(page.locator("#why h3")).to_have_text("Why dog?")
    shown = page.locator(".waterfall .points").all_inner_texts()[1:-1]
    wanted = sorted(of_dog.values(), key=abs, reverse=True)
    assert [number(points) for points in shown] == pytest.approx([100 * share for share in wanted], abs=0.06)
    page.get_by_role("button", name=re.compile("^cat")).click()
    expect(page.locator("#why h3")).to_have_text("Why not cat?")


def test_the_forward_pass_is_played(page: Page) -> None:
    """Step by step: what has not been reached shows nothing, each step has its sentence, the end is the whole."""
    page.get_by_role("button", name="One step on").click()
    expect(page.locator("#caption")).to_contain_text("Step 1 of 7")
    expect(page.locator(".node.ahead")).to_have_count(16)
    page.get_by_role("button", name="One step on").click()
    expect(page.locator(".link.flows")).to_have_count(48)
    page.get_by_label("Pace").select_option("quick")
    page.get_by_role("button", name="Play the forward pass").click()
    expect(page.locator("#caption")).to_contain_text("Step 7 of 7", timeout=15 * SECOND)
    expect(page.locator(".node.ahead")).to_have_count(0)


@pytest.mark.parametrize(
    "word", ["layer", "node", "connection", "weight", "weighted sum", "activation", "forward pass", "output class"]
)
def test_the_words_are_explained_where_they_appear(page: Page, word: str) -> None:
    """Each of the tutorial's words has a sentence of its own under the drawing."""
    page.get_by_role("button", name=word, exact=True).click()
    expect(page.locator("#caption strong")).to_have_text(f"{word}:")
    assert len(page.inner_text("#caption")) > 80


def test_a_finding_can_be_shared(browser: Browser, server: Server, page: Page) -> None:
    """The address alone brings the same animal, node and question."""
    page.get_by_label("Ear length", exact=True).fill("3.5")
    page.click('[data-key="hidden_1.2"] .body')
    expect(page).to_have_url(re.compile(r"ear_length_cm=3\.5.*hidden_1\.2"))
    shown, asked = page.inner_text("#answer-title + div"), values(page)
    with opened(browser, server, "/" + page.url.removeprefix(server.url + "/")) as other:
        expect(other.locator("#verdict")).to_have_text(re.compile(r"sure"))
        assert other.inner_text("#answer-title + div") == shown
        assert values(other) == asked
        expect(other.locator(".link.on")).to_have_count(8)


def test_ones_own_pet_is_measured_in_an_empty_form(page: Page) -> None:
    """Each field says how, the page counts what is missing, and the answer comes with the last."""
    measured = values(page)
    page.get_by_role("button", name="Measure your own pet").click()
    expect(page.locator("#verdict .said")).to_have_text("8 measurements to go")
    expect(page.locator(".row .hint").nth(1)).to_contain_text("Ground to top of the shoulder")
    for field, value in zip(page.locator(".row-head input").all(), measured.values(), strict=True):
        field.fill(str(value))
    expect(page.locator("#verdict .said")).to_have_text("dog")


def test_it_works_by_keyboard(page: Page) -> None:
    """From the top to a slider, into the network, from node to node, and back out."""
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("slider", name="Body mass")).to_be_focused()
    before = page.input_value("#feature-0")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#feature-0") != before
    page.locator('.node[tabindex="0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.key").startswith("hidden_1.")
    expect(page.locator(".link.on")).to_have_count(8)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".node.pinned")).to_have_count(1)
    expect(page.locator(".link.on")).to_have_count(8)


def test_the_request_is_a_line_that_runs(page: Page, server: Server) -> None:
    """What the page shows for a shell answers the same."""
    line = page.inner_text(".command code")
    assert line.startswith(f"curl {server.url}/predict ")
    answer = requests.post(f"{server.url}/predict", json={"features": values(page)}, timeout=10).json()
    assert page.inner_text("#verdict .said") == answer["label"]


def test_the_card_tells_what_it_knows_and_what_not(page: Page) -> None:
    """Figures, pictures that load, each group, and the limits."""
    page.locator("#card").scroll_into_view_if_needed()
    for picture in page.locator("#card img").all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    assert page.locator("#card img").count() == 4
    page.get_by_label("Find a group").fill("boston")
    expect(page.locator("#card tbody tr")).to_have_count(1)
    expect(page.locator("#card")).to_contain_text("What it does not know")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, LAPTOP, PROJECTOR], ids=["phone", "laptop", "projector"])
def test_it_fits_and_is_accessible(browser: Browser, server: Server, size: tuple[int, int], scheme: str) -> None:
    """Nothing sticks out sideways, no text of the drawing overlaps another, and axe finds nothing serious."""
    with opened(browser, server, size=size, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = Axe().run(page).response["violations"]
        assert [
            (fault["id"], fault["nodes"][0]["target"]) for fault in found if fault["impact"] in ("serious", "critical")
        ] == []
        boxes = page.evaluate(TEXTS)
        clashes = [
            (one, other)
            for i, one in enumerate(boxes)
            for other in boxes[:i]
            if min(one[2], other[2]) - max(one[0], other[0]) > 1 and min(one[3], other[3]) - max(one[1], other[1]) > 4
        ]
        assert clashes == []


def test_a_tap_shows_a_node_on_a_phone(browser: Browser, server: Server) -> None:
    """There is no pointer to hover with."""
    with opened(browser, server, size=PHONE, has_touch=True, is_mobile=True) as page:
        page.tap('[data-key="hidden_2.4"] .body')
        expect(page.locator("#sum h3")).to_have_text("hidden 2, node 4")
        expect(page.locator(".link.on")).to_have_count(6)


@pytest.fixture(scope="module")
def heavy() -> Iterator[Server]:
    """A service that was asked about animals of twice the mass, some of them in Fahrenheit."""
    with serving() as server:
        requests.post(f"{server.url}/predict", json={"instances": sampled_animals.heavier(900, 5).tolist()}, timeout=10)
        fevered = {"instances": sampled_animals.in_fahrenheit(100, 5).tolist()}
        assert requests.post(f"{server.url}/predict", json=fevered, timeout=10).status_code == 422
        requests.get(f"{server.url}/drift", timeout=10)
        yield server


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_the_last_rows_are_held_against_the_training_rows(
    browser: Browser, heavy: Server, size: tuple[int, int], scheme: str
) -> None:
    """By keyboard, once a person wants to know: in words and bars, of every feature, fit for every screen."""
    with opened(browser, heavy, size=size, color_scheme=scheme) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.locator("#drift summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".looks")).to_contain_text("What it is asked has shifted: ")
        expect(page.locator(".looks")).to_contain_text("body_temperature_c was refused in 1")
        expect(page.locator(".looks")).to_contain_text("body_mass_kg is higher: its median was 5.84 kg")
        expect(page.locator(".shifts .shifted .what")).to_have_text(["Body mass", "Body temperature"])
        expect(page.locator(".shifts li")).to_have_count(9)
        bars = page.get_by_role("img", name="Body temperature: up to 20.4")
        expect(bars).to_have_attribute("aria-label", re.compile("1% in training.*; refused: 1[01]% now$"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = Axe().run(page).response["violations"]
        assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
        assert [url.rpartition("/")[2] for url in asked if "drift" in url] == ["drift"]


def test_what_the_page_asks_is_no_row(browser: Browser, heavy: Server) -> None:
    """Sliders show the network animals that nobody met: they are not held against it."""
    before = requests.get(f"{heavy.url}/drift", timeout=10).json()["rows"]
    with opened(browser, heavy) as page:
        slider = page.get_by_role("slider", name="Head length")
        slider.focus()
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
    time.sleep(1.5)  # what a worker still holds is counted by then
    assert requests.get(f"{heavy.url}/drift", timeout=10).json()["rows"] == before


def test_where_drift_is_not_told_the_page_says_so(browser: Browser, server: Server) -> None:
    """Once: what will not change is not asked again."""
    with browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        asked: list[str] = []

        def refuse(route: Route) -> None:
            asked.append(route.request.url)
            route.fulfill(status=501, content_type="application/json", body='{"detail": "not for this model"}')

        page.route("**/drift", refuse)
        page.goto(server.url)
        page.click("#drift summary")
        expect(page.locator("#drift")).to_contain_text("could not answer (501: not for this model)")
        page.clock.run_for(200 * SECOND)
        assert len(asked) == 1


@pytest.mark.tensorflow
def test_a_table_of_ones_own_has_a_page(browser: Browser, tmp_path: Path) -> None:
    """Other features, other labels, no report: the page builds itself from the schema and hides what is not there."""
    table, store = tmp_path / "flowers.csv", tmp_path / "store"
    flowers = load_iris()
    lines = [
        [*map(str, row), str(flowers.target_names[kind])]
        for row, kind in zip(flowers.data, flowers.target, strict=True)
    ]
    header = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    table.write_text("".join(f"{','.join(line)}\n" for line in (header, *lines)))
    asked = [
        "--data",
        table,
        "--label",
        "species",
        "--name",
        "flowers",
        "--out",
        store,
        "--no-report",
        "--epochs",
        "20",
    ]
    subprocess.run([sys.executable, "-m", "models.train", *map(str, asked)], cwd=ROOT, check=True, timeout=300)
    with (
        serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_NAME="flowers") as server,
        opened(browser, server) as page,
    ):
        expect(page.locator(".row label")).to_have_text(["Sepal length", "Sepal width", "Petal length", "Petal width"])
        assert page.locator(".probability .label").all_inner_texts() == list(flowers.target_names)
        assert page.locator(".node").count() == 4 + 6 + 6 + 3
        assert page.locator(".animal, #presets select, #card img").count() == 0
        page.get_by_role("slider", name="Petal length").press("End")
        expect(page.locator("#why h3")).to_have_text(re.compile("^Why "))
        expect(page.locator("#card")).to_contain_text("What it does not know")


def test_a_service_that_is_down_is_told_and_waited_for(browser: Browser) -> None:
    """The page says so, goes on by itself when it is back, and answers what was asked last."""
    with browser.new_context() as context, serving() as first:
        page = context.new_page()
        page.goto(first.url)
        expect(page.locator("#verdict .said")).to_have_text("dog")
        first.process.terminate()
        first.process.wait(60)
        page.get_by_label("Body mass", exact=True).fill("22")
        expect(page.locator("#trouble")).to_contain_text("The service does not answer", timeout=15 * SECOND)
        with serving("--bind", f"127.0.0.1:{first.port}"):
            expect(page.locator("#trouble")).to_be_hidden(timeout=30 * SECOND)
            expect(page.locator('[data-key="normalization.1"] .value')).to_have_text(f"{MINUS}0.20")


def test_a_service_that_is_not_ready_is_told(browser: Browser, server: Server) -> None:
    """With the reason that it gives."""
    problem = json.dumps({"title": "x", "status": 503, "detail": "the service is shutting down"})
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#verdict .said")).to_have_text("dog")
        page.route("**/explain", lambda route: route.fulfill(status=503, content_type="application/json", body=problem))
        page.get_by_label("Body mass", exact=True).fill("22")
        expect(page.locator("#trouble")).to_contain_text("not ready: the service is shutting down")
        page.unroute("**/explain")
        expect(page.locator("#trouble")).to_be_hidden()


def test_a_key_is_asked_for_where_one_is_wanted(browser: Browser) -> None:
    """The page opens without; a wrong key is told, the right one is kept for this tab, and pictures come with it."""
    key, known = api_keys.make()
    with serving(MENAGERIE_API_KEYS=known) as guarded, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{guarded.url}/")
        field = page.get_by_label("This service answers with an API key only.")
        field.fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("dialog [role=alert]")).to_have_text("That key is not known here.")
        field.fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#verdict .said")).to_have_text("dog")
        expect(page.locator(".pictures img").first).to_have_js_property("complete", value=True)
        page.reload()
        expect(page.locator("#verdict .said")).to_have_text("dog")
        expect(page.locator("dialog")).to_have_count(0)
