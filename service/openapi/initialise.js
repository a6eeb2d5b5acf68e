// What /docs runs: Swagger UI over this service's own description, with no other host in play.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // it would ask swagger.io whether the document is valid
});
