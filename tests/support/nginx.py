"""nginx in front of the service, in a process of its own."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
import requests

from support.gunicorn_server import free_port

PREFIXES = ("/models", "/team/o'brien%20&%20co")

_CONFIG = """
daemon off; pid {folder}/pid; error_log {folder}/errors; user root;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    {http}
}}
"""


@contextmanager
def running_nginx(folder: Path, http: str, ready_url: str) -> Iterator[None]:
    """Run nginx with these directives in its block ``http``, once it answers ``ready_url`` with 200."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not nginx:
        pytest.skip("nginx is not installed")
    (folder / "conf").write_text(_CONFIG.format(folder=folder, http=http))
    with subprocess.Popen([nginx, "-p", folder, "-e", folder / "errors", "-c", folder / "conf"]) as process:
        try:
            _await_ok(ready_url)
            yield
        finally:
            process.terminate()


@contextmanager
def under_prefixes(folder: Path, ports: Mapping[str, int]) -> Iterator[str]:
    """The URL of an nginx that serves the service on each port under a path prefix, ``/models`` for example."""
    port = free_port()
    locations = "\n".join(
        f'location "{unquote(prefix)}/" {{ proxy_pass http://127.0.0.1:{service}/; }}'
        for prefix, service in ports.items()
    )
    url = f"http://127.0.0.1:{port}"
    with running_nginx(
        folder, f"server {{ listen 127.0.0.1:{port}; {locations} }}", f"{url}{next(iter(ports))}/readyz"
    ):
        yield url


def _await_ok(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise AssertionError(f"no good answer from {url}: nginx or what is behind it is not ready")
