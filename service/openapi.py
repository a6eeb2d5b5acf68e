"""``GET /openapi.json``: every route of every protocol, described for programs, in the words of the loaded model."""

import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from http import HTTPStatus
from typing import Any

from models.bundle import Manifest
from service import operations, schemas, schemas_explain, schemas_v1, schemas_v2, vocabulary
from service.errors import (
    InternalError,
    MethodNotAllowedError,
    NoModelError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnacceptableError,
    UnsupportedMediaError,
    is_plain,
    status_at,
)
from service.messages import Reply, Request, Route, json_reply
from service.operations import PROBLEM, Content, Operation, content
from service.version import VERSION
from service.viewer import FILES
from service.vocabulary import Vocabulary

_ABOUT = """
Serves the model **{name}**, version {version}, by three protocols: its own, the Open Inference Protocol under `/v2`
and the REST interface of TensorFlow Serving under `/v1`. Numbers are strict: no strings, no booleans, no NaN or
infinity, no key twice.

Errors are `application/problem+json` (RFC 9457), but under `/v1` and `/v2` `{{"error": "…"}}`. Every `GET` answers
`HEAD`, too.
"""
_TAGS = {
    "/v1": "TensorFlow Serving",
    "/v2": "Open Inference Protocol",
    "/predict": "Prediction",
    "/explain": "Prediction",
}
_TEXT = {"schema": {"type": "string"}}
_LENGTH = {"schema": {"type": "integer", "minimum": 0}, "description": "How many bytes of the body are JSON"}
_HEADERS = {
    "RequestId": {
        **_TEXT,
        "required": True,
        "description": "The request's `X-Request-ID` if it is a sane one, else a new one",
    },
    "CacheControl": {**_TEXT, "required": True, "description": "`no-store`, but for the files of `/docs`"},
    "Allow": {**_TEXT, "required": True, "description": "The methods that this path answers"},
    "RetryAfter": {"schema": {"type": "integer"}, "description": "When to come back, in seconds"},
    "InferenceHeaderContentLength": _LENGTH,
}
_ALWAYS = {"X-Request-ID": "RequestId", "Cache-Control": "CacheControl"}
_MAYBE = {405: {"Allow": "Allow"}, 503: {"Retry-After": "RetryAfter"}}


def routes(manifest: Manifest, max_rows: int, others: Sequence[Route]) -> list[Route]:
    """``GET /openapi.json`` for one model and for these routes and itself; written when it is first asked for."""
    described = list(others)
    body = cache(lambda: json_reply(document(Vocabulary(manifest, max_rows), described)).body)
    route = Route("GET", "/openapi.json", partial(_answer, body))
    described.append(route)
    return [route]


def _answer(body: Callable[[], bytes], _: Request) -> Reply:
    return Reply(200, body())


def document(words: Vocabulary, routes: Sequence[Route]) -> dict[str, Any]:
    """The document (OpenAPI 3.1) of these routes.

    Raises:
        KeyError: one of them has no operation.
    """
    manifest = words.manifest
    described = operations.operations(words)
    paths: dict[str, dict[str, Any]] = {}
    for method, path, *_ in routes:
        paths.setdefault(path, {})[method.lower()] = _operation(path, described[method, path])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Menagerie",
            "version": VERSION,
            "description": _ABOUT.format(name=manifest.name, version=manifest.version).strip(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": _schemas(words), "parameters": _parameters(manifest), "headers": _HEADERS},
    }


def _schemas(words: Vocabulary) -> dict[str, Any]:
    native = schemas.types(words)
    return vocabulary.schemas(
        [*native, *schemas_explain.types(words), *schemas_v1.types(words), *schemas_v2.types(words)]
    )


def _parameters(manifest: Manifest) -> dict[str, Any]:
    in_path = {"model": [manifest.name], "version": [str(manifest.version)], "file": list(FILES)}
    found: dict[str, Any] = {
        name: {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values}}
        for name, values in in_path.items()
    }
    found["RequestId"] = {"name": "X-Request-ID", "in": "header", **_TEXT, "description": "Comes back if it is sane"}
    found["InferenceHeaderContentLength"] = {"name": "Inference-Header-Content-Length", "in": "header", **_LENGTH}
    return found


def _operation(path: str, told: Operation) -> dict[str, Any]:
    in_path = re.findall(r"{(\w+)}", path)
    parameters = [*in_path, *told.parameters, "RequestId"]
    found = {
        "operationId": told.name,
        "tags": [_TAGS.get(re.match(r"/\w*", path)[0], "Service")],  # type: ignore[index]
        "summary": told.summary,
        "description": told.description.strip(),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in parameters],
        "requestBody": {"required": True, "content": told.asked} if told.asked else None,
        "responses": _responses(path, told, in_path),
    }
    return {name: value for name, value in found.items() if value}


def _responses(path: str, told: Operation, in_path: Sequence[str]) -> dict[str, Any]:
    found = {status: _response(status, content, HTTPStatus(status).phrase) for status, content in told.answers.items()}
    for status, titles in _failures(path, told, in_path).items():
        found.setdefault(status, _response(status, _failure(path, status), "; or: ".join(titles)))
    for header in told.headers:
        found[200]["headers"]["-".join(re.findall("[A-Z][a-z]+", header))] = _header(header)
    return {str(status): found[status] for status in sorted(found)}


def _failures(path: str, told: Operation, in_path: Sequence[str]) -> dict[int, list[str]]:
    """What can go wrong, by the status that it gets there."""
    kinds: list[type[RequestError]] = [*told.errors, MethodNotAllowedError, InternalError]
    kinds += [NoModelError, NotFoundError] if "model" in in_path else []
    kinds += [TooLargeError, UnsupportedMediaError] if told.asked else []
    found: dict[int, list[str]] = {}
    for kind in kinds:
        found.setdefault(status_at(kind, path).value, []).append(kind.title)
    return found


def _failure(path: str, status: int) -> Content:
    if is_plain(path):
        return content("Error")
    faults = status == UnacceptableError.status
    return content("InputProblem" if faults else "Problem", media=PROBLEM)


def _response(status: int, content: Content, description: str) -> dict[str, Any]:
    headers = {name: _header(component) for name, component in {**_ALWAYS, **_MAYBE.get(status, {})}.items()}
    return {"description": description, "headers": headers, "content": content}


def _header(component: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{component}"}
