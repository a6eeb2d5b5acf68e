"""What is checked before the service starts: gunicorn's release and settings, the sockets, and limits that conflict."""

import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn.errors import HaltServer

from service.http.errors import StartupError
from service.monitoring import otel_environment
from service.monitoring.shared_counters import shared_counters
from service.server import cloud_environment, environment, gunicorn_compat
from service.server.health_port import open_health_port
from service.server.listeners import open_listeners
from service.settings import Settings

_OTHER_FILES = 64  # that a worker has open beside its connections
_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_END_SECONDS = 2  # from the last answer to the end of the master


def require_startable(arbiter: Any) -> None:
    """Open the sockets; where the service cannot run, log one line and exit with 1, without gunicorn's retries."""
    try:
        _check(arbiter)
    except StartupError as error:
        arbiter.log.critical("menagerie: %s", error)
        sys.exit(1)


def can_preload() -> bool:
    """Whether the master can load the model for all workers: neither TensorFlow nor macOS' libraries survive a fork.

    With settings that are invalid it can: it reports them once, and ends.
    """
    try:
        return Settings.load().engine != "keras" and sys.platform != "darwin"
    except StartupError:
        return True


def require_loaded(arbiter: Any) -> None:
    """End the service if a worker has ended before any has loaded the model: gunicorn would start others for ever."""
    if not arbiter.cfg.preload_app and not shared_counters().was_used:
        raise HaltServer("no worker could load the model", 1)


def log_conflicts(arbiter: Any) -> None:
    """Warn of every conflict, and say what the system lacks."""
    if missing := [name for name in ("TCP_INFO", "TCP_USER_TIMEOUT") if not hasattr(socket, name)]:
        arbiter.log.info("this system has no %s: an overloaded service may respond too late", " and no ".join(missing))
    for conflict in find_conflicts(Settings.load(), arbiter.cfg.timeout, arbiter.cfg.graceful_timeout):
        arbiter.log.warning("menagerie: %s", conflict)


def find_conflicts(settings: Settings, timeout: float, graceful_timeout: float) -> Iterator[str]:
    """A line for each limit that another one makes void: of the settings, gunicorn's (in seconds) or the system's."""
    longest = settings.body_seconds + settings.write_seconds
    end = settings.drain_seconds + longest + _END_SECONDS
    if end > graceful_timeout:
        yield (
            f"{settings.drain_seconds:g} s to drain, {longest:g} s for the longest request and {_END_SECONDS} s to "
            f"exit exceed gunicorn's graceful_timeout of {graceful_timeout:g} s: a shutdown may cut off requests"
        )
    if graceful_timeout >= settings.grace_seconds:
        yield (
            f"gunicorn's graceful_timeout of {graceful_timeout:g} s is not below MENAGERIE_GRACE_SECONDS, "
            f"{settings.grace_seconds:g} s: the platform may kill requests in flight"
        )
    if 0 < timeout <= settings.body_seconds:
        yield (
            f"MENAGERIE_BODY_SECONDS, {settings.body_seconds:g} s, is not below gunicorn's timeout of {timeout:g} s, "
            "which ends a request with a stalled body without a response"
        )
    if (files := _raise_file_limit(settings.max_connections + _OTHER_FILES)) < settings.max_connections + _OTHER_FILES:
        yield (
            f"MENAGERIE_MAX_CONNECTIONS, {settings.max_connections}, exceeds the limit of {files} open files per "
            "process: raise the limit (ulimit -n) or lower the setting"
        )


def tls_fault(cfg: Any) -> str | None:
    """One line about a certificate or key that cannot be used; None without TLS, or if all is well."""
    try:
        gunicorn_compat.tls_context(cfg)
    except (OSError, TypeError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        files = f"--certfile {cfg.certfile} with --keyfile {cfg.keyfile}"
        return f"cannot use {files} ({reason}): name a certificate and its key, both as PEM"
    return None


def _check(arbiter: Any) -> None:
    cfg = arbiter.cfg
    if fault := cloud_environment.apply(os.environ) or environment.find_fault(os.environ) or tls_fault(cfg):
        raise StartupError(fault)
    otel_environment.require_valid(os.environ)
    settings = Settings.load()
    if warning := gunicorn_compat.check_release(settings):
        arbiter.log.warning("menagerie: %s", warning)
    if not 1 <= cfg.workers <= environment.MAX_WORKERS:
        raise StartupError(f"cannot run {cfg.workers} workers: set WEB_CONCURRENCY to 1 to {environment.MAX_WORKERS}")
    if cfg.loglevel.lower() not in _LOG_LEVELS:
        raise StartupError(f"--log-level {cfg.loglevel} is invalid: set it to one of {', '.join(_LOG_LEVELS)}")
    if cfg.worker_tmp_dir and not Path(cfg.worker_tmp_dir).is_dir():
        raise StartupError(f"--worker-tmp-dir {cfg.worker_tmp_dir} is not a folder: set it to one that exists")
    if settings.health_port and cfg.worker_class_str != "asgi":
        raise StartupError("MENAGERIE_HEALTH_PORT works with the asgi worker only: remove it, or --worker-class")
    arbiter.health_port = open_health_port(settings.health_port, cfg.address)
    open_listeners(arbiter)  # last: what fails after it would leave the file of a unix socket behind


def _raise_file_limit(wanted: int) -> int:
    """Raise the limit of open files to what is wanted, as far as that is allowed; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        higher = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError, OverflowError):  # macOS has a limit below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (higher, hard))
            soft = higher
    return soft
