"""Signals to the master: SIGHUP replaces the workers, and SIGTERM ends the service."""

import mmap
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.errors import HaltServer

from service.server import gunicorn_compat, listeners
from service.server.preflight import tls_fault


def share_shutdown_flag(arbiter: Any) -> None:
    """Set ``arbiter.is_shutdown``: a byte shared with the workers, 1 once the whole service ends.

    A worker gets SIGTERM then, but also when it is replaced and the service stays ready.
    """
    arbiter.is_shutdown = flag = memoryview(mmap.mmap(-1, 1))

    def stop(stop_workers: Callable[..., None], *arguments: Any) -> None:
        flag[0] = 1
        listeners.close_listeners(arbiter)
        while True:
            try:
                stop_workers(*arguments)
            except HaltServer:  # another worker could not start, and gunicorn would leave the rest running
                continue
            break
        listeners.remove_files(arbiter)

    gunicorn_compat.wrap_stop(arbiter, stop)


def survive_failed_reload(arbiter: Any) -> None:
    """On SIGHUP, if the configuration cannot be read or a model not be loaded, log why and go on as before."""

    def reread(reread_configuration: Callable[[], None]) -> None:
        before = arbiter.app.cfg
        try:
            reread_configuration()
        except (Exception, SystemExit) as error:  # noqa: BLE001 (gunicorn exits, with the workers still there)
            arbiter.app.cfg = before
            arbiter.log.error("menagerie: cannot read the configuration, keeping the old one: %s", error)  # noqa: TRY400

    def reload(replace_workers: Callable[[], None]) -> None:
        fault = tls_fault(arbiter.cfg) or ("" if arbiter.cfg.preload_app else _load_fault())
        if fault:
            arbiter.log.error("menagerie: no new worker can start, keeping the old ones: %s", fault)
        else:
            replace_workers()

    gunicorn_compat.wrap_reread(arbiter, reread)
    gunicorn_compat.wrap_reload(arbiter, reload)


def _load_fault() -> str:
    """Why a worker that loads the model itself, as with Keras, could not start; tried in a process of its own."""
    load = [sys.executable, "-c", "from service.app.asgi import load_app; load_app()"]
    done = subprocess.run(load, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 (this very Python)
    last_line = done.stderr.strip().rpartition("\n")[2]
    return (last_line or f"exit code {done.returncode}") if done.returncode else ""
