"""What is checked before the service starts: gunicorn's release, the address, and limits that conflict."""

import os
import resource
import socket
import sys
from collections.abc import Iterator
from typing import Any

from service.http.errors import StartupError
from service.server.gunicorn_compat import check_release
from service.settings import Settings

_OTHER_FILES = 64  # that a worker has open beside its connections
_END_SECONDS = 2  # from the last answer to the end of the master


def require_startable(arbiter: Any) -> None:
    """Log one line and exit with 1 where the service cannot run; gunicorn would retry for 5 s, or wait for ever."""
    try:
        _check(arbiter)
    except StartupError as error:
        arbiter.log.critical("menagerie: %s", error)
        sys.exit(1)


def log_conflicts(arbiter: Any) -> None:
    """Warn of every conflict."""
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


def _check(arbiter: Any) -> None:
    if warning := check_release(Settings.load()):
        arbiter.log.warning("menagerie: %s", warning)
    if arbiter.cfg.workers < 1:
        raise StartupError("the service needs at least one worker: set WEB_CONCURRENCY to 1 or more")
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:
        return  # the sockets are handed over by an older gunicorn or by systemd
    for host, port in (address for address in arbiter.cfg.address if isinstance(address, tuple)):
        _require_free(host, port)


def _require_free(host: str, port: int) -> None:
    """Raise a StartupError if the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            fault = error.strerror if isinstance(error, OSError) else error
            raise StartupError(f"cannot listen on {host}:{port} ({fault}): set PORT to a free port") from None


def _raise_file_limit(wanted: int) -> int:
    """Raise the limit of open files to what is wanted, as far as that is allowed; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
