/** Puts the page together: the model's schema makes the parts, the state moves them, the service answers. */

import { Answer } from "./answer.js";
import { Asker, get, insist } from "./api.js";
import { card } from "./card.js";
import { Drift } from "./drift.js";
import { percent, settle } from "./figures.js";
import { Network } from "./network.js";
import { Player } from "./player.js";
import { Presets } from "./presets.js";
import { Share } from "./share.js";
import { Sliders } from "./sliders.js";
import { State } from "./state.js";
import { sum } from "./sum.js";
import { h } from "./dom.js";

const BESIDE = matchMedia("(min-width: 68rem)"); // the sliders stand left of the network, each before its node
const SETTLED = 800; // ms without change before an answer is read out

const HINT =
  "Point at a node, or tap it, to see the sum behind its number. The thicker a line the more it carries: grey lines push " +
  "the node up, red lines pull it down.";

const part = (id) => document.getElementById(id);

function trouble(error) {
  const box = part("trouble");
  box.hidden = !error;
  if (error) box.textContent = error.lasting ? error.message : `${error.message} Trying again …`;
}

async function begin() {
  part("late").remove();
  const [model, report] = await insist(() => Promise.all([get("model"), get("page/report")]), trouble);
  const has = (name) => report.files.includes(name);
  const presets = has("presets.json") ? await insist(() => get("page/report/presets.json"), trouble) : null;
  const page = new Page(model, presets);
  page.start();
  new Drift(part("drift"), model);
  const figures = has("report.json") ? await insist(() => get("page/report/report.json"), trouble) : null;
  if (figures) page.learn(figures);
  card(part("card"), model, report.files, figures);
}

class Page {
  #answer = null; // the newest explanation, null while measurements are missing
  #values = null; // those last asked about
  #looked = null; // the node under the pointer or the focus
  #told = null; // what the player has to say
  #frame = 0;
  #settle;

  constructor(model, presets) {
    this.model = model;
    this.state = new State(model);
    this.sliders = new Sliders(part("sliders"), model);
    this.network = new Network(part("network"), model);
    this.player = new Player(part("controls"), model, this.network);
    this.answer = new Answer(part("verdict"), part("probabilities"), part("why"), model);
    this.presets = new Presets(part("presets"), model, presets);
    this.share = new Share(part("share"), part("copy-link"), this.state);
    this.asker = new Asker((answer) => this.#arrived(answer), trouble);
    part("lead").textContent =
      `A small neural network, drawn whole: ${model.features.length} measurements in, ` +
      `one of ${model.labels.length} answers out.`;
  }

  start() {
    this.sliders.addEventListener("measure", ({ detail }) => this.state.measure(detail.name, detail.value));
    this.sliders.addEventListener("point", ({ detail }) => this.#point(detail));
    this.presets.addEventListener("pick", ({ detail }) => this.#pick(detail));
    this.network.addEventListener("look", ({ detail }) => this.#look(detail));
    this.network.addEventListener("pin", ({ detail }) => this.#pin(detail));
    this.player.addEventListener("tell", ({ detail }) => this.#tell(detail));
    this.answer.addEventListener("explain", ({ detail }) => this.state.set({ label: detail }));
    this.state.addEventListener("change", () => this.#changed());
    addEventListener("hashchange", () => this.state.load(location.hash));
    addEventListener("keydown", ({ key }) => key === "Escape" && this.#pin(null));
    const lay = () => {
      this.network.lay(BESIDE.matches ? this.sliders.heights(part("network").getBoundingClientRect().top) : null);
      this.sliders.paint();
    };
    new ResizeObserver(lay).observe(part("stage"));
    new ResizeObserver(lay).observe(part("sliders"));
    if (!this.state.load(location.hash)) this.state.set({ values: this.#first() });
    lay();
  }

  /** Takes over what the report says. */
  learn(report) {
    this.presets.learn(report);
    this.#draw();
  }

  #first() {
    const { features, reference } = this.model;
    const middle = reference.probabilities.indexOf(0.5);
    const typical = (feature) => settle(feature, reference.features[feature.name][middle < 0 ? 0 : middle]);
    return {
      ...Object.fromEntries(features.map((feature) => [feature.name, typical(feature)])),
      ...this.presets.first?.features,
    };
  }

  #changed() {
    const { complete, values } = this.state;
    if (values !== this.#values) {
      this.#values = values;
      this.sliders.set(values);
      if (complete) this.asker.ask(complete);
      else this.#forget();
    }
    this.#draw();
  }

  #forget() {
    this.asker.withdraw();
    this.#answer = null;
  }

  #arrived(answer) {
    this.#answer = answer;
    part("stage").setAttribute("aria-busy", "false");
    this.#draw();
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => this.#announce(), SETTLED);
  }

  #announce() {
    if (!this.#answer) return;
    const { label, confidence, warnings } = this.#answer.prediction;
    const guess = warnings.length ? `, a guess: ${warnings.length} unusual` : "";
    this.#say(`${label}, ${percent(confidence)} sure${guess}`);
  }

  /** Has it read out, once. */
  #say(text) {
    if (part("announcer").textContent !== text) part("announcer").textContent = text;
  }

  /** Draws once a frame, however often it is asked. */
  #draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const [answer, { values, missing, complete, label, node }] = [this.#answer, this.state];
      this.sliders.show(answer);
      this.network.show(answer);
      this.network.pin(node);
      this.network.light(this.#looked ?? node);
      this.player.answer = answer;
      this.answer.show(answer, label ?? answer?.prediction.label, missing);
      this.presets.show(values, answer, missing);
      this.share.show(complete);
      this.#caption();
    });
  }

  #caption() {
    const shown = this.#looked ?? (this.#told ? null : this.state.node);
    const written = this.#answer && this.network.has(shown);
    part("sum").hidden = !written;
    part("why").classList.toggle("behind", Boolean(written));
    if (written) part("sum").replaceChildren(...sum(this.#answer, this.model, shown));
    const { head, says } = this.#told ?? { says: this.#answer ? HINT : "The network waits for its inputs." };
    part("caption").replaceChildren(h("p", {}, head ? h("strong", {}, `${head}: `) : null, says));
  }

  #pick(preset) {
    const empty = Object.fromEntries(this.model.features.map(({ name }) => [name, null]));
    this.state.set({ values: preset ? { ...preset.features } : empty, label: null });
    if (!preset) part("sliders").querySelector("input").focus();
  }

  #point(name) {
    const place = this.model.features.findIndex((feature) => feature.name === name);
    this.#look(place < 0 || !this.#answer ? null : `${this.model.layers[0].name}.${place + 1}`, { quietly: true });
  }

  #look(key, { quietly = false } = {}) {
    this.network.light(key ?? this.state.node);
    if (quietly) return;
    this.#looked = key;
    this.#caption();
  }

  #pin(key) {
    if (key && !this.#answer) return;
    this.player.stop();
    this.state.set({ node: key === this.state.node ? null : key });
  }

  #tell(detail) {
    this.#told = detail;
    if (detail) {
      this.#say(`${detail.head}. ${detail.says}`);
      if (this.state.node) this.state.set({ node: null });
    }
    this.#caption();
  }
}

begin();
