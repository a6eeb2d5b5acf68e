/** What /docs runs: Swagger UI for this service's own OpenAPI documents; no other host is involved. */

import { requireAccess, urlOf } from "../page/api.js";
import { withApiKey } from "../page/api_key.js";

const model = new URLSearchParams(location.search).get("model"); // without it, the default model
const DOCUMENT = model ? `models/${encodeURIComponent(model)}/openapi.json` : "openapi.json";

window.ui = SwaggerUIBundle({
  url: urlOf(DOCUMENT),
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // it would ask swagger.io whether the document is valid
  requestInterceptor: loadWithApiKey,
  onComplete: authorize,
});

/** The document needs a key as well, which a person cannot enter before Swagger UI has the document. */
async function loadWithApiKey(request) {
  if (!request.loadSpec) return request;
  await requireAccess(DOCUMENT).catch(() => {}); // Swagger UI shows what is wrong
  return { ...request, headers: withApiKey(request.headers) };
}

function authorize() {
  const key = withApiKey()["X-API-Key"];
  if (key) window.ui.preauthorizeApiKey("key", key);
}
