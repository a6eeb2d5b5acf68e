/** The entry point of the page without a default model: the list of all. */

import { retry } from "./api.js";
import { showError } from "./dom.js";
import { fetchModels, renderModels } from "./model_menu.js";

document.getElementById("models").append(renderModels(await retry(fetchModels, showError)));
