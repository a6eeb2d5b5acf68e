// What /docs runs: Swagger UI for this service's own OpenAPI document; no other host is involved.
window.ui = SwaggerUIBundle({
  url: new URL("openapi.json", location.href).href, // without a user name and password, with which no browser fetches
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // it would ask swagger.io whether the document is valid
});
