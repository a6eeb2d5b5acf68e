/** The network with its player: built once the layers are known, left out if the model cannot be taken apart. */

import { ForwardPassPlayer } from "./forward_pass.js";
import { NetworkDiagram } from "./network.js";
import { describeNetwork, fingerprint, guessLayers } from "./network_structure.js";

/** Emits `inspect` and `pin` with the key of a node or null, and `caption` with `{heading, text}` or null. */
export class NetworkView extends EventTarget {
  #drawing;
  #controls;
  #model;
  #outputs;
  #diagram = null;
  #player = null;
  #fingerprint = null;
  #rowCenters = null;
  structure = null; // of `describeNetwork`

  constructor(drawing, controls, model, outputs) {
    super();
    this.#drawing = drawing;
    this.#controls = controls;
    this.#model = model;
    this.#outputs = outputs;
    const layers = guessLayers(model, outputs);
    if (layers) this.#build({ layers });
  }

  /** Whether all nodes have their numbers in them; null while the network is not known. */
  get isDrawnInFull() {
    return this.#diagram?.isDrawnInFull ?? null;
  }

  #build(explanation) {
    this.#fingerprint = fingerprint(explanation);
    const structure = describeNetwork(explanation, this.#model, this.#outputs);
    this.structure = structure;
    this.#diagram?.remove();
    this.#diagram = new NetworkDiagram(this.#drawing, this.#outputs, structure);
    this.#player = new ForwardPassPlayer(this.#controls, this.#outputs, structure, this.#diagram);
    for (const type of ["inspect", "pin"]) this.#forward(this.#diagram, type);
    this.#forward(this.#player, "caption");
    this.#diagram.layOut(this.#rowCenters);
  }

  #forward(source, type) {
    source.addEventListener(type, ({ detail }) => this.dispatchEvent(new CustomEvent(type, { detail })));
  }

  /** Shows an explanation; null, or one without layers, empties the diagram. */
  show(explanation) {
    const layers = explanation?.layers;
    if (layers && fingerprint(explanation) !== this.#fingerprint) this.#build(explanation);
    if (!this.#diagram) return;
    this.#diagram.show(layers ? explanation : null);
    this.#player.explanation = layers ? explanation : null;
  }

  layOut(rowCenters) {
    this.#rowCenters = rowCenters;
    this.#diagram?.layOut(rowCenters);
  }

  find(key) {
    return this.#diagram?.find(key) ?? null;
  }

  /** The key of the node that takes a feature. */
  inputKey(featureIndex) {
    return this.#diagram?.findInput(featureIndex)?.key ?? null;
  }

  highlight(key) {
    this.#diagram?.highlight(key);
  }

  pin(key) {
    this.#diagram?.pin(key);
  }

  stop() {
    this.#player?.stop();
  }
}
