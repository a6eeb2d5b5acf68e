"""The OpenAPI document: every route of every protocol, in the words of the loaded model."""

import re
from collections.abc import Sequence
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
    is_plain,
    render,
    status_at,
)
from service.http.messages import Route
from service.openapi import explain_types, model_types, native_types, oip_types, operations, tfserving_types
from service.openapi.model_types import Vocabulary
from service.openapi.operations import PROBLEM, Content, Operation, content
from service.openapi.swagger_ui import FILES
from service.version import VERSION
from service.web import page

_ABOUT = """
Serves the model **{name}**, version {version}, by three protocols: its own, the Open Inference Protocol under `/v2`
and the REST interface of TensorFlow Serving under `/v1`. Numbers are strict: no strings, no booleans, no NaN or
infinity, no key twice.

Errors are `application/problem+json` (RFC 9457), but under `/v1` and `/v2` `{{"error": "…"}}`. Every `GET` answers
`HEAD`, too.
"""
_TAGS = {  # by the beginning of a path, in the order in which they are shown
    "/predict": "Prediction",
    "/explain": "Prediction",
    "/v2": "Open Inference Protocol",
    "/v1": "TensorFlow Serving",
    "/page": "Page",
    "": "Service",
}
_TEXT = {"schema": {"type": "string"}}
_LENGTH = {"schema": {"type": "integer", "minimum": 0}, "description": "How many bytes of the body are JSON"}
_ALWAYS = ("X-Request-ID", "Cache-Control", "Server-Timing", "traceresponse")
_MAYBE = {405: ("Allow",), 503: ("Retry-After",)}
_HEADERS = {
    "X-Request-ID": {**_TEXT, "required": True, "description": "The request's, if it is a sane one, else a new one"},
    "Cache-Control": {**_TEXT, "required": True, "description": "`no-store`, but for the files of `/docs`"},
    "Server-Timing": {**_TEXT, "description": "What each stage took, in milliseconds, unless that is switched off"},
    "traceresponse": {**_TEXT, "description": "The trace, as `traceparent` named it, and this request's part in it"},
    "Allow": {**_TEXT, "required": True, "description": "The methods that this path answers"},
    "Retry-After": {"schema": {"type": "integer"}, "description": "When to come back, in seconds"},
    "Inference-Header-Content-Length": _LENGTH,
}
_KEYS = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_ASKED = {
    "X-Request-ID": {**_TEXT, "description": "Comes back if it is sane: 1 to 128 letters, digits and `._:/+=@-`"},
    "traceparent": {**_TEXT, "description": "The caller's trace (W3C Trace Context)"},
    "Inference-Header-Content-Length": _LENGTH,
}


def document(words: Vocabulary, routes: Sequence[Route], *, guarded: bool) -> dict[str, Any]:
    """The document (OpenAPI 3.1) of these routes; ``guarded`` if those that are not open want a key.

    Raises:
        KeyError: one of them has no operation.
    """
    manifest = words.manifest
    described = operations.operations(words)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        told = described[route.method, route.path]
        if guarded and not route.open:
            told = told._replace(errors=[*told.errors, UnauthorizedError], guarded=True)
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route.path, told, manifest)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Menagerie",
            "version": VERSION,
            "description": _ABOUT.format(name=manifest.name, version=manifest.version).strip(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name} for name in dict.fromkeys(_TAGS.values())],
        "paths": paths,
        "components": {
            "schemas": _schemas(words),
            "parameters": _parameters(manifest),
            "headers": _HEADERS,
            "securitySchemes": _KEYS if guarded else {},
        },
    }


def _schemas(words: Vocabulary) -> dict[str, Any]:
    modules = (native_types, explain_types, tfserving_types, oip_types)
    return model_types.schemas([kind for module in modules for kind in module.types(words)])


def _parameters(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = {name: _one_of(name, [value]) for name, value in _served(manifest).items()}
    return found | {name: {"name": name, "in": "header", **told} for name, told in _ASKED.items()}


def _served(manifest: Manifest) -> dict[str, str]:
    return {"model": manifest.name, "version": str(manifest.version)}


def _files(path: str, manifest: Manifest) -> list[str]:
    """What ``{file}`` may be at the end of a path."""
    folder = path.removesuffix("{file}")
    vendored = [name for name in page.names() if "/" in name]
    known = {
        "/docs/": list(FILES),
        "/page/": [name for name in page.names() if name not in vendored],
        "/page/vendor/": [name.removeprefix("vendor/") for name in vendored],
        "/page/report/": page.report(manifest) or ["index.html"],
    }
    return known[folder]


def _one_of(name: str, values: Sequence[str]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values}}


def _operation(path: str, told: Operation, manifest: Manifest) -> dict[str, Any]:
    in_path = re.findall(r"{(\w+)}", path)
    named = [name for name in (*in_path, *told.parameters, "X-Request-ID", "traceparent") if name != "file"]
    parameters = [{"$ref": f"#/components/parameters/{name}"} for name in named]
    parameters += [_one_of("file", _files(path, manifest))] if "file" in in_path else []
    found: dict[str, Any] = {
        "operationId": told.name,
        "tags": [next(tag for start, tag in _TAGS.items() if path.startswith(start))],
        "summary": told.summary,
        "description": told.description.strip(),
        "parameters": parameters,
        "security": [{name: []} for name in _KEYS] if told.guarded else None,
        "requestBody": {"required": True, "content": told.asked} if told.asked else None,
        "responses": _responses(path, told, in_path),
    }
    return {name: value for name, value in found.items() if value}


def _responses(path: str, told: Operation, in_path: Sequence[str]) -> dict[str, Any]:
    found: dict[int, Any] = {
        status: _response(content, HTTPStatus(status).phrase, [*_MAYBE.get(status, ()), *told.headers])
        for status, content in told.answers.items()
    }
    for status, kinds in _failures(path, told, in_path).items():
        titles = "; or: ".join(kind.title for kind in kinds)
        found.setdefault(status, _response(_failure(path, kinds), titles, _MAYBE.get(status, ())))
    return {str(status): found[status] for status in sorted(found)}


def _failures(path: str, told: Operation, in_path: Sequence[str]) -> dict[int, list[type[RequestError]]]:
    """What can go wrong, by the status that it gets there."""
    kinds: list[type[RequestError]] = [*told.errors, MethodNotAllowedError, InternalError]
    kinds += [NoModelError, NotFoundError] if "model" in in_path else []
    kinds += [TooLargeError, UnsupportedMediaError] if told.asked else []
    found: dict[int, list[type[RequestError]]] = {}
    for kind in kinds:
        found.setdefault(status_at(kind, path).value, []).append(kind)
    return found


def _failure(path: str, kinds: Sequence[type[RequestError]]) -> Content:
    """How the protocol tells these, with an example of each."""
    examples = {kind.title: orjson.loads(render(_sample(kind), path, "0" * 32).body) for kind in kinds}
    if is_plain(path):
        return content("Error", examples=examples)
    return content("InputProblem" if UnacceptableError in kinds else "Problem", media=PROBLEM, examples=examples)


def _sample(kind: type[RequestError]) -> RequestError:
    if issubclass(kind, UnacceptableError):
        return kind([Fault("features", "form", "what is wrong there, in a sentence")])
    return kind("what to do about it, in a sentence")


def _response(content: Content, description: str, headers: Sequence[str]) -> dict[str, Any]:
    told = {name: {"$ref": f"#/components/headers/{name}"} for name in (*_ALWAYS, *headers)}
    return {"description": description, "headers": told, "content": content}
