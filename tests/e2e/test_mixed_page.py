"""The page of models with categories, whole numbers and missing values."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Browser, Page, expect
from support import mixed_bundles
from support.gunicorn_server import Server, serving
from support.mixed_bundles import FEATURES, raw_rows
from support.web_page import ANY_TEXT, LAPTOP, PHONE, SECOND, open_page, overlapping_texts, require_fit

from models.encoding import NumberEncoder, OneHotEncoder, TableEncoder
from models.feature import Feature, Hashing

pytestmark = pytest.mark.browser

NAMES = [feature.name for feature in FEATURES]
ROW: dict[str, Any] = dict(zip(NAMES, (44.0, 4300.0, 2008, "Biscoe", "male", "south", 2, False, "Anna"), strict=True))
ODD_TEXTS = ['a & b="c"', "", '"quoted"', "Ärger #1 100%", "null", "  two  spaces "]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the model of `mixed_bundles`."""
    store = tmp_path_factory.mktemp("mixed")
    mixed_bundles.publish(store)
    with serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_NAME="mixed", WEB_CONCURRENCY="1") as server:
        yield server


@pytest.fixture
def page(browser: Browser, mixed: Server) -> Iterator[Page]:
    """The page of `ROW` on a laptop."""
    with open_page(browser, mixed, f"/#{urlencode(in_url(ROW))}", label=ANY_TEXT) as page:
        expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
        yield page


def in_url(row: Mapping[str, Any]) -> dict[str, str]:
    """The values as the page writes them after `#`."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}


def sent(page: Page) -> dict[str, Any]:
    """The features in the curl command of the page, without the quoting of the shell."""
    command = page.inner_text(".command code")
    body = re.search(r"-d '(.*)'$", command, re.DOTALL)[1].replace("'\\''", "'")  # type: ignore[index]
    return json.loads(body)["features"]  # type: ignore[no-any-return]


def explain(server: Server, row: Mapping[str, Any]) -> dict[str, Any]:
    return requests.post(f"{server.url}/explain", json={"features": row}, timeout=10).json()  # type: ignore[no-any-return]


def expect_row(page: Page, server: Server, row: Mapping[str, Any]) -> None:
    """Check that the page sends a row, and shows what the service predicts for it."""
    shown = json.dumps(row["observer"], ensure_ascii=False).replace("'", "'\\''")
    expect(page.locator(".command code")).to_contain_text(f'"observer":{shown}')
    assert sent(page) == row
    prediction = explain(server, row)["prediction"]
    expect(page.locator("#prediction .predicted-label")).to_have_text(prediction["label"])
    shares = [f"{100 * share:.1f}" for share in prediction["probabilities"].values() if 0.01 < share < 0.99]
    expect(page.locator(".probability .share", has_text=re.compile(r"^\d+\.\d %"))).to_have_text(
        [re.compile(f"^{share} %") for share in shares]
    )


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (LAPTOP, "light")], ids=["phone", "laptop"])
def test_every_kind_of_feature_has_its_control(
    browser: Browser, mixed: Server, size: tuple[int, int], scheme: str
) -> None:
    """It opens with the usual values, fits, and is read by a screen reader."""
    with open_page(browser, mixed, size=size, color_scheme=scheme, label=ANY_TEXT) as page:
        expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
        reference = requests.get(f"{mixed.url}/model", timeout=10).json()["reference"]
        shares = reference["categories"][""]["island"]
        assert sent(page)["island"] == mixed_bundles.ISLANDS[shares.index(max(shares))]
        assert sent(page) == explainable(mixed, sent(page))
        assert page.get_by_label("island", exact=True).evaluate("e => e.tagName") == "SELECT"
        expect(page.get_by_label("is breeding", exact=True).locator("option:not([hidden])")).to_have_count(2)
        slider = page.get_by_role("slider", name="year")
        before = sent(page)["year"]
        slider.press("ArrowRight")
        expect(page.get_by_label("year", exact=True)).to_have_value(str(before + 1))
        page.get_by_label("year", exact=True).fill("2008.5")
        expect(page.locator(".row.invalid .hint")).to_have_text("Enter a whole number from 2000 to 2030.")
        page.get_by_label("year", exact=True).fill("2009")
        expect(page.locator(".command code")).to_contain_text('"year":2009,')
        assert overlapping_texts(page) == []
        require_fit(page)


def explainable(server: Server, row: dict[str, Any]) -> dict[str, Any]:
    """The row, if the service accepts it."""
    assert "prediction" in explain(server, row)
    return row


def test_values_of_every_kind_are_chosen_typed_and_left_out(page: Page, mixed: Server, browser: Browser) -> None:
    """By keyboard or pointer; the request has raw values, and the URL restores them."""
    page.get_by_label("island", exact=True).select_option(value="2")
    page.get_by_label("is breeding", exact=True).select_option(value="1")
    page.get_by_label("ring", exact=True).select_option(index=3)
    page.get_by_label("sex", exact=True).select_option(value="missing")
    page.get_by_role("button", name="Body mass: missing", exact=True).click()
    expect(page.get_by_role("button", name="Body mass: missing", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("slider", name="Body mass")).to_have_attribute("aria-valuetext", "missing")
    page.get_by_label("colony", exact=True).select_option(value="other")
    other = page.get_by_label("colony: another value")
    expect(other).to_be_focused()
    row = ROW | {"body_mass": None, "island": "Torgersen", "sex": None, "ring": 5, "is_breeding": True}
    for text in filter(None, ODD_TEXTS):
        other.fill(text)
        page.get_by_label("observer", exact=True).fill(text)
        row |= {"colony": text, "observer": text}
        expect_row(page, mixed, row)
    expect(page).to_have_url(re.compile("observer=\\+\\+two"))
    with open_page(browser, mixed, "/" + page.url.removeprefix(mixed.url + "/"), label=ANY_TEXT) as again:
        expect_row(again, mixed, row)
    page.get_by_role("button", name="Body mass: missing", exact=True).click()
    expect(page.get_by_label("Body mass", exact=True)).to_have_value("4300")


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_texts_survive_the_url(page: Page, text: str) -> None:
    """Also those that look like null or are empty."""
    script = """async ([feature, text]) => {
      const {fromText, toText} = await import('/page/features.js');
      const written = new URLSearchParams({x: toText(text)}).toString();
      return [fromText(feature, new URLSearchParams(written).get('x')), fromText(feature, toText(null))];
    }"""
    feature = Feature(name="x", kind="category", minimum=None, maximum=None, hashing=Hashing(bins=3))
    assert page.evaluate(script, [feature.model_dump(), text]) == [text, None]


def test_the_alternatives_of_a_category_are_shown(page: Page, mixed: Server) -> None:
    """In the list beside each value, and below it the values that would change the label; a click chooses one."""
    sweeps = explain(mixed, ROW)["sweeps"]
    for entry in sweeps["island"]["categories"]:
        option = page.get_by_label("island", exact=True).locator("option", has_text=entry["value"])
        share = entry["probabilities"][entry["label"]]
        shown = ">99%" if share > 0.995 else f"{share:.0%}"
        expect(option).to_have_text(entry["value"] if entry["own"] else f"{entry['value']}: {entry['label']} {shown}")
    missing = sweeps["body_mass"]["missing"]
    expect(page.get_by_role("button", name="Body mass: missing", exact=True)).to_have_attribute(
        "title", re.compile(f"missing: {missing['label']} ")
    )
    canvas = page.locator(".row.category canvas").first
    box: Any = canvas.bounding_box()
    canvas.click(position={"x": box["width"] - 3, "y": 6})
    expect(page.get_by_label("island", exact=True)).to_have_value("2")
    assert sent(page)["island"] == "Torgersen"


def test_a_value_unlike_the_training_rows_causes_a_warning(page: Page) -> None:
    """At the input, at the prediction and for a screen reader."""
    page.get_by_label("colony", exact=True).select_option(value="other")
    expect(page.locator(".row.warned .hint")).to_have_text("None of the known categories")
    expect(page.locator(".warnings summary")).to_contain_text("one value is unlike the training rows")
    expect(page.locator("#announcer")).to_contain_text("unlike the training rows")


def test_inputs_of_the_network_are_the_encoded_columns(page: Page, mixed: Server) -> None:
    """In groups beside their features; each says how it got its number, as do glossary and forward pass."""
    encoded = explain(mixed, ROW)["encoded"]
    expect(page.locator(".node.input")).to_have_count(sum(len(each["columns"]) for each in encoded))
    row: Any = page.locator(".row", has=page.get_by_label("island", exact=True)).bounding_box()
    nodes = [page.locator(f'[data-key="normalization.{i}"]') for i in (8, 9, 10)]
    expect(page.locator(".node.input .name").nth(7)).to_have_text("Biscoe")
    for node, name, value in zip(nodes, mixed_bundles.ISLANDS, (1, 0, 0), strict=True):
        expect(node.locator(".name")).to_have_text(name)
        expect(node.locator("title")).to_have_text(f"island = Biscoe → {value}")
        box: Any = node.locator(".body").bounding_box()
        assert row["y"] - 10 < box["y"] < row["y"] + row["height"] + 10
    nodes[0].locator(".body").click()
    expect(page.locator("#weighted-sum .encoding")).to_have_text("island = Biscoe → 1")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="encoding", exact=True).click()
    for word in ("One-hot", "Embedding", "Missing indicator"):
        expect(page.locator("#caption")).to_contain_text(word)
    page.get_by_role("button", name="Next step").click()
    expect(page.locator("#caption")).to_contain_text("Each measurement is encoded")


def test_explanation_drift_and_model_card_name_categories(browser: Browser, mixed: Server) -> None:
    """As "island = Biscoe" and "sex is missing", with the share of each category."""
    row = in_url(ROW | {"sex": ""})
    with open_page(browser, mixed, f"/#{urlencode(row)}", label=ANY_TEXT) as page:
        expect(page.locator(".waterfall")).to_contain_text("island = Biscoe")
        expect(page.locator(".waterfall")).to_contain_text("sex is missing")
        page.click("#drift summary")
        chart = page.locator(".drift-rows li", has_text="island").locator("[role=img]")
        expect(chart).to_have_attribute("aria-label", re.compile(r"Biscoe: \d+% in training.*Torgersen: "))
        chart = page.locator(".drift-rows li", has_text="sex").locator("[role=img]")
        expect(chart).to_have_attribute("aria-label", re.compile(r"missing: \d+% in training"))
        card = page.locator(".feature-table")
        expect(card).to_contain_text(re.compile(r"Torgersen \(\d+%\)"))
        expect(card).to_contain_text("counts as north")
        expect(card).to_contain_text("Any text, hashed to 4 bins")
        require_fit(page)


def test_the_forward_pass_in_the_browser_encodes(page: Page, mixed: Server) -> None:
    """It gives the service's layers for other numbers; what only the service can encode, it does not guess."""
    other = ROW | {"body_mass": 3700.5, "year": 2009}
    unlike: list[dict[str, Any]] = [
        {"island": "Dream"},
        {"body_mass": None},
        {"observer": "unknown"},
        {"bill_length": 50.0},
    ]
    script = """async ([row, others]) => {
      const load = (name) => import(`/page/${name}.js`);
      const [{withAllFields}, {Outputs}, {describeNetwork}, {LocalPass}] = await Promise.all(
        ['features', 'outputs', 'network_structure', 'local_pass'].map(load));
      const model = withAllFields(await (await fetch('/model')).json());
      const headers = {'Content-Type': 'application/json'};
      const answer = await fetch('/explain', {method: 'POST', headers, body: JSON.stringify({features: row})});
      const explanation = {...await answer.json(), features: row};
      const outputs = new Outputs(model);
      const pass = LocalPass.of(explanation, describeNetwork(explanation, model, outputs), outputs);
      return others.map((each) => pass.explain({...row, ...each}));
    }"""
    for row in (ROW, ROW | {"body_mass": None}):
        local, *unknown = page.evaluate(script, [row, [other, *unlike]])
        expected = explain(mixed, other)
        assert [each for each, change in zip(unknown, unlike, strict=True) if row | change != row and each] == []
        assert local["encoded"] == expected["encoded"]
        assert local["prediction"]["probabilities"] == pytest.approx(expected["prediction"]["probabilities"], abs=1e-5)
        for own, layer in zip(local["layers"], expected["layers"], strict=True):
            outputs = [node["output"] for node in layer["nodes"]]
            assert [node["output"] for node in own["nodes"]] == pytest.approx(outputs, abs=1e-4)


def test_label_changes_of_whole_numbers_hold_at_their_value(page: Page, mixed: Server) -> None:
    """As "from 2009", not "above 2009": the service has the first whole number with the other label."""
    changes = explain(mixed, ROW)["sweeps"]["year"]["changes"]
    words = {"below": "up to", "above": "from"}
    expected = [f"{change['label']} {words[side]} {change['at']}" for side, change in changes.items() if change]
    assert expected
    row = page.locator(".row", has=page.get_by_label("year", exact=True))
    expect(row.locator(".below, .above")).to_have_text(expected)


@pytest.mark.parametrize("change", ["another category", "another number"])
def test_a_version_with_another_vocabulary_is_taken_over(browser: Browser, tmp_path: Path, change: str) -> None:
    """While the page is open, which keeps those measurements that are still valid."""
    mixed_bundles.publish(tmp_path)
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODEL_NAME": "mixed", "WEB_CONCURRENCY": "1"}
    with browser.new_context() as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        known = ROW | {"island": "Dream"}
        with serving(**settings) as server:
            page.goto(f"{server.url}/#{urlencode(in_url(ROW if change == 'another category' else known))}")
            expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
        mixed_bundles.publish(tmp_path, features=features_without_biscoe(), rows=rows_without_biscoe())
        with serving(**settings, PORT=str(server.port)) as server:  # a running service refuses a lost category
            page.get_by_label("year", exact=True).fill("2009")
            island = page.get_by_label("island", exact=True)
            expect(island.locator("option:not([hidden])", has_text=re.compile("^Heard"))).to_have_count(1)
            if change == "another category":
                expect(page.locator("#prediction .predicted-label")).to_have_text("1 measurement missing")
                island.select_option(index=1)
            expect_row(page, server, known | {"year": 2009})
            expect(page.locator('[data-key="normalization.10"] .name')).to_have_text("Heard")
        assert errors == []


def features_without_biscoe() -> list[Feature]:
    return [
        feature.model_copy(update={"categories": ("Dream", "Torgersen", "Heard")})
        if feature.name == "island"
        else feature
        for feature in FEATURES
    ]


def rows_without_biscoe() -> list[mixed_bundles.Row]:
    return [tuple("Heard" if value == "Biscoe" else value for value in row) for row in raw_rows(400)]


def test_presets_have_categories_and_missing_values(browser: Browser, tmp_path: Path) -> None:
    """A value that a preset does not have is missing, or the default."""
    first = ROW | {"sex": None, "colony": "a new one"}
    second = {name: value for name, value in ROW.items() if name not in ("body_mass", "colony")}
    presets = [
        {"name": name, "label": "Adelie", "features": features, "familiar": True, "sources": []}
        for name, features in (("Ada", first), ("Bob", second))
    ]
    files = {
        "report/presets.json": json.dumps({"presets": presets, "sources": {}}),
        "report/report.json": json.dumps({"recall_by_group": []}),
    }
    mixed_bundles.publish(tmp_path, files=files)
    with (
        serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME="mixed", WEB_CONCURRENCY="1") as server,
        open_page(browser, server, label=ANY_TEXT) as page,
    ):
        ada, bob = (page.get_by_role("button", name=name, exact=True) for name in ("Ada", "Bob"))
        expect(ada).to_have_attribute("aria-pressed", "true")
        expect_row(page, server, first)
        bob.click()
        expect(bob).to_have_attribute("aria-pressed", "true")
        expect(ada).to_have_attribute("aria-pressed", "false")
        expect_row(page, server, second | {"body_mass": None, "colony": None})
        page.get_by_label("sex", exact=True).select_option(value="0")
        expect(bob).to_have_attribute("aria-pressed", "false")


def test_many_features_with_long_and_open_vocabularies(browser: Browser, tmp_path: Path) -> None:
    """A long list is searched while one types; unknown words are refused; categories are searched and sorted too."""
    features, encoders = wide_model()
    rows = [(float(i), f"city {i % 500}", f"word {i}", *(f"code {i % 3}",) * 12) for i in range(400)]
    mixed_bundles.publish(tmp_path, features=features, encoders=encoders, rows=rows)
    with (
        serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME="mixed", WEB_CONCURRENCY="1") as server,
        open_page(browser, server, size=PHONE, label=ANY_TEXT) as page,
    ):
        expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
        city = page.get_by_label("city", exact=True)
        city.fill("city 49")
        assert page.locator("datalist option").count() == 11
        expect(page.locator(".command code")).to_contain_text('"city":"city 49"')
        city.fill("Atlantis")
        expect(page.locator(".row.invalid .hint")).to_have_text("Not known: enter one of 500 known values.")
        expect(city).to_have_attribute("aria-invalid", "true")
        city.blur()
        expect(city).to_have_value("city 49")
        expect(page.locator(".command code")).to_contain_text('"word":null')
        page.get_by_role("button", name="word: missing", exact=True).click()
        expect(page.locator(".command code")).to_contain_text('"word":"example"')
        page.get_by_label("word", exact=True).fill("")
        expect(page.locator(".command code")).to_contain_text('"word":null')
        expect(page.locator("#prediction .predicted-label")).to_have_text(ANY_TEXT, timeout=10 * SECOND)
        page.get_by_label("Find a measurement").fill("code")
        expect(page.locator(".row:visible label")).to_have_count(12)
        page.get_by_label("Find a measurement").fill("")
        page.get_by_label("Order of the measurements").select_option("by influence")
        require_fit(page)
        page.get_by_role("button", name="Enter your own values").click()
        expect(page.locator("#prediction .predicted-label")).to_have_text("14 measurements missing")


def test_a_model_without_numbers(browser: Browser, tmp_path: Path) -> None:
    """Its legend does not speak of numbers or ranges."""
    city = Feature(
        name="city", kind="category", minimum=None, maximum=None, categories=("Bern", "Rome"), allow_missing=True
    )
    encoder = OneHotEncoder(feature="city", width=3, columns=(0, 1, 2))
    mixed_bundles.publish(tmp_path, features=[city], encoders=[encoder], rows=[("Bern",), ("Rome",), (None,)] * 20)
    with (
        serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME="mixed", WEB_CONCURRENCY="1") as server,
        open_page(browser, server, size=PHONE, label=ANY_TEXT) as page,
    ):
        expect(page.locator("#legend")).to_have_text("Colour: predicted label.")
        page.get_by_label("city", exact=True).select_option(value="missing")
        expect(page.locator(".waterfall")).to_contain_text("city is missing")
        assert sent(page) == {"city": None}
        require_fit(page)


def wide_model() -> tuple[list[Feature], list[NumberEncoder | OneHotEncoder | TableEncoder]]:
    """A number, 500 cities with an embedding, hashed words that may be missing, and twelve codes."""
    none: dict[str, Any] = {"minimum": None, "maximum": None, "kind": "category"}
    codes = [Feature(name=f"code_{i}", categories=("code 0", "code 1", "code 2"), **none) for i in range(12)]
    features = [
        Feature(name="size", minimum=0, maximum=400),
        Feature(name="city", categories=tuple(f"city {i}" for i in range(500)), **none),
        Feature(name="word", hashing=Hashing(bins=20), allow_missing=True, **none),
        *codes,
    ]
    return features, [
        NumberEncoder(feature="size"),
        TableEncoder(feature="city", table=tuple((i % 7 / 7, i % 11 / 11) for i in range(500))),
        OneHotEncoder(feature="word", width=21, columns=tuple(range(21))),
        *(OneHotEncoder(feature=code.name, width=3, columns=(0, 1, 2)) for code in codes),
    ]
