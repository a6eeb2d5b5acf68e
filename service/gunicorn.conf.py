"""How gunicorn runs the service; address, port and workers come from the usual PORT and WEB_CONCURRENCY.

Every name here is a gunicorn setting or hook; an operator's own go into GUNICORN_CMD_ARGS and win.
"""

import gc
import json
import mmap
import os
import socket
import subprocess
import sys

from service.monitoring.shared_counters import shared_counters

gc.disable()  # until all is loaded: it stays, so walking it again and again would find nothing

wsgi_app = "service.app.asgi:load_app()"
worker_class = "asgi"
asgi_lifespan = "off"
asgi_disconnect_grace_period = 0  # a caller who left is forgotten at once: 3 s of short connections were 40 MB
http_parser = "python"  # the C parser that `auto` prefers leaks memory with every connection in the releases to be had
if not os.environ.get("WEB_CONCURRENCY"):
    workers = 2  # while one is replaced, the other answers
shared_counters()  # made here, so that even workers which load the application themselves inherit it
keepalive = 75  # seconds; longer than the 60 after which common proxies let go of a connection, so they do it first

# The model is loaded once and shared by all workers: less memory, and what is wrong with it is said once.
# TensorFlow does not survive a fork, so the Keras engine is loaded in each worker.
preload_app = os.environ.get("MENAGERIE_ENGINE") != "keras"

timeout = 30
graceful_timeout = 25  # seconds for requests in flight; docker-compose.yml grants 30 before it kills
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112 (a heartbeat must not wait for a disk)
logger_class = "service.server.gunicorn_logger.Logger"
control_socket_disable = True  # it would need a home folder to write to


def on_starting(server):
    """Say in one line what cannot work, where gunicorn would retry for five seconds, or wait for ever."""
    _tell_of_the_end(server)
    _keep_on(server)
    if server.cfg.workers < 1:
        _give_up(server, "without a worker nothing is answered: set WEB_CONCURRENCY to 1 or more")
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:
        return  # the sockets are handed over by an older gunicorn or by systemd
    for host, port in (address for address in server.cfg.address if isinstance(address, tuple)):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                fault = error.strerror if isinstance(error, OSError) else error
                _give_up(server, f"cannot listen on {host}:{port} ({fault}): set PORT to a free one")


def _give_up(server, reason):
    server.log.critical("menagerie: %s", reason)
    sys.exit(1)


def _tell_of_the_end(server):
    """Share with the workers whether it is the end of the service, or of one of them while others go on."""
    server.ending = memoryview(mmap.mmap(-1, 1))
    stop = server.stop

    def end(*arguments):
        server.ending[0] = True
        stop(*arguments)

    server.stop = end


def _keep_on(server):
    """What cannot be read or loaded on SIGHUP is told of, not the end: what there is serves on."""
    read, replace = server.app.reload, server.reload

    def reload():
        before = server.app.cfg
        try:
            read()
        except (Exception, SystemExit) as error:  # noqa: BLE001 (gunicorn exits, with the workers still there)
            server.app.cfg = before
            server.log.error("menagerie: the configuration cannot be read, the old one is kept: %s", error)  # noqa: TRY400

    def replace_workers():
        fault = "" if server.cfg.preload_app else _fault()
        if fault:
            server.log.error("menagerie: the old workers are kept, as no new one could start: %s", fault)
        else:
            replace()

    server.app.reload, server.reload = reload, replace_workers


def _fault():
    """Why a worker that loads the model itself, as with Keras, would not come up; tried where it does no harm."""
    load = [sys.executable, "-c", "from service.app.asgi import load_app; load_app()"]
    tried = subprocess.run(load, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 (this very Python)
    last = tried.stderr.strip().rpartition("\n")[2]
    return (last or f"exit code {tried.returncode}") if tried.returncode else ""


def pre_fork(server, worker):
    """What the master loaded stays as it is: the workers' collectors need not walk it, nor copy its pages to do so.

    A worker counts in a slot of its own in the memory that all share.
    """
    gc.freeze()
    worker.ending = server.ending
    worker.slot = shared_counters().allocate_slot()


def child_exit(server, worker):
    """What a worker counted stays, what it said of itself goes, and its slot is for another."""
    shared_counters().release_slot(worker.slot)


def post_worker_init(worker):
    """Set a worker up so that no request waits for another, and that it ends as the service means it."""
    # A batch of 10,000 rows makes 50,000 objects in a thread, and keeps none. With Python's own settings the collector
    # walks them again and again, and the loop waits 5 ms for its turn: p99 of single rows beside such batches was
    # 207 ms; with these it is 6 to 13 ms.
    gc.set_threshold(100_000, 10, 10)
    sys.setswitchinterval(0.0005)
    shared_counters().use_slot(worker.slot)
    service = _service(worker.app)
    service.start_threads()
    if service.spans:
        service.spans.start("https" if worker.cfg.is_ssl else "http")
    if worker.cfg.worker_class_str != "asgi":
        return
    from service.server.lifecycle import begin

    begin(worker, worker.ending)


def worker_exit(server, worker):
    """Observe the last requests, within what `service.server.lifecycle` leaves of the time to exit."""
    if worker.app.callable:
        _service(worker.app).close(seconds=0.8)


def when_ready(server):
    """Tell whoever started the service what to try, with a row that the model is known to answer."""
    gc.enable()
    from service.server.preflight import misfits
    from service.settings import Settings

    settings = Settings.load()
    for misfit in misfits(settings, server.cfg.timeout, server.cfg.graceful_timeout):
        server.log.warning("menagerie: %s", misfit)
    if not settings.requires_key:
        server.log.info("no API keys are set: whoever reaches this port may ask (MENAGERIE_API_KEYS)")
    host, port = server.address[0]
    url = f"http://{'localhost' if host in ('0.0.0.0', '127.0.0.1', '::') else host}:{port}"
    if not server.cfg.preload_app:
        server.log.info("answers at %s once its workers have loaded the model", url)
        return
    manifest = _service(server.app).registry.current.model.manifest
    features = dict(
        zip(manifest.feature_names, (float(f"{value:.4g}") for value in manifest.golden[0].features), strict=True)
    )
    body = json.dumps({"features": features})
    curl = f"curl {url}/predict -H 'Content-Type: application/json' -d '{body}'"
    told = "%s %d answers at %s; try:\n%s"
    server.log.info(told, manifest.name, manifest.version, url, curl)


def _service(app):
    """What either adapter carries."""
    adapter = app.callable
    return adapter.extensions["menagerie"] if hasattr(adapter, "extensions") else adapter.service
