"""Whether the limits fit each other, gunicorn's and the machine's."""

import resource
from collections.abc import Iterator

from service.settings import Settings

_OTHER_FILES = 64  # that a worker has open beside its connections
_END_SECONDS = 2  # from the last answer to the end of the master


def misfits(settings: Settings, timeout: float, graceful_timeout: float) -> Iterator[str]:
    """A line for each limit that another one makes void. Both of gunicorn's are in seconds."""
    longest = settings.body_seconds + settings.write_seconds
    end = settings.drain_seconds + longest + _END_SECONDS
    if end > graceful_timeout:
        yield (
            f"{settings.drain_seconds:g} s of draining, {longest:g} s for the longest request and {_END_SECONDS} s to "
            f"end are more than gunicorn's graceful_timeout of {graceful_timeout:g} s: requests may be cut off"
        )
    if graceful_timeout >= settings.grace_seconds:
        yield (
            f"gunicorn's graceful_timeout of {graceful_timeout:g} s is no less than MENAGERIE_GRACE_SECONDS, "
            f"{settings.grace_seconds:g} s: the platform may kill what is in flight"
        )
    if 0 < timeout <= settings.body_seconds:
        yield (
            f"MENAGERIE_BODY_SECONDS, {settings.body_seconds:g} s, is no less than gunicorn's timeout of {timeout:g} "
            "s, after which a silent body is given up without an answer"
        )
    if (files := _files(settings.max_connections + _OTHER_FILES)) < settings.max_connections + _OTHER_FILES:
        yield (
            f"MENAGERIE_MAX_CONNECTIONS of {settings.max_connections} is more than the {files} open files that a "
            "process may have here: raise the limit (ulimit -n) or lower the setting"
        )


def _files(wanted: int) -> int:
    """How many files a process may have open, after raising that to what is wanted as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
