"""nginx before two instances, as a platform has it: it sends requests to those that are ready, and retries none.

The free edition of nginx has no health checks, so threads do them, and keep a file for each instance that is ready.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from support.gunicorn_server import free_port
from support.nginx import running_nginx

_BALANCER = """
    keepalive_requests 1000000;
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
"""


@contextmanager
def balancing(folder: Path, first: int, second: int) -> Iterator[int]:
    """The port of an nginx before two instances, given by their ports, that need not run yet."""
    port, is_over = free_port(), threading.Event()
    balancer = _BALANCER.format(folder=folder, first=first, second=second, port=port)
    checks = [threading.Thread(target=_check, args=(folder / str(each), each, is_over)) for each in (first, second)]
    for thread in checks:
        thread.start()
    try:
        with running_nginx(folder, balancer, f"http://127.0.0.1:{port}/readyz"):
            yield port
    finally:
        is_over.set()
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
