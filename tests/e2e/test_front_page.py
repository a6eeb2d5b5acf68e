"""The page in a real browser, served by real processes: what a person sees, inspects, types and shares."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect
from playwright.sync_api import Request as BrowserRequest
from sklearn.datasets import load_iris
from support import sampled_animals
from support.gunicorn_server import ROOT, Server, serving
from support.handmade_bundles import Network, publish
from support.nginx import PREFIXES, under_prefixes
from support.waiting import await_equal
from support.web_page import (
    ANY_LABEL,
    ANY_TEXT,
    LAPTOP,
    MINUS,
    PHONE,
    PROJECTOR,
    SECOND,
    TIMES,
    open_page,
    overlapping_texts,
    parse_number,
    require_fit,
)

from models.feature import Feature
from service.app import api_keys

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with open_page(browser, server) as page:
        yield page


def features_of(page: Page) -> dict[str, float]:
    """The features in the curl command of the page."""
    return json.loads(re.search(r"-d '(.*)'$", page.inner_text(".command code"))[1])["features"]  # type: ignore[index,no-any-return]


def explain(server: Server, features: dict[str, float]) -> dict[str, object]:
    return requests.post(f"{server.url}/explain", json={"features": features}, timeout=10).json()  # type: ignore[no-any-return]


def test_the_page_opens_with_a_prediction(browser: Browser, server: Server) -> None:
    """Without any input, in a browser with an empty cache."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/", wait_until="commit")
        page.wait_for_selector("#prediction .predicted-label")


def test_scripts_that_fail_to_load_cause_a_warning(browser: Browser, server: Server) -> None:
    """A browser aborts downloads when the network changes; the page shows it and offers to load again."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/page/state.js", lambda route: route.abort("connectionaborted"))
        page.goto(server.url)
        warning = page.locator("p.load-warning")
        expect(warning).to_be_attached()
        expect(warning).to_be_visible()
        page.unroute("**/page/state.js")
        warning.get_by_role("link", name="Reload the page").click()
        expect(page.locator("#prediction .predicted-label")).to_have_text(ANY_LABEL)
        expect(warning).not_to_be_attached()


def test_the_diagram_shows_every_node_and_connection(page: Page, server: Server) -> None:
    """As many as the model has, each node with its own output."""
    layers = requests.get(f"{server.url}/model", timeout=10).json()["layers"]
    assert page.locator(".node").count() == sum(layer["units"] for layer in layers) == 24
    assert page.locator(".connection").count() == 8 * 6 + 6 * 6 + 6 * 4
    answer = explain(server, features_of(page))
    hidden = answer["layers"][1]["nodes"]  # type: ignore[index]
    shown = [parse_number(page.text_content(f'[data-key="hidden_1.{i + 1}"] .value') or "") for i in range(6)]
    assert shown == pytest.approx([node["output"] for node in hidden], abs=0.006)


def test_a_node_shows_its_weighted_sum(page: Page, server: Server) -> None:
    """Input times weight for each connection, the bias, the sum and the activation, as `/explain` gives them."""
    node = explain(server, features_of(page))["layers"][1]["nodes"][2]  # type: ignore[index]
    page.hover('[data-key="hidden_1.3"] .body')
    expect(page.locator("#weighted-sum h3")).to_have_text("hidden 1, node 3")
    expect(page.locator("#weighted-sum .formula")).to_have_text("output = relu(weighted sum of the inputs)")
    terms = page.locator("#weighted-sum .term-factors").all_inner_texts()
    factors = [tuple(map(parse_number, term.split(f" {TIMES} "))) for term in terms[:-1]]
    assert factors == [
        pytest.approx((connection["input"], connection["weight"]), abs=0.006) for connection in node["connections"]
    ]
    assert parse_number(terms[-1]) == pytest.approx(node["bias"], abs=0.006)
    contributions = [parse_number(text) for text in page.locator("#weighted-sum .term-value").all_inner_texts()]
    assert sum(contributions) == pytest.approx(node["weighted_sum"], abs=0.05)
    total = parse_number(page.inner_text("#weighted-sum .total b"))
    assert total == pytest.approx(node["weighted_sum"], abs=0.006)
    assert parse_number(page.inner_text("#weighted-sum .output b")) == max(0, total)
    assert page.locator(".connection.highlighted").count() == 8
    page.mouse.move(5, 5)
    expect(page.locator(".connection.highlighted")).to_have_count(0)


def test_a_click_pins_a_node_and_escape_unpins_it(page: Page) -> None:
    """The URL contains the pinned node."""
    page.click('[data-key="hidden_2.4"] .body')
    page.mouse.move(5, 5)
    expect(page.locator(".connection.highlighted")).to_have_count(6)
    expect(page).to_have_url(re.compile(r"hidden_2\.4"))
    page.keyboard.press("Escape")
    expect(page.locator(".connection.highlighted")).to_have_count(0)


def test_a_slider_changes_the_prediction(page: Page, server: Server) -> None:
    """At the value that the track announced."""
    slider = page.get_by_role("slider", name="Tail length")
    boundary = explain(server, features_of(page))["sweeps"]["tail_length_cm"]["changes"]["above"]  # type: ignore[index]
    hint = page.locator(".row", has=slider).locator(".hint")
    expect(hint).to_contain_text(f"{boundary['label']} above {boundary['at']:.3g}")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    expect(page.locator("#prediction .predicted-label")).to_have_text(boundary["label"])
    assert features_of(page)["tail_length_cm"] > boundary["at"]


def test_the_diagram_follows_a_moving_slider(page: Page, server: Server) -> None:
    """It is redrawn while the slider moves, and ends with the values at which the slider stopped."""
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
    (first, *_) = explain(server, features_of(page))["layers"][0]["nodes"]  # type: ignore[index]
    expect(page.locator('[data-key="normalization.1"] .value')).to_have_text(
        f"{first['output']:.2f}".replace("-", MINUS)
    )


def test_a_value_can_be_typed(page: Page) -> None:
    """Also with a decimal comma; a text that is no number or out of bounds causes a message and no request."""
    field = page.get_by_label("Body mass", exact=True)
    field.fill("61,5")
    expect(page.locator(".command code")).to_contain_text('"body_mass_kg":61.5')
    field.fill("9000")
    expect(page.locator(".row.invalid .hint")).to_have_text("Enter a number from 0.0005 to 300\u00a0kg.")
    field.fill("heavy")
    expect(page.locator(".row.invalid .hint")).to_contain_text("Not a number")
    field.blur()
    expect(field).to_have_value("61.5")
    expect(page.locator(".row.invalid")).to_have_count(0)


def test_a_value_outside_the_training_range_causes_warnings(page: Page) -> None:
    """At the input and at the prediction."""
    page.get_by_label("Head width", exact=True).fill("35")
    expect(page.locator(".row.warned")).to_have_count(1)
    expect(page.locator(".row.warned .hint")).to_contain_text("Training range of dog: ")
    expect(page.locator(".warnings summary")).to_contain_text(
        "Possibly unreliable: one value lies outside the training range of dog"
    )


def test_presets_are_real_animals_with_a_source(page: Page) -> None:
    """They are picked by button, from the list or at random; the source is a link."""
    page.get_by_role("button", name="Pogona barbata").click()
    expect(page.locator("#prediction .predicted-label")).to_have_text("lizard")
    expect(page.locator(".preset-description")).to_contain_text(
        "Pogona barbata is a lizard, and the network predicts lizard. Recall when held out of training: "
    )
    assert page.locator(".preset-description a").first.get_attribute("href").startswith("https://")  # type: ignore[union-attr]
    page.get_by_label("All animals").select_option("Kangal (Europe-bred)")
    expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
    page.get_by_role("button", name="Random animal").click()
    expect(page.locator(".preset-description")).to_contain_text("Sources: ")


def test_the_prediction_is_explained(page: Page, server: Server) -> None:
    """By contributions from the average animal to this one, largest first, for any label that is selected."""
    answer = explain(server, features_of(page))
    contributions = {name: shares["dog"] for name, shares in answer["attributions"]["values"].items()}  # type: ignore[index]
    expect(page.locator("#attribution h3")).to_have_text("Why dog?")
    shown = page.locator(".waterfall .row-contribution").all_inner_texts()[1:-1]
    expected = sorted(contributions.values(), key=abs, reverse=True)
    assert [parse_number(points) for points in shown] == pytest.approx([100 * share for share in expected], abs=0.06)
    page.get_by_role("button", name=re.compile("^cat")).click()
    expect(page.locator("#attribution h3")).to_have_text("Why not cat?")


def test_the_forward_pass_is_played(page: Page) -> None:
    """Step by step, each with a sentence; layers that it has not reached are empty, the end shows the whole network."""
    page.get_by_role("button", name="Next step").click()
    expect(page.locator("#caption")).to_contain_text("Step 1 of 7")
    expect(page.locator(".node.pending")).to_have_count(16)
    page.get_by_role("button", name="Next step").click()
    expect(page.locator(".connection.flowing")).to_have_count(48)
    page.get_by_label("Speed").select_option("fast")
    page.get_by_role("button", name="Play the forward pass").click()
    expect(page.locator("#caption")).to_contain_text("Step 7 of 7", timeout=15 * SECOND)
    expect(page.locator(".node.pending")).to_have_count(0)


@pytest.mark.parametrize(
    "term", ["layer", "node", "connection", "weight", "weighted sum", "activation", "forward pass", "output class"]
)
def test_the_glossary_defines_each_term(page: Page, term: str) -> None:
    """The definition appears below the diagram."""
    page.get_by_role("button", name=term, exact=True).click()
    expect(page.locator("#caption strong")).to_have_text(f"{term}:")
    assert len(page.inner_text("#caption")) > 80


def test_a_url_restores_the_state_of_the_page(browser: Browser, server: Server, page: Page) -> None:
    """Animal, node and prediction."""
    page.get_by_label("Ear length", exact=True).fill("3.5")
    page.click('[data-key="hidden_1.2"] .body')
    expect(page).to_have_url(re.compile(r"ear_length_cm=3\.5.*hidden_1\.2"))
    shown, features = page.inner_text("#answer-title + div"), features_of(page)
    with open_page(browser, server, "/" + page.url.removeprefix(server.url + "/")) as other:
        expect(other.locator("#prediction")).to_have_text(re.compile(r"confidence"))
        assert other.inner_text("#answer-title + div") == shown
        assert features_of(other) == features
        expect(other.locator(".connection.highlighted")).to_have_count(8)


def test_an_empty_form_waits_for_every_measurement(page: Page) -> None:
    """Each field says how to measure, the page counts the missing values, and the prediction follows the last one."""
    features = features_of(page)
    page.get_by_role("button", name="Enter your own values").click()
    expect(page.locator("#prediction .predicted-label")).to_have_text("8 measurements missing")
    expect(page.locator(".row .hint").nth(1)).to_contain_text("Ground to top of the shoulder")
    for field, value in zip(page.locator(".row-head input").all(), features.values(), strict=True):
        field.fill(str(value))
    expect(page.locator("#prediction .predicted-label")).to_have_text("dog")


def test_the_page_works_by_keyboard(page: Page) -> None:
    """From the top to a slider, into the diagram, from node to node, and back out."""
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
    expect(page.locator(".connection.highlighted")).to_have_count(8)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".node.pinned")).to_have_count(1)
    expect(page.locator(".connection.highlighted")).to_have_count(8)


def test_the_curl_command_returns_the_same_label(page: Page, server: Server) -> None:
    """The page shows it for a shell."""
    line = page.inner_text(".command code")
    assert line.startswith(f"curl {server.url}/predict ")
    answer = requests.post(f"{server.url}/predict", json={"features": features_of(page)}, timeout=10).json()
    assert page.inner_text("#prediction .predicted-label") == answer["label"]


@pytest.mark.parametrize(("address", "description"), [("", "model"), ("models/animals/", "models/animals")])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_page_keeps_the_path_prefix_of_a_proxy(
    browser: Browser, proxy: str, prefix: str, address: str, description: str
) -> None:
    """Its requests, links, pictures and the command for a shell; as the page of the service, and as that of a model."""
    base = f"{proxy}{prefix}/"
    own = f"{base}{address}"
    with browser.new_context() as context:
        page = context.new_page()
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.goto(own if address else base.removesuffix("/"))  # nginx redirects to the path with a slash
        expect(page).to_have_url(re.compile(re.escape(own) + "(#.*)?$"))
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        page.click("#drift summary")
        expect(page.locator(".drift-rows li")).to_have_count(9)
        expect(page.locator("#card img")).to_have_count(4)
        links = page.evaluate("[...document.links].map(link => link.href)")
        assert {f"{base}{description}", f"{own}page/report/index.html"} <= set(links)
        assert [url for url in links if url.startswith(proxy) and not url.startswith(base)] == []
        assert [url for url in urls[1:] if not url.startswith((base, "data:"))] == []
        assert {f"{base}page/main.js", f"{base}models", f"{own}explain", f"{own}shadow"} <= set(urls)
        assert f"{own}predict" in page.inner_text(".command code").replace("'\\''", "'")
        command = ["sh", "-c", f"{page.inner_text('.command code')} --silent --show-error --fail"]
        answer = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
        assert json.loads(answer)["label"] == "dog"


def test_the_page_works_with_a_password_in_its_url(browser: Browser, proxy: str) -> None:
    """A proxy may ask for one. A browser refuses to fetch a URL that has one, and no command may show it."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{proxy.replace('//', '//anne:secret@')}/models/")
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        assert page.inner_text(".command code").startswith(f"curl {proxy}/models/predict ")


def test_the_model_card_shows_results_and_limits(page: Page, server: Server) -> None:
    """Metrics, pictures that load, the recall of each group, and the limits of the model."""
    page.locator("#card").scroll_into_view_if_needed()
    for picture in page.locator("#card img").all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    assert page.locator("#card img").count() == 4
    page.get_by_label("Find a group").fill("boston")
    expect(page.locator("#card tbody tr")).to_have_count(1)
    expect(page.locator("#card")).to_contain_text("Limits of the model")
    verdict = requests.get(f"{server.url}/model", timeout=10).json()["metrics"]["verdict"]
    expect(page.locator("#card")).to_contain_text(verdict["baselines"])
    expect(page.locator("#card")).to_contain_text(verdict["calibration"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, LAPTOP, PROJECTOR], ids=["phone", "laptop", "projector"])
def test_the_page_fits_the_screen_and_is_accessible(
    browser: Browser, server: Server, size: tuple[int, int], scheme: str
) -> None:
    """No horizontal scrolling, no overlapping text in the diagram, and no serious finding of axe."""
    with open_page(browser, server, size=size, color_scheme=scheme) as page:
        require_fit(page)
        assert overlapping_texts(page) == []


def test_a_tap_inspects_a_node_on_a_phone(browser: Browser, server: Server) -> None:
    """A touch screen has no pointer to hover with."""
    with open_page(browser, server, size=PHONE, has_touch=True, is_mobile=True) as page:
        page.tap('[data-key="hidden_2.4"] .body')
        expect(page.locator("#weighted-sum h3")).to_have_text("hidden 2, node 4")
        expect(page.locator(".connection.highlighted")).to_have_count(6)


@pytest.fixture(scope="module")
def drifted_server() -> Iterator[Server]:
    """A service that has received animals of twice the usual mass, some with their temperature in Fahrenheit."""
    with serving() as server:
        requests.post(f"{server.url}/predict", json={"instances": sampled_animals.heavier(900, 5).tolist()}, timeout=10)
        out_of_bounds = {"instances": sampled_animals.in_fahrenheit(100, 5).tolist()}
        assert requests.post(f"{server.url}/predict", json=out_of_bounds, timeout=10).status_code == 422
        await_equal(lambda: requests.get(f"{server.url}/drift", timeout=10).json()["rows"], 1000)
        yield server


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_the_drift_panel_compares_recent_rows_with_training_rows(
    browser: Browser, drifted_server: Server, size: tuple[int, int], scheme: str
) -> None:
    """Opened by keyboard: a summary and bars for every feature, which fit every screen."""
    with open_page(browser, drifted_server, size=size, color_scheme=scheme) as page:
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.locator("#drift summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".drift-summary")).to_contain_text("Recent input has shifted: ")
        expect(page.locator(".drift-summary")).to_contain_text("body_temperature_c is out of bounds, 5 to 45 °C, in 1")
        expect(page.locator(".drift-summary")).to_contain_text("body_mass_kg is higher: its median was 5.84 kg")
        expect(page.locator(".drift-rows .shifted .row-name")).to_have_text(["Body mass", "Body temperature"])
        expect(page.locator(".drift-rows li")).to_have_count(9)
        bars = page.get_by_role("img", name="Body temperature: up to 20.4")
        expect(bars).to_have_attribute("aria-label", re.compile("1% in training.*; rejected: 1[01]% now$"))
        require_fit(page)
        assert [url.rpartition("/")[2] for url in urls if "drift" in url] == ["drift"]


def test_requests_of_the_page_do_not_count_for_drift(browser: Browser, drifted_server: Server) -> None:
    """Sliders send animals that nobody has met: to /explain, which `test_drift_over_workers` shows not to count."""
    with open_page(browser, drifted_server) as page:
        posted: list[str] = []
        page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
        slider = page.get_by_role("slider", name="Head length")
        slider.focus()
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
    assert set(posted) == {f"{drifted_server.url}/explain"}


def test_a_model_without_drift_is_not_asked_again(browser: Browser, server: Server) -> None:
    """The panel shows the reason; a permanent error is not retried."""
    with browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        urls: list[str] = []

        def refuse(route: Route) -> None:
            urls.append(route.request.url)
            route.fulfill(status=501, content_type="application/json", body='{"detail": "not for this model"}')

        page.route("**/drift", refuse)
        page.goto(server.url)
        page.click("#drift summary")
        expect(page.locator("#drift")).to_contain_text("The request failed (501: not for this model)")
        page.clock.run_for(200 * SECOND)
        assert len(urls) == 1


@pytest.mark.tensorflow
def test_a_model_trained_on_another_table_has_a_page(browser: Browser, tmp_path: Path) -> None:
    """It has other features and labels and no report: the page builds itself from the schema and hides the rest."""
    table, store = tmp_path / "flowers.csv", tmp_path / "store"
    flowers = load_iris()
    lines = [
        [*map(str, row), str(flowers.target_names[species])]
        for row, species in zip(flowers.data, flowers.target, strict=True)
    ]
    header = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    table.write_text("".join(f"{','.join(line)}\n" for line in (header, *lines)))
    arguments = [
        "--data",
        table,
        "--label",
        "species",
        "--name",
        "flowers",
        "--out",
        store,
        "--no-report",
    ]
    subprocess.run([sys.executable, "-m", "models.train", *map(str, arguments)], cwd=ROOT, check=True, timeout=300)
    with (
        serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_NAME="flowers") as server,
        open_page(browser, server) as page,
    ):
        expect(page.locator(".row label")).to_have_text(["Sepal length", "Sepal width", "Petal length", "Petal width"])
        assert page.locator(".probability .label").all_inner_texts() == list(flowers.target_names)
        assert page.locator(".node").count() == 4 + 6 + 6 + 3
        assert page.locator(".preset-chip, #presets select, #card img").count() == 0
        page.get_by_role("slider", name="Petal length").press("End")
        expect(page.locator("#attribution h3")).to_have_text(re.compile("^Why "))
        expect(page.locator("#card")).to_contain_text("Limits of the model")


UNUSUAL_FEATURES = [
    Feature(name="concentration", unit="mol/L", minimum=1e-13, maximum=1e-11),
    Feature(name="revenue", minimum=1e12, maximum=4.12e12),
    Feature(name="created_at", unit="s", minimum=1_600_000_000, maximum=1_700_000_000),
    Feature(name="eGFR", minimum=0, maximum=200),
    Feature(name="pH", minimum=0, maximum=14),
    Feature(name="_x", minimum=-1, maximum=1),
    Feature(name="the_distance_between_" + "two_points_" * 12, unit="hundredths of a millimetre", minimum=0, maximum=1),
]
UNUSUAL_LABELS = ["a label that has many words " * 5, "yes", "ALabelWithoutAnySpaces" * 7]


@pytest.fixture(scope="module")
def unusual_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model with values of any size and with names of any length."""
    store = tmp_path_factory.mktemp("unusual")
    network = Network.random([len(UNUSUAL_FEATURES), 6, 6, len(UNUSUAL_LABELS)])
    bounds = np.array([(feature.minimum, feature.maximum) for feature in UNUSUAL_FEATURES])
    network.normal = bounds.mean(axis=1), (bounds[:, 1] - bounds[:, 0]) / 4
    publish(store, network, features=UNUSUAL_FEATURES, labels=UNUSUAL_LABELS)
    with serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_NAME="handmade") as server:
        yield server


@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_numbers_and_names_of_any_length_are_legible(
    browser: Browser, unusual_server: Server, size: tuple[int, int]
) -> None:
    """A field shows all of its number, a long name ends in an ellipsis, and nothing overlaps."""
    values = {"concentration": 2.67e-12, "revenue": 2.56e12, "created_at": 1_650_000_123, "eGFR": 98.7654321}
    rest = {"pH": 7, "_x": -0.5, UNUSUAL_FEATURES[-1].name: 0.25}
    with open_page(browser, unusual_server, f"/#{urlencode(values | rest)}", size, label=ANY_TEXT) as page:
        fields = page.locator(".row-head input")
        assert [field.input_value() for field in fields.all()] == [
            f"2.67e{MINUS}12", "2.56e12", "1650000123", "98.7654321", "7", f"{MINUS}0.5", "0.25"
        ]  # fmt: skip
        page.get_by_label("concentration", exact=True).fill(f"{MINUS}2.671234567e-12")
        assert (
            fields.evaluate_all("fields => fields.filter(field => field.scrollWidth > field.clientWidth).length") == 0
        )
        page.get_by_label("concentration", exact=True).fill(f"2.67e{MINUS}12")
        assert page.locator(".row label").all_text_contents()[:6] == [
            "concentration", "revenue", "Created at", "eGFR", "pH", "_x"
        ]  # fmt: skip
        expect(page.locator("#lead")).to_contain_text("7 measurements in, one of 3 labels out")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert overlapping_texts(page) == []
        assert overlapping_texts(page, ".row-head > *, .hint") == []
        assert page.evaluate("[...document.querySelectorAll('.hint')].every(e => e.scrollHeight <= 2.5 * 16)")


def test_a_slider_keeps_to_the_values_between_its_bounds(browser: Browser, unusual_server: Server) -> None:
    """Three digits do not tell seconds since 1970 apart: each step of the slider is another value."""
    with open_page(browser, unusual_server, label=ANY_TEXT) as page:
        slider = page.get_by_role("slider", name="Created at")
        slider.focus()
        seen = set()
        for _ in range(4):
            page.keyboard.press("PageUp")
            seen.add(float(page.get_by_label("Created at", exact=True).input_value()))
        assert len(seen) == 4
        assert all(1_600_000_000 <= value <= 1_700_000_000 for value in seen)


def test_a_model_that_cannot_be_explained_has_a_prediction(browser: Browser, tmp_path: Path) -> None:
    """One measurement is in the singular; the page shows label and probabilities, and says why there is no more."""
    network = Network.random([1, 3, 2])
    publish(tmp_path, network, features=[Feature(name="features", minimum=-3, maximum=3)], weights=False)
    with serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME="handmade") as server:
        answer = requests.post(f"{server.url}/predict", json={"features": {"features": 0}}, timeout=10).json()
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(server.url)
            expect(page.locator("#prediction .predicted-label")).to_have_text(answer["label"])
            expect(page.locator("#lead")).to_contain_text("1 measurement in, one of 2 labels out")
            expect(page.locator("#attribution")).to_contain_text("No explanation: the model was trained without")
            expect(page.locator("#error")).to_be_hidden()
            page.get_by_role("slider", name="features").press("End")
            expect(page.locator("#caption")).to_contain_text("The network is not drawn: the model was trained without")


def test_the_page_waits_for_a_service_that_is_down(browser: Browser) -> None:
    """It shows an error, and sends the latest request when the service is back."""
    with browser.new_context() as context, serving() as first:
        page = context.new_page()
        page.goto(first.url)
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        first.process.terminate()
        first.process.wait(60)
        page.get_by_label("Body mass", exact=True).fill("22")
        expect(page.locator("#error")).to_contain_text("The service does not respond", timeout=15 * SECOND)
        with serving("--bind", f"127.0.0.1:{first.port}"):
            expect(page.locator("#error")).to_be_hidden(timeout=30 * SECOND)
            expect(page.locator('[data-key="normalization.1"] .value')).to_have_text(f"{MINUS}0.20")


def test_the_page_shows_why_a_service_is_not_ready(browser: Browser, server: Server) -> None:
    """With the detail of the response."""
    problem = json.dumps({"title": "x", "status": 503, "detail": "the service is shutting down"})
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        page.route("**/explain", lambda route: route.fulfill(status=503, content_type="application/json", body=problem))
        page.get_by_label("Body mass", exact=True).fill("22")
        expect(page.locator("#error")).to_contain_text("not ready: the service is shutting down")
        page.unroute("**/explain")
        expect(page.locator("#error")).to_be_hidden()


def test_the_page_prompts_for_a_required_api_key(browser: Browser) -> None:
    """It opens without one, rejects a wrong one, and keeps the right one for this tab, also for its pictures."""
    key, key_hash = api_keys.make()
    with serving(MENAGERIE_API_KEYS=key_hash) as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{server.url}/")
        field = page.get_by_label("This service requires an API key.")
        field.fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("dialog [role=alert]")).to_have_text("This API key is not valid.")
        field.fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        expect(page.locator(".report-figures img").first).to_have_js_property("complete", value=True)
        page.reload()
        expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        expect(page.locator("dialog")).to_have_count(0)


def test_each_service_behind_a_proxy_has_its_own_api_key(browser: Browser, tmp_path: Path) -> None:
    """Although a browser stores what all pages of one origin keep in one place: no service receives another's key."""
    keys = {"/cats": api_keys.make(), "/dogs": api_keys.make()}
    with ExitStack() as stack:
        servers = {
            prefix: stack.enter_context(serving(MENAGERIE_API_KEYS=key_hash)) for prefix, (_, key_hash) in keys.items()
        }
        ports = {prefix: server.port for prefix, server in servers.items()}
        proxy = stack.enter_context(under_prefixes(tmp_path, ports))
        page = stack.enter_context(browser.new_context()).new_page()
        sent: dict[str, set[str]] = {prefix: set() for prefix in keys}

        def note_key(request: BrowserRequest) -> None:
            if key := request.headers.get("x-api-key"):
                sent[request.url.removeprefix(proxy)[:5]].add(key)

        page.on("request", note_key)
        for prefix, (key, _) in keys.items():
            page.goto(f"{proxy}{prefix}/")
            expect(page.locator("dialog [role=alert]")).to_be_empty()
            page.get_by_label("This service requires an API key.").fill(key)
            page.get_by_role("button", name="Use this key").click()
            expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
        for prefix in keys:
            page.goto(f"{proxy}{prefix}/")
            expect(page.locator("#prediction .predicted-label")).to_have_text("dog")
            expect(page.locator("dialog")).to_have_count(0)
        assert sent == {prefix: {key} for prefix, (key, _) in keys.items()}
