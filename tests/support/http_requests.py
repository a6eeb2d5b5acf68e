"""Requests for handlers and checks that are called directly, without an adapter."""

from service.http.messages import Request


def make_request(method: str = "GET", **headers: str) -> Request:
    """A request to ``/`` without a body; ``x_api_key="…"`` sets the header ``x-api-key``."""
    return Request(method, "/", {name.replace("_", "-"): value for name, value in headers.items()}, bytes)
