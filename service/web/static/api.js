/** Talking to the service: one request at a time, the newest question next, trouble told in words. */

import { askForKey, keyed } from "./key.js";

const PATIENCE = 10_000; // ms
const PAUSES = [500, 1000, 2000, 4000]; // ms between tries while the service is away

/** The service did not answer, or not with what was asked for; the message is for a person. */
export class Trouble extends Error {
  constructor(message, { lasting = false } = {}) {
    super(message);
    this.lasting = lasting; // asking again would bring the same
  }
}

/** The document at a path. */
export async function get(path) {
  return (await send(path, {})).json();
}

/** A picture at a path, as an address for an image: one that the browser asks for itself would come without a key. */
export async function picture(path) {
  return `data:image/svg+xml,${encodeURIComponent(await (await send(path, {})).text())}`;
}

/** What the service answers to one row, with everything that led to it. */
export async function explain(features) {
  const headers = { "Content-Type": "application/json" };
  return (await send("explain", { method: "POST", headers, body: JSON.stringify({ features }) })).json();
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, {
      ...options,
      headers: keyed(options.headers),
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Trouble("The service does not answer. It may be down, or you are offline.");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    await askForKey();
    return send(path, options);
  }
  const problem = await response.json().catch(() => ({}));
  if (response.status === 503) throw new Trouble(`The service is not ready: ${problem.detail ?? "no reason given"}.`);
  const detail = problem.detail ? `: ${problem.detail}` : "";
  throw new Trouble(`The service could not answer (${response.status}${detail}).`, {
    lasting: response.status < 500 || response.status === 501,
  });
}

/** Calls until it works; tells each failure, and null once it works. */
export async function insist(ask, tell) {
  for (let tries = 0; ; tries++) {
    try {
      const answer = await ask();
      tell(null);
      return answer;
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      tell(error);
      await pause(PAUSES[Math.min(tries, PAUSES.length - 1)]);
    }
  }
}

/**
 * Asks for explanations. While one is under way only the newest of the questions that come is kept, so that a slider
 * can move as fast as it likes; an answer to a question that was withdrawn is dropped.
 */
export class Asker {
  #waiting = null;
  #busy = false;
  #round = 0;

  constructor(answered, tell) {
    this.answered = answered;
    this.tell = tell;
  }

  ask(features) {
    this.#waiting = features;
    if (!this.#busy) this.#work();
  }

  /** What was asked is of no interest any more. */
  withdraw() {
    this.#waiting = null;
    this.#round++;
  }

  async #work() {
    this.#busy = true;
    for (let tries = 0; this.#waiting;) {
      const [features, round] = [this.#waiting, this.#round];
      this.#waiting = null;
      try {
        const answer = await explain(features);
        this.tell(null);
        tries = 0;
        if (round === this.#round) this.answered(answer, features);
      } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        this.tell(error);
        if (error.lasting || round !== this.#round) continue;
        await pause(PAUSES[Math.min(tries++, PAUSES.length - 1)]);
        if (round === this.#round) this.#waiting ??= features;
      }
    }
    this.#busy = false;
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
