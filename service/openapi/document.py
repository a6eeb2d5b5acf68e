"""The OpenAPI document: every declared route, with the schemas that the loaded model gives."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson

from models.manifest import Manifest
from service.http.errors import (
    Fault,
    InternalError,
    MethodNotAllowedError,
    NoModelError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnacceptableError,
    UnauthorizedError,
    UnsupportedMediaError,
    has_problem_details,
    render,
    status_in,
)
from service.http.routing import JSON, PROBLEM, Content, Protocol, Route
from service.openapi import (
    cloud_types,
    explain_types,
    model_types,
    native_types,
    oip_types,
    shadow_types,
    tfserving_types,
)
from service.openapi.examples import request_examples
from service.openapi.model_types import REFERENCE, ModelTypes
from service.version import VERSION

_DESCRIPTION = """
Serves the model **{name}**, version {version}, over three protocols: its native protocol, the Open Inference Protocol
under `/v2` and TensorFlow Serving's REST API under `/v1`. Input is strict: {values}, and a key must not occur twice.
`GET /models` lists all models of the service, each of which has a document of its own.

Errors are `application/problem+json` (RFC 9457); under `/v1` and `/v2` they are `{{"error": "…"}}`. Every `GET`
endpoint also supports `HEAD`.
"""
_NUMBERS = "a value must be a finite JSON number, not a\nstring or a boolean"
_MIXED = "a value must have the JSON type\nof its feature, a category must be spelt exactly as listed"
_SERVER = {"description": "the service that serves this document"}
_TAGS = {
    Protocol.NATIVE: "Menagerie's native protocol",
    Protocol.OIP: "The Open Inference Protocol (KServe's V2)",
    Protocol.TFSERVING: "TensorFlow Serving's REST API (KServe's V1)",
    Protocol.SAGEMAKER: "Containers on Amazon SageMaker",
    Protocol.VERTEX: "Custom containers on Vertex AI",
    Protocol.AZUREML: "Custom containers on Azure Machine Learning",
    Protocol.SERVICE: "Health, metrics, documentation and the web page",
}
_PLATFORMS = {Protocol.SAGEMAKER, Protocol.VERTEX, Protocol.AZUREML}
_STRING: dict[str, Any] = {"schema": {"type": "string"}}
_LENGTH = {"schema": {"type": "integer", "minimum": 0}, "description": "Length of the body's JSON part in bytes"}
_COMMON_HEADERS = ("X-Request-ID", "Cache-Control", "Server-Timing", "traceresponse")
_HEADERS_BY_STATUS: Mapping[int, Sequence[str]] = {
    405: ["Allow"],
    415: ["Accept", "Accept-Encoding"],
    503: ["Retry-After"],
}
_RESPONSE_HEADERS = {
    "X-Request-ID": {**_STRING, "required": True, "description": "The request's id if it is valid, else a new one"},
    "Cache-Control": {**_STRING, "required": True, "description": "`no-store`, except for static files"},
    "Server-Timing": {**_STRING, "description": "Duration of each stage in milliseconds, unless disabled"},
    "traceresponse": {**_STRING, "description": "The trace id of `traceparent` and this request's span id"},
    "Allow": {**_STRING, "required": True, "description": "The methods that this path supports"},
    "Accept": {**_STRING, "description": "The accepted media type, if the body has another one"},
    "Accept-Encoding": {**_STRING, "description": "`identity`, if the body is compressed"},
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait before a retry"},
    "Inference-Header-Content-Length": _LENGTH,
}
_REQUEST_HEADERS = {
    "X-Request-ID": {**_STRING, "description": "Returned if valid: 1 to 128 letters, digits and `._:/+=@-`"},
    "traceparent": {**_STRING, "description": "The client's trace (W3C Trace Context)"},
    "Inference-Header-Content-Length": _LENGTH,
}
_SECURITY_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_PRIMITIVES = {  # names in a route's content that are no schemas of their own
    "string": {"type": "string"},
    "binary": {"type": "string", "format": "binary"},
    "object": {"type": "object"},
}


def build_document(
    types: ModelTypes, routes: Iterable[Route], *, requires_key: bool, server: str = ".", is_default: bool = True
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the routes that apply to the model.

    With ``requires_key``, those that are not public need an API key. ``server`` is the URL of the service relative to
    the document's own (OpenAPI 3.1, section 4.8.5): a proxy may serve both under a path prefix. It ends without a
    slash, so that a client that only joins it and a path does not write two. A model that ``is_default`` also has the
    paths that name no model.
    """
    manifest, examples = types.manifest, request_examples(types)
    paths: dict[str, dict[str, Any]] = {}
    protocols = set()
    for route in routes:
        if (route.applies_to and not route.applies_to(manifest)) or (route.of_default_model and not is_default):
            continue
        needs_key = requires_key and not route.public
        operation = _operation(route, manifest, examples, needs_key=needs_key)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
        protocols.add(route.protocol)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Menagerie",
            "version": VERSION,
            "description": _description(manifest),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [_SERVER | {"url": server}],
        "tags": [{"name": protocol, "description": _TAGS[protocol]} for protocol in _TAGS if protocol in protocols],
        "paths": paths,
        "components": {
            "schemas": _schemas(types, has_platform=not protocols.isdisjoint(_PLATFORMS)),
            "parameters": _parameters(manifest),
            "headers": _RESPONSE_HEADERS,
            **({"securitySchemes": _SECURITY_SCHEMES} if requires_key else {}),  # even of none, viewers make a form
        },
    }


def _description(manifest: Manifest) -> str:
    values = _NUMBERS if all(feature.is_plain for feature in manifest.features) else _MIXED
    return _DESCRIPTION.format(name=manifest.name, version=manifest.version, values=values).strip()


def _schemas(types: ModelTypes, *, has_platform: bool) -> dict[str, Any]:
    own = (native_types, explain_types, tfserving_types, oip_types, shadow_types)
    modules = (*own, *([cloud_types] if has_platform else []))
    return model_types.json_schemas([each for module in modules for each in module.named_types(types)])


def _parameters(manifest: Manifest) -> dict[str, Any]:
    path = {"model": manifest.name, "version": str(manifest.version)}
    return {name: _path_parameter(name, [value]) for name, value in path.items()} | {
        name: {"name": name, "in": "header", **header} for name, header in _REQUEST_HEADERS.items()
    }


def _path_parameter(name: str, values: Sequence[str]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": list(values)}}


def _operation(route: Route, manifest: Manifest, examples: Mapping[str, Any], *, needs_key: bool) -> dict[str, Any]:
    shared = [name for name in re.findall(r"{(\w+)}", route.path) if name != "file"]
    references = (*shared, *route.headers, "X-Request-ID", "traceparent")
    parameters: list[dict[str, Any]] = [{"$ref": f"#/components/parameters/{name}"} for name in references]
    if route.file_names:
        parameters.append(_path_parameter("file", route.file_names(manifest)))
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.protocol],
        "summary": route.summary,
        "description": route.description.strip(),
        "parameters": parameters,
        "security": [{name: []} for name in _SECURITY_SCHEMES] if needs_key else None,
        "requestBody": _request_body(route, examples) if route.request else None,
        "responses": _responses(route, needs_key=needs_key),
    }
    return {name: value for name, value in operation.items() if value}


def _request_body(route: Route, examples: Mapping[str, Any]) -> dict[str, Any]:
    content = _content(route.request)
    for schema in route.request.get(JSON, ()):
        titled = {title: {"value": value} for title, value in examples[schema].items()}
        content[JSON].setdefault("examples", {}).update(titled)
    return {"required": True, "content": content}


def _responses(route: Route, *, needs_key: bool) -> dict[str, Any]:
    responses: dict[int, Any] = {}
    for status, content in route.responses.items():
        headers = [*_HEADERS_BY_STATUS.get(status, ()), *route.headers]
        responses[status] = _response(_content(content), HTTPStatus(status).phrase, headers)
    for status, errors in _errors_by_status(route, needs_key=needs_key).items():
        titles = "; or: ".join(error.title for error in errors)
        response = _response(_error_content(route.protocol, errors), titles, _HEADERS_BY_STATUS.get(status, ()))
        responses.setdefault(status, response)
    return {str(status): responses[status] for status in sorted(responses)}


def _errors_by_status(route: Route, *, needs_key: bool) -> dict[int, list[type[RequestError]]]:
    """The errors that a route declares and those that every route may have."""
    errors = [error for error in route.errors if issubclass(error, RequestError)]
    errors += [UnauthorizedError] if needs_key else []
    errors += [MethodNotAllowedError, InternalError]
    errors += [NoModelError, NotFoundError] if "{model}" in route.path else []
    errors += [TooLargeError, UnsupportedMediaError] if route.request else []
    by_status: dict[int, list[type[RequestError]]] = {}
    for error in errors:
        by_status.setdefault(status_in(route.protocol, error).value, []).append(error)
    return by_status


def _error_content(protocol: Protocol, errors: Sequence[type[RequestError]]) -> dict[str, Any]:
    """The content of error responses in a protocol, with an example of each error."""
    media_type, schema = JSON, "Error"
    if has_problem_details(protocol):
        media_type, schema = PROBLEM, "InputProblem" if UnacceptableError in errors else "Problem"
    content = _content({media_type: [schema]})
    content[media_type]["examples"] = {
        error.title: {"value": orjson.loads(render(_example_error(error), protocol, "0" * 32).body)} for error in errors
    }
    return content


def _example_error(error: type[RequestError]) -> RequestError:
    if issubclass(error, UnacceptableError):
        return error([Fault("features", "form", "what is wrong with this value")])
    return error("what is wrong and what to do")


def _response(content: Mapping[str, Any], description: str, headers: Iterable[str]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/components/headers/{name}"} for name in (*_COMMON_HEADERS, *headers)}
    return {"description": description, "headers": references, "content": content}


def _content(content: Content) -> dict[str, Any]:
    """OpenAPI's media type objects of a route's content."""
    return {media_type: {"schema": _schema(schemas)} for media_type, schemas in content.items()}


def _schema(names: Sequence[str]) -> dict[str, Any]:
    schemas = [_PRIMITIVES.get(name) or {"$ref": REFERENCE.format(model=name)} for name in names]
    return dict(schemas[0]) if len(schemas) == 1 else {"anyOf": schemas}
