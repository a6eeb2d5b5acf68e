"""The page of models with every kind of head, with 1 to 100 features, with networks of any size and with none."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect
from support import headed_bundles
from support.branched_networks import wide_and_deep
from support.gunicorn_server import Server, serving
from support.headed_bundles import BINARY, MIXED, MULTI_LABEL, REGRESSION, SOFTMAX
from support.web_page import (
    ANY_TEXT,
    LAPTOP,
    PHONE,
    SECOND,
    TIMES,
    open_page,
    overlapping_texts,
    parse_number,
    require_fit,
)

from models.signature import Head, Target
from service.inference import activations

pytestmark = pytest.mark.browser

LONG = "the_distance_between_two_points_" * 5
LONG_NAMES = [f"{i}_{LONG}"[:150] for i in range(8)]
PRICE = (Head(name="price", kind="regression", layer="probabilities", targets=(Target(name="price", unit="USD"),)),)
CHURN = (Head(name="churned", kind="classification", layer="probabilities", labels=("no", "yes"), threshold=0.3),)
LONG_HEADS = (
    Head(
        name=f"r{LONG}"[:150],
        kind="regression",
        layer="probabilities",
        targets=tuple(Target(name=f"{i} {LONG}"[:150], unit="hundredths of a millimetre") for i in range(2)),
    ),
    Head(
        name=f"m{LONG}"[:150],
        kind="multi_label",
        layer="probabilities",
        labels=tuple(f"{i} {LONG}"[:150] for i in range(3)),
    ),
)


@pytest.fixture(scope="module")
def front_page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page of the shipped model, to call its modules."""
    with open_page(browser, server) as page:
        yield page


@contextmanager
def serving_headed(store: Path, heads: tuple[Head, ...], **options: Any) -> Iterator[Server]:
    """A service with a model of `headed_bundles.publish`."""
    headed_bundles.publish(store, heads, **options)
    with serving(MENAGERIE_MODEL_STORE=str(store), MENAGERIE_MODEL_NAME="headed", WEB_CONCURRENCY="1") as server:
        yield server


@contextmanager
def open_row(browser: Browser, server: Server, row: Mapping[str, float], **options: Any) -> Iterator[Page]:
    """The page of a row, once it shows the row's explanation."""
    with open_page(browser, server, f"/#{urlencode(row)}", label=ANY_TEXT, **options) as page:
        expect(page.locator("#stage")).to_have_attribute("aria-busy", "false")
        expect(page.locator("#prediction .predicted-label")).to_have_text(ANY_TEXT)
        yield page


def explain(server: Server, row: Mapping[str, float]) -> dict[str, Any]:
    return requests.post(f"{server.url}/explain", json={"features": row}, timeout=10).json()  # type: ignore[no-any-return]


def row_of(*values: float) -> dict[str, float]:
    return {f"f{i}": value for i, value in enumerate(values, 1)}


def find_row(server: Server, label: str, lowest: float, highest: float) -> tuple[dict[str, float], float]:
    """A row for which the label's probability lies between two others, and that probability."""
    rows = np.random.default_rng(0).uniform(-3, 3, (1000, 3))
    for _ in range(10):
        answer = requests.post(f"{server.url}/predict", json={"instances": rows.tolist()}, timeout=10).json()
        shares = [prediction["probabilities"][label] for prediction in answer["predictions"]]
        for row, share in zip(rows.tolist(), shares, strict=True):
            if lowest < share < highest:
                return row_of(*row), share
        rows = np.linspace(rows[np.argmin(shares)], rows[np.argmax(shares)], 1000)
    raise AssertionError(f"probabilities of {label} are from {min(shares)} to {max(shares)}")


def numbers(page: Page, selector: str) -> list[float]:
    """The number at the beginning of each text."""
    texts = page.locator(selector).all_text_contents()
    return [parse_number(text.replace("%", "").split()[0]) for text in texts]


def test_a_regression_shows_values_on_the_scale_of_the_training_targets(browser: Browser, tmp_path: Path) -> None:
    """Large with its unit, a line for each target, and the explanation of the one that is selected."""
    row = row_of(0.5, -1, 1)
    result = {"price": {"mae": 2.101, "r2": 0.106, "unit": "USD"}, "age": {"mae": 3, "r2": None, "unit": ""}}
    metrics = {"evaluation": {"rows": 400, "outputs": {"house": {"targets": result}}}}
    with (
        serving_headed(tmp_path, REGRESSION, metrics=metrics) as server,
        open_row(browser, server, row) as page,
    ):
        errors = [
            f"{value} mean absolute error of {name} on the sample"
            for value, name in (("2.1 USD", "price"), ("3", "age"))
        ]
        expect(page.locator(".metric")).to_have_text([errors[0], "0.106 R² of price", errors[1]])
        answer = explain(server, row)
        values = answer["prediction"]["values"]
        assert numbers(page, ".target .share") == pytest.approx([values["price"], values["age"]], rel=0.01)
        expect(page.locator("#prediction")).to_contain_text("USD")
        expect(page.locator("#prediction .confidence")).to_have_text("price")
        quantiles = requests.get(f"{server.url}/model", timeout=10).json()["reference"]["targets"]["price"]
        position = (values["price"] - quantiles[0]) / (quantiles[-1] - quantiles[0])
        marker = page.locator(".scale-value").first
        assert float(marker.evaluate("e => e.style.left").removesuffix("%")) == pytest.approx(100 * position, abs=0.1)
        page.get_by_role("button", name=re.compile("^age")).click()
        expect(page.locator("#prediction .predicted-label")).to_contain_text("years")
        expect(page.locator("#attribution h3")).to_have_text("Why this age?")
        expect(page.locator("#legend")).to_have_text("Line: training range. Curve: age in years.")
        expect(page).to_have_url(re.compile("~label=age|%7Elabel=age"))
        contributions = sorted((each["age"] for each in answer["attributions"]["values"].values()), key=abs)[::-1]
        assert numbers(page, ".waterfall .row-contribution")[1:-1] == pytest.approx(contributions, rel=0.01)
        ends = [answer["sweeps"]["f1"]["outputs"]["age"][end] for end in (0, -1)]
        assert numbers(page, ".row:first-child .hint span") == pytest.approx(ends, rel=0.01)
        outputs = [node["output"] for node in answer["layers"][-1]["nodes"]]
        assert numbers(page, ".node.output .value") == pytest.approx(outputs, abs=0.006)
        page.click("#drift summary")
        expect(page.locator(".drift-rows .row-name")).to_have_text(["f1", "f2", "f3", "price", "age"])


def test_a_binary_classification_shows_its_threshold(browser: Browser, tmp_path: Path) -> None:
    """In both bars; the label is the one that the threshold gives, although the other is more probable."""
    with serving_headed(tmp_path, CHURN) as server:
        row, share = find_row(server, "yes", 0.3, 0.5)
        with open_row(browser, server, row) as page:
            expect(page.locator("#prediction .predicted-label")).to_have_text("yes")
            expect(page.locator(".probability.best .label")).to_have_text("yes")
            assert numbers(page, ".probability .share") == pytest.approx([100 - 100 * share, 100 * share], abs=0.06)
            expect(page.locator(".threshold-note")).to_have_text("yes is predicted above 30 %: the line.")
            marks = page.locator(".threshold").evaluate_all("marks => marks.map(mark => mark.style.left)")
            assert marks == ["70%", "30%"]
            expect(page.locator("#attribution h3")).to_have_text("Why yes?")


def test_a_single_sigmoid_unit_is_drawn_as_one_node(browser: Browser, tmp_path: Path) -> None:
    """It gives the probability of the second label; its caption says when that is predicted."""
    row = row_of(0.5, -1, 1)
    with serving_headed(tmp_path, BINARY) as server, open_row(browser, server, row) as page:
        share = explain(server, row)["prediction"]["probabilities"]["yes"]
        expect(page.locator(".node.output .name")).to_have_text("yes")
        expect(page.locator(".node.output")).to_have_attribute(
            "aria-label", re.compile(f"output (<1|{100 * share:.0f})%")
        )
        page.click(".node.output .body")
        expect(page.locator("#weighted-sum h3")).to_have_text("yes")
        expect(page.locator("#weighted-sum .output")).to_contain_text("sigmoid(")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Previous step").click()
        expect(page.locator("#caption")).to_contain_text("predicted above 30.0 %, so the prediction is no")


def test_labels_that_are_independent_are_marked_one_by_one(browser: Browser, tmp_path: Path) -> None:
    """Those above the threshold have a mark, and any can be explained."""
    with serving_headed(tmp_path, MULTI_LABEL) as server:
        row, _ = find_row(server, "wet", 0.6, 1)
        prediction = explain(server, row)["prediction"]
        with open_row(browser, server, row) as page:
            require_marks(page, prediction)


def require_marks(page: Page, prediction: dict[str, Any]) -> None:
    """Check the lines of independent labels, and the explanation of one that is not predicted."""
    assert "wet" in prediction["labels"]
    assert page.locator(".probability.best .label").all_text_contents() == prediction["labels"]
    expect(page.locator("#prediction .predicted-label")).to_have_text(", ".join(prediction["labels"]) or "no label")
    shares = [100 * share for share in prediction["probabilities"].values()]
    assert numbers(page, ".probability .share") == pytest.approx(shares, abs=0.06)
    assert page.locator(".threshold").evaluate_all("marks => marks.map(mark => mark.style.left)") == ["50%"] * 3
    other = next(label for label in ("warm", "wet", "windy") if label not in prediction["labels"])
    page.get_by_role("button", name=re.compile(f"^{other}")).click()
    expect(page.locator("#attribution h3")).to_have_text(f"Why not {other}?")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (LAPTOP, "light")], ids=["phone", "laptop"])
def test_several_outputs_have_a_block_each(
    browser: Browser, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    """Under its name, unless that is the name of its only target; a line that is selected is explained."""
    row = row_of(*[0.3, -0.2] * 4)
    options = {"size": size, "color_scheme": scheme}
    with serving_headed(tmp_path, MIXED, features=8) as server, open_row(browser, server, row, **options) as page:
        outputs = explain(server, row)["prediction"]["outputs"]
        expect(page.locator(".output-name")).to_have_text(["kind", "tags", "sold"])
        names = ["price", "flat", "house", "land", "warm", "wet", "no", "yes"]
        expect(page.locator(".probability .label")).to_have_text(names)
        predicted = [outputs["kind"]["label"], *outputs["tags"]["labels"], outputs["sold"]["label"]]
        expect(page.locator(".probability.best .label")).to_have_text(predicted)
        page.locator(".probability", has_text="house").click()
        expect(page.locator("#prediction")).to_contain_text(outputs["kind"]["label"])
        expect(page.locator("#prediction .confidence")).to_contain_text("kind: ")
        expect(page.locator("#attribution h3")).to_have_text(re.compile("^Why (not )?house"))
        page.click("#drift summary")
        expect(page.locator(".drift-rows .row-name")).to_have_text(
            [*(f"f{i}" for i in range(1, 9)), "price", "kind", "tags.warm", "tags.wet", "sold"]
        )
        expect(page.locator("#card")).to_contain_text("It predicts price, kind.flat, ")
        require_fit(page)
        assert overlapping_texts(page) == []


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (LAPTOP, "dark")], ids=["phone", "laptop"])
def test_a_hundred_features_are_searched_and_sorted(
    browser: Browser, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    """Sampled attributions have standard errors; large layers are blocks of cells with their strongest connections."""
    row = row_of(*[0.1] * 100)
    options = {"features": 100, "hidden": (64, 32)}
    with (
        serving_headed(tmp_path, SOFTMAX, **options) as server,
        open_row(browser, server, row, size=size, color_scheme=scheme) as page,
    ):
        answer = explain(server, row)
        label = answer["prediction"]["label"]
        expect(page.locator("#lead")).to_contain_text("drawn layer by layer: 100 measurements in")
        expect(page.locator(".node.cell")).to_have_count(100 + 64 + 32)
        assert 0 < page.locator(".connection").count() < 250
        expect(page.locator(".node.cell.input").first).to_be_visible()
        expect(page.locator(".waterfall li")).to_have_count(13)  # average, ten features, the others, this input
        expect(page.locator(".waterfall")).to_contain_text("90 others")
        expect(page.locator(".waterfall small")).to_have_count(10)
        expect(page.locator(".sampling-note")).to_contain_text(
            f"{answer['attributions']['evaluations']:,} evaluated rows"
        )
        page.get_by_role("button", name="Show all 100").click()
        expect(page.locator(".waterfall li")).to_have_count(102)
        page.get_by_label("Find a measurement").fill("f9")
        expect(page.locator(".row:visible label")).to_have_text(["f9", *(f"f{i}" for i in range(90, 100))])
        expect(page.locator(".list-count")).to_have_text("11 of 100 measurements")
        page.get_by_label("Find a measurement").fill("")
        page.get_by_label("Order of the measurements").select_option("by influence")
        influences = {name: abs(values[label]) for name, values in answer["attributions"]["values"].items()}
        strongest = max(influences, key=lambda name: influences[name])
        expect(page.locator(".row label").first).to_have_text(strongest)
        page.mouse.move(0, 0)  # a node under the pointer would be shown
        page.locator('[data-key="hidden_1.5"]').focus()
        page.keyboard.press("Enter")
        expect(page.locator("#weighted-sum .term")).to_have_count(14)  # twelve, the others, the bias
        expect(page.locator("#weighted-sum")).to_contain_text("88 others")
        page.keyboard.press("Escape")
        require_fit(page)


def test_a_large_network_is_computed_in_the_browser_while_a_slider_moves(browser: Browser, tmp_path: Path) -> None:
    """The drawing follows before the service has explained the value, and shows the same numbers."""
    row = row_of(*[0.1] * 30)
    with serving_headed(tmp_path, PRICE, features=30, hidden=(16, 8)) as server, open_row(browser, server, row) as page:
        outputs = page.locator("#prediction .predicted-label")
        before = outputs.inner_text()
        delayed: list[Route] = []
        page.route("**/explain", lambda route: delayed.append(route) if route.request.post_data else None)
        page.get_by_label("f1", exact=True).fill("0.2")
        page.wait_for_timeout(200)
        (first,) = delayed
        first.continue_()  # slow enough that the page does not wait for the next
        expect(outputs).not_to_have_text(before)
        page.get_by_label("f1", exact=True).fill("2.5")
        answer = explain(server, row | {"f1": 2.5})
        value = answer["prediction"]["values"]["price"]
        expect(page.locator("#stage")).to_have_class(re.compile("stale"))
        assert numbers(page, "#prediction .predicted-label") == pytest.approx([value], rel=0.01)
        nodes = [node["output"] for layer in answer["layers"][-2:] for node in layer["nodes"]]
        assert numbers(page, ".node:not(.cell) .value") == pytest.approx(nodes, abs=0.006)
        for _ in range(100):  # until the request is held
            if len(delayed) > 1:
                break
            page.wait_for_timeout(50)
        delayed[-1].continue_()
        expect(page.locator("#stage")).not_to_have_class(re.compile("stale"))
        assert numbers(page, "#prediction .predicted-label") == pytest.approx([value], rel=0.01)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *((name, {}) for name in ("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "hard_sigmoid")),
        *((name, {}) for name in ("tanh", "softplus", "softsign", "silu", "hard_silu", "mish", "gelu", "exponential")),
        ("softmax", {}),
        ("relu", {"max_value": 1.5, "threshold": 0.5, "negative_slope": 0.1}),
        ("leaky_relu", {"negative_slope": 0.3}),
        ("elu", {"alpha": 2.0}),
        ("gelu", {"approximate": 1.0}),
    ],
)
def test_activations_in_the_browser_are_those_of_the_service(
    front_page: Page, name: str, parameters: dict[str, float]
) -> None:
    """For large and small numbers of both signs."""
    sums = [-80.0, -8.0, -1.5, -0.1, 0.0, 1e-3, 0.4, 1.0, 3.2, 20.0]
    script = "async (given) => (await import('/page/activations.js')).activate(...given)"
    expected = activations.bind(name, parameters)(np.array([sums]))[0]
    assert front_page.evaluate(script, [name, sums, parameters]) == pytest.approx(expected, rel=1e-6, abs=1e-5)
    assert front_page.evaluate(script, [name, sums, {"unknown": 1}]) is None


def test_a_deep_network_is_drawn_and_played_to_its_end(browser: Browser, tmp_path: Path) -> None:
    """Its layers are lines of cells, on a phone too."""
    with (
        serving_headed(tmp_path, PRICE, features=3, hidden=(6,) * 12) as server,
        open_row(browser, server, row_of(0.1, 0.2, 0.3), size=PHONE) as page,
    ):
        expect(page.locator(".node")).to_have_count(3 + 12 * 6 + 1)
        expect(page.locator(".layer-name")).to_have_text(["3", *["6"] * 12, "1"])
        page.get_by_role("button", name="Previous step").click()
        expect(page.locator("#caption")).to_contain_text("Step 27 of 27: nodes")
        expect(page.locator("#caption")).to_contain_text("The prediction is price: ")
        require_fit(page)


def test_a_network_with_branches_is_drawn_as_it_is(browser: Browser, tmp_path: Path) -> None:
    """Raw features beside scaled ones, a batch normalization, and an activation of its own."""
    row = row_of(0.5, -1, 1, 2, -2)
    with (
        serving_headed(tmp_path, REGRESSION, network=wide_and_deep()) as server,
        open_row(browser, server, row) as page,
    ):
        layers = explain(server, row)["layers"]
        assert page.locator(".node").count() == 5 + sum(len(layer["nodes"]) for layer in layers)
        assert page.locator(".connection").count() == 3 + 2 + 5 * 4 + 4 + 4 + 6 * 2
        expect(page.locator(".node.output .name")).to_have_text(["price", "age"])
        for layer in layers:
            for position, node in enumerate(layer["nodes"], 1):
                shown = page.locator(f'[data-key="{layer["name"]}.{position}"]').get_attribute("aria-label") or ""
                assert parse_number(shown.rpartition(" ")[2]) == pytest.approx(node["output"], abs=0.06)
        page.hover('[data-key="batch_norm.4"] .body')
        expect(page.locator("#weighted-sum .formula")).to_have_text(f"output = input {TIMES} scale + offset")
        page.hover('[data-key="probabilities.1"] .body')
        expect(page.locator("#weighted-sum .term-name")).to_have_text(
            [*(f"leaky, {i}" for i in range(1, 5)), "f2", "f4", "bias"]
        )


@pytest.mark.parametrize(("features", "size"), [(3, LAPTOP), (30, PHONE)])
def test_a_model_without_a_sample_or_layers_says_so(
    browser: Browser, tmp_path: Path, features: int, size: tuple[int, int]
) -> None:
    """It has fields for any number, a prediction, and a reason for each part that is missing."""
    options = {"features": features, "sample": False, "weights": False}
    with (
        serving_headed(tmp_path, SOFTMAX, **options) as server,
        open_page(browser, server, size=size, color_scheme="dark") as page,
    ):
        expect(page.locator("#sample-note")).to_contain_text("Adopted without a sample")
        expect(page.locator("input[type=range], canvas")).to_have_count(0)
        field = page.get_by_label("f1", exact=True)
        expect(field).to_have_value("0")
        field.fill("-1e30")
        expect(page.locator(".command code")).to_contain_text('"f1":-1e+30')
        field.fill("1e39")
        expect(page.locator(".row.invalid .hint")).to_have_text("Enter any number, in m.")
        field.fill("2")
        label = explain(server, row_of(2, *[0] * (features - 1)))["prediction"]["label"]
        expect(page.locator("#prediction .predicted-label")).to_have_text(label)
        expect(page.locator("#network")).to_be_hidden()
        expect(page.locator("#caption")).to_contain_text("The network is not drawn: ")
        expect(page.locator("#attribution")).to_contain_text("No explanation: ")
        page.click("#drift summary")
        expect(page.locator(".drift-summary")).to_contain_text("without a sample")
        require_fit(page)


@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_names_of_150_characters_fit(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    """Of features, outputs, targets and labels, on every screen."""
    with (
        serving_headed(tmp_path, LONG_HEADS, features=8, names=LONG_NAMES) as server,
        open_page(browser, server, size=size, label=ANY_TEXT) as page,
    ):
        for index, key in ((1, LONG_HEADS[0].targets[1].name), (4, LONG_HEADS[1].labels[2])):
            page.locator(".probability").nth(index).click()
            expect(page.locator("#attribution h3")).to_contain_text(key[:30], timeout=10 * SECOND)
            require_fit(page)
            assert overlapping_texts(page) == []
            assert overlapping_texts(page, ".row-head > *, .hint") == []
