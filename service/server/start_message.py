"""The line in the log that says where the service answers, with a command to try."""

import json
import shlex
from typing import Any

from service.http.model_paths import path_of_model
from service.inference.catalog import list_names
from service.server import gunicorn_compat
from service.server.listeners import Address, address_name, listening_addresses
from service.settings import Settings

_LOCAL_HOSTS = {"0.0.0.0", "127.0.0.1", "::"}  # noqa: S104
_KEY_HEADER = " -H 'Authorization: Bearer <API key>'"


def log_start_message(arbiter: Any) -> None:
    """Log the models, the service's URLs and a curl command with a golden row, which a model is known to answer."""
    settings = Settings.load()
    if not settings.requires_key:
        arbiter.log.info("no API keys are set: anyone who can reach this port can send requests (MENAGERIE_API_KEYS)")
    scheme = "https" if arbiter.cfg.is_ssl else "http"
    addresses = listening_addresses(arbiter)
    urls = ", ".join(_url(scheme, address) for address in addresses)
    if settings.health_port:
        urls += f" (health probes: {_url('http', ('0.0.0.0', settings.health_port))}/readyz)"  # noqa: S104 (as it is shown)
    service = gunicorn_compat.loaded_service(arbiter.app)
    if not service:
        arbiter.log.info("serving at %s once the workers have loaded the model", urls)
        return
    serving = [version.model.manifest for each in service.catalog.registries if (version := each.serving)]
    default = service.catalog.default_name
    serving.sort(key=lambda each: each.name != default)
    manifest = serving[0]
    path = service.predict_path if manifest.name == default else path_of_model(manifest.name, "/predict")
    values = (float(f"{value:.4g}") if isinstance(value, float) else value for value in manifest.golden[0].features)
    body = json.dumps({"features": dict(zip(manifest.feature_names, values, strict=True))})
    curl = f"curl {_curl_target(scheme, addresses[0], path)} -H 'Content-Type: application/json'"
    curl += f"{_KEY_HEADER if settings.requires_key else ''} -d {shlex.quote(body)}"
    models = list_names([f"{each.name} {each.version}" for each in serving])
    arbiter.log.info("serving %s at %s; try:\n%s", models, urls, curl)


def _url(scheme: str, address: Address) -> str:
    """The URL to reach an address at from this machine; of a unix socket, its path."""
    if isinstance(address, str):
        return address_name(address)
    host, port = address
    return f"{scheme}://{address_name(('localhost' if host in _LOCAL_HOSTS else host, port))}"


def _curl_target(scheme: str, address: Address, path: str) -> str:
    """What curl is given to reach a path at an address."""
    if not isinstance(address, str):
        return f"{_url(scheme, address)}{path}"
    is_abstract = address.startswith("\0")
    option = "--abstract-unix-socket" if is_abstract else "--unix-socket"
    return f"{option} {shlex.quote(address.removeprefix(chr(0)))} {scheme}://localhost{path}"
