/** Requests to the service: one at a time, the newest request next, failures as messages for a person. */

import { promptForApiKey, withApiKey } from "./api_key.js";

const TIMEOUT = 10_000; // ms
const SLOW = 120; // ms: explanations that take longer do not follow a slider
const RETRY_DELAYS = [500, 1000, 2000, 4000]; // ms

/** The service did not respond, or responded with an error; the message is for a person. */
export class ServiceError extends Error {
  constructor(message, { isPermanent = false, status, detail } = {}) {
    super(message);
    this.isPermanent = isPermanent; // a retry would fail in the same way
    this.status = status; // of the response, if there was one
    this.detail = detail;
  }
}

/**
 * The URL of a path of the service, below the path prefix that a proxy may add. Not relative to `document.baseURI`: that
 * keeps a user name and password of the page's URL, and with those a browser refuses to fetch.
 */
export function urlOf(path) {
  return new URL(path, location.href).href;
}

/** The JSON document at a path; `options` are those of `fetch`. */
export async function fetchJson(path, options = {}) {
  return (await send(path, options)).json();
}

/** An SVG picture as a data URL: a request that the browser makes for an image would not carry the API key. */
export async function fetchPicture(path) {
  return `data:image/svg+xml,${encodeURIComponent(await (await send(path, {})).text())}`;
}

/** Asks a person for the API key if a path requires one and the stored key, if any, is not valid. */
export async function requireAccess(path) {
  await send(path, { method: "HEAD" });
}

let notExplainable = null; // why, once the service has said so

/** The explanation of a row; of a model that cannot be explained, only its prediction, without layers. */
async function fetchExplanation(features) {
  if (!notExplainable) {
    try {
      return await postFeatures("explain", features);
    } catch (error) {
      if (error.status !== 501) throw error;
      notExplainable = error.detail;
    }
  }
  const prediction = await postFeatures("predict", features);
  const reasons = { layers_reason: notExplainable, attributions_reason: notExplainable, sweeps_reason: notExplainable };
  return { prediction, layers: null, attributions: null, sweeps: null, ...reasons };
}

async function postFeatures(path, features) {
  const headers = { "Content-Type": "application/json" };
  return (await send(path, { method: "POST", headers, body: JSON.stringify({ features }) })).json();
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(urlOf(path), {
      ...options,
      headers: withApiKey(options.headers),
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch {
    throw new ServiceError("The service does not respond. It may be down, or you may be offline.");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    await promptForApiKey();
    return send(path, options);
  }
  const problem = await response.json().catch(() => ({}));
  if (response.status === 503)
    throw new ServiceError(`The service is not ready: ${problem.detail ?? "no reason given"}.`);
  const detail = problem.detail ? `: ${problem.detail}` : "";
  throw new ServiceError(`The request failed (${response.status}${detail}).`, {
    isPermanent: response.status < 500 || response.status === 501,
    status: response.status,
    detail: problem.detail,
  });
}

/** Repeats a request until it succeeds; reports each failure, and null after the success. */
export async function retry(request, report) {
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await request();
      report(null);
      return response;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      report(error);
      await sleep(retryDelay(attempt));
    }
  }
}

/**
 * Requests explanations. While one is under way, only the newest features are kept for the next, so a slider can
 * move as fast as it likes; the response to a cancelled request is dropped.
 */
export class Explainer {
  #next = null;
  #isBusy = false;
  #generation = 0;
  #duration = 0; // of the last explanation, in ms

  /** @param {(version: string|null) => Promise<void>} checkVersion of each explanation; null if an input was refused */
  constructor(onExplanation, report, checkVersion) {
    this.onExplanation = onExplanation;
    this.report = report;
    this.checkVersion = checkVersion;
  }

  /** Whether explanations take too long to follow a slider. */
  get isSlow() {
    return this.#duration > SLOW;
  }

  request(features) {
    this.#next = features;
    if (!this.#isBusy) this.#work();
  }

  cancel() {
    this.#next = null;
    this.#generation++;
  }

  async #work() {
    this.#isBusy = true;
    for (let attempt = 0; this.#next;) {
      const [features, generation] = [this.#next, this.#generation];
      this.#next = null;
      try {
        const start = performance.now();
        const explanation = await fetchExplanation(features);
        this.#duration = performance.now() - start;
        await this.checkVersion(explanation.prediction.model.version);
        this.report(null);
        attempt = 0;
        if (generation === this.#generation) this.onExplanation({ ...explanation, features });
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        this.report(error);
        if (error.status === 422) await this.checkVersion(null).catch(this.report);
        if (error.isPermanent || generation !== this.#generation) continue;
        await sleep(retryDelay(attempt++));
        if (generation === this.#generation) this.#next ??= features;
      }
    }
    this.#isBusy = false;
  }
}

function retryDelay(attempt) {
  return RETRY_DELAYS[Math.min(attempt, RETRY_DELAYS.length - 1)];
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
