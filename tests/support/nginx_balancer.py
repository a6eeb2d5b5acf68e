"""nginx before two instances, as a platform has it: it sends requests to those that are ready, and retries none.

The free edition of nginx has no health checks, so threads do them, and keep a file for each instance that is ready.
"""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from support.gunicorn_server import free_port

_CONFIG = """
daemon off; pid {folder}/pid; error_log {folder}/errors; user root;
events {{ worker_connections 2000; }}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    upstream both {{ server 127.0.0.1:{first} max_fails=0; server 127.0.0.1:{second} max_fails=0; keepalive 64; }}
    upstream first {{ server 127.0.0.1:{first} max_fails=0; keepalive 64; }}
    upstream second {{ server 127.0.0.1:{second} max_fails=0; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            set $pool both;
            if (!-f {folder}/{first}) {{ set $pool second; }}
            if (!-f {folder}/{second}) {{ set $pool first; }}
            proxy_pass http://$pool; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
        }}
    }}
}}
"""


@contextmanager
def balancing(folder: Path, first: int, second: int) -> Iterator[int]:
    """The port of an nginx before two instances, given by their ports, that need not run yet."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not nginx:
        pytest.skip("nginx is not installed")
    port, is_over = free_port(), threading.Event()
    (folder / "conf").write_text(_CONFIG.format(folder=folder, first=first, second=second, port=port))
    checks = [threading.Thread(target=_check, args=(folder / str(each), each, is_over)) for each in (first, second)]
    for thread in checks:
        thread.start()
    with subprocess.Popen([nginx, "-p", folder, "-e", folder / "errors", "-c", folder / "conf"]) as process:
        try:
            _await_ready(port)
            yield port
        finally:
            is_over.set()
            process.terminate()
            for thread in checks:
                thread.join()


def _check(file: Path, port: int, is_over: threading.Event) -> None:
    while not is_over.wait(0.05):
        try:
            is_ready = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
        except requests.RequestException:
            is_ready = False
        if is_ready:
            file.touch()
        else:
            file.unlink(missing_ok=True)


def _await_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise AssertionError("nginx or both instances are not ready")
