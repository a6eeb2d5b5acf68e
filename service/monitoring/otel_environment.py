"""OpenTelemetry's variables, checked: its SDK meets an odd value with a traceback, or a line that names no variable.

Only values that no program could use are refused. A platform sets these variables for all of its services, so a valid
value that has no effect here, such as that of another exporter, is left alone.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from service.http.errors import StartupError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_MAX_QUEUE_SIZE, _MAX_BATCH_SIZE = 2048, 512  # the SDK's


def asks_for_spans(environment: Mapping[str, str]) -> bool:
    """Whether there is an endpoint to send spans to, and neither variable that switches them off is set."""
    has_endpoint = any(environment.get(name) for name in _ENDPOINTS)
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return has_endpoint and not is_disabled and environment.get("OTEL_TRACES_EXPORTER") != "none"


def require_valid(environment: Mapping[str, str]) -> None:
    """Check all variables that say how to send spans, if there are any to send.

    Raises:
        StartupError: one is invalid. The message does not repeat its value: headers contain keys.
    """
    if not asks_for_spans(environment):
        return
    for name, value in environment.items():
        for pattern, is_valid, remedy in _RULES:
            if re.fullmatch(f"OTEL_({pattern})", name) and value and not is_valid(value.strip()):
                raise StartupError(f"{name} is invalid: set it to {remedy}")
    sampler, share = (environment.get(name, "") for name in ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"))
    if share and sampler.lower().endswith("traceidratio") and not _SHARE(share.strip()):
        raise StartupError("OTEL_TRACES_SAMPLER_ARG is invalid: set it to a share from 0 to 1")
    queue = int(environment.get("OTEL_BSP_MAX_QUEUE_SIZE") or _MAX_QUEUE_SIZE)
    if int(environment.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or _MAX_BATCH_SIZE) > queue:
        raise StartupError(
            f"OTEL_BSP_MAX_QUEUE_SIZE, {queue}, is below OTEL_BSP_MAX_EXPORT_BATCH_SIZE, by default {_MAX_BATCH_SIZE}: "
            "raise the one or lower the other"
        )


def _matches(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern, re.IGNORECASE).fullmatch


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_file(value: str) -> bool:
    return Path(value).is_file()


_PAIR = r"\s*[^=,\s]+\s*=[^,]*"
_PAIRS = rf"({_PAIR})?(,({_PAIR})?)*"
_SHARE = _matches(r"0?\.\d+|[01](\.0*)?|\d(\.\d*)?e-\d+")
_SAMPLER = r"(parentbased_)?(always_on|always_off|traceidratio|jaeger_remote)|xray"

# What follows OTEL_ in a variable's name, the check of its value, and what to set instead.
_RULES: tuple[tuple[str, Callable[[str], object], str], ...] = (
    (r"EXPORTER_OTLP_(TRACES_)?ENDPOINT", _is_url, "a URL such as http://localhost:4318"),
    (r"EXPORTER_OTLP_(TRACES_)?HEADERS|RESOURCE_ATTRIBUTES", _matches(_PAIRS), "name=value, separated by commas"),
    (r"EXPORTER_OTLP_(TRACES_)?TIMEOUT", _matches(r"\d{1,9}(\.\d*)?"), "a number of seconds"),
    (r"EXPORTER_OTLP_(TRACES_)?COMPRESSION", _matches(r"none|gzip|deflate"), "none, gzip or deflate"),
    (r"EXPORTER_OTLP_(TRACES_)?(CLIENT_)?(CERTIFICATE|KEY)", _is_file, "a file that exists"),
    (r"TRACES_SAMPLER", _matches(_SAMPLER), "a sampler such as parentbased_traceidratio"),
    (r"SDK_DISABLED", _matches(r"true|false"), "true or false"),
    (r"BSP_\w+", _matches(r"0*[1-9]\d{0,8}"), "a whole number from 1"),
    (r"\w+_LIMIT", _matches(r"\d{1,9}"), "a whole number"),
)
