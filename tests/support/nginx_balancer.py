"""nginx before two instances, as a platform has them: it asks each whether it is ready, and repeats no request.

nginx itself asks nothing of its upstreams in the free edition, so a thread does, and tells it by files: one for each
instance that is ready.
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
    upstream both {{ server 127.0.0.1:{one} max_fails=0; server 127.0.0.1:{two} max_fails=0; keepalive 64; }}
    upstream one {{ server 127.0.0.1:{one} max_fails=0; keepalive 64; }}
    upstream two {{ server 127.0.0.1:{two} max_fails=0; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            set $pool both;
            if (!-f {folder}/{one}) {{ set $pool two; }}
            if (!-f {folder}/{two}) {{ set $pool one; }}
            proxy_pass http://$pool; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
        }}
    }}
}}
"""


@contextmanager
def balanced(folder: Path, one: int, two: int) -> Iterator[int]:
    """The port of an nginx before two instances, which need not be there yet."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not nginx:
        pytest.skip("nginx is not installed")
    port, over = free_port(), threading.Event()
    (folder / "conf").write_text(_CONFIG.format(folder=folder, one=one, two=two, port=port))
    asking = [threading.Thread(target=_ask, args=(folder / str(each), each, over)) for each in (one, two)]
    for thread in asking:
        thread.start()
    with subprocess.Popen([nginx, "-p", folder, "-e", folder / "errors", "-c", folder / "conf"]) as process:
        try:
            _await(port)
            yield port
        finally:
            over.set()
            process.terminate()
            for thread in asking:
                thread.join()


def _ask(ready: Path, port: int, over: threading.Event) -> None:
    while not over.wait(0.05):
        try:
            fit = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
        except requests.RequestException:
            fit = False
        if fit:
            ready.touch()
        else:
            ready.unlink(missing_ok=True)


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise AssertionError("nginx or both instances are not ready")
