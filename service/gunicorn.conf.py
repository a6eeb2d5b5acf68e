"""How gunicorn runs the service; address, port and workers come from the usual PORT and WEB_CONCURRENCY.

Every name here is a gunicorn setting or hook; an operator's own go into GUNICORN_CMD_ARGS and win.
"""

import gc
import os
import sys


def _search_current_folder_last():
    """Keep a models.py where the service was started from standing in for ours: gunicorn puts that folder first."""
    here, root = os.getcwd(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH109, PTH120 (pathlib is slow)
    if here != root and root in sys.path:
        sys.path[:] = [*(path for path in sys.path if path != here), here]


_search_current_folder_last()
gc.disable()  # before the imports, until all is loaded: it stays, so walking it again and again would find nothing

from service.monitoring.shared_counters import shared_counters
from service.server import cloud_environment
from service.server.environment import drop_empty
from service.server.health_port import hand_over_health_port, run_health_process
from service.server.preflight import can_preload, log_conflicts, require_loaded, require_startable
from service.server.reload import share_shutdown_flag, survive_failed_reload
from service.server.start_message import log_start_message

# For those who start gunicorn themselves, instead of `python -m service`; what is wrong, `require_startable` finds.
drop_empty(os.environ)
cloud_environment.apply(os.environ)

wsgi_app = "service.app.asgi:load_app()"
worker_class = "asgi"
asgi_lifespan = "off"
asgi_disconnect_grace_period = 0  # forget a client that left at once: 3 s of short connections were 40 MB
http_parser = "python"  # the C parser that `auto` prefers leaks memory with every connection in the releases to be had
if not os.environ.get("WEB_CONCURRENCY"):
    workers = 2  # while one is replaced, the other answers
keepalive = 75  # seconds; longer than the 60 after which common proxies let go of a connection, so they do it first

# No response depends on what a proxy says of itself. gunicorn would refuse a request if two of these headers contradict
# each other or its own default values (X-Forwarded-Proto: https, X-Forwarded-Ssl: off).
secure_scheme_headers = {}
forwarder_headers = ""

# TLS: GUNICORN_CMD_ARGS="--certfile cert.pem --keyfile key.pem". Handshakes are bounded in time by
# MENAGERIE_HEAD_SECONDS (server/timeouts.py), and in number by MENAGERIE_MAX_CONNECTIONS (server/acceptor.py).

# The model is loaded once and shared by all workers: less memory, and what is wrong with it is logged once.
# Where that does not survive a fork, each worker loads its own.
preload_app = can_preload()
shared_counters()  # made here, so that even workers which load the application themselves inherit it

timeout = 30
graceful_timeout = 25  # seconds for requests in flight; docker-compose.yml grants 30 before it kills
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112 (a heartbeat must not wait for a disk)
logger_class = "service.server.gunicorn_logger.Logger"
control_socket_disable = True  # it would need a home folder to write to


def on_starting(server):
    """Prepare the master, before it listens."""
    require_startable(server)
    share_shutdown_flag(server)
    survive_failed_reload(server)
    run_health_process(server)


def when_ready(server):
    """Log where the service answers, once the master listens and before it starts workers."""
    log_conflicts(server)
    log_start_message(server)


def pre_fork(server, worker):
    """Give a worker its slot of the shared counters, and the flag that tells a shutdown from a replacement."""
    gc.freeze()  # no collector needs to walk what the master loaded, nor a worker to copy its pages to do so
    gc.enable()  # here, because a SIGHUP disables it again
    worker.is_shutdown = server.is_shutdown
    worker.slot = shared_counters().allocate_slot()


def post_worker_init(worker):
    """Set up a worker that has loaded the application."""
    from service.server.lifecycle import start_worker

    start_worker(worker)


def worker_exit(server, worker):
    """Finish a worker, within what its drain leaves of the time."""
    from service.server.lifecycle import finish_worker

    finish_worker(worker)


def pre_exec(server):
    """Prepare the new master of a SIGUSR2."""
    hand_over_health_port(server)


def child_exit(server, worker):
    """Keep what a worker counted, drop its gauges, and give its slot to another."""
    shared_counters().release_slot(worker.slot)
    require_loaded(server)
