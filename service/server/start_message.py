"""The line in the log that says where the service answers, with a command to try."""

import json
from typing import Any

from service.server import gunicorn_compat
from service.settings import Settings


def log_start_message(arbiter: Any) -> None:
    """Log the service's URL and a curl command with a golden row, which the model is known to answer."""
    if not Settings.load().requires_key:
        arbiter.log.info("no API keys are set: anyone who can reach this port can send requests (MENAGERIE_API_KEYS)")
    host, port = arbiter.address[0]
    url = f"http://{'localhost' if host in ('0.0.0.0', '127.0.0.1', '::') else host}:{port}"  # noqa: S104
    service = gunicorn_compat.loaded_service(arbiter.app)
    if not service:
        arbiter.log.info("serving at %s once the workers have loaded the model", url)
        return
    manifest = service.registry.current.model.manifest
    values = (float(f"{value:.4g}") for value in manifest.golden[0].features)
    body = json.dumps({"features": dict(zip(manifest.feature_names, values, strict=True))})
    curl = f"curl {url}/predict -H 'Content-Type: application/json' -d '{body}'"
    arbiter.log.info("serving %s %d at %s; try:\n%s", manifest.name, manifest.version, url, curl)
