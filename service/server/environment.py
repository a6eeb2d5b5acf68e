"""The environment variables that gunicorn reads, checked before it reads them.

An empty or odd one ends gunicorn in a traceback, or in a line that names no variable.

Only the standard library is imported at the top: gunicorn reads some of the variables when it is imported, and every
start waits for this module.
"""

import re
import shlex
from collections.abc import Callable, MutableMapping
from ipaddress import ip_network
from typing import Any, NoReturn

MAX_WORKERS = 255  # the shared counters have a slot for each
_MAX_PORT = 65_535
_READ_BY_GUNICORN = {"PORT", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "FORWARDED_ALLOW_IPS", "LISTEN_FDS", "LISTEN_PID"}
_PREFIXES = ("MENAGERIE_", "OTEL_")


def drop_empty(environment: MutableMapping[str, str]) -> None:
    """Remove the variables that are empty: they count as not set."""
    for name in [name for name, value in environment.items() if not value]:
        if name in _READ_BY_GUNICORN or name.startswith(_PREFIXES):
            del environment[name]


def find_fault(environment: MutableMapping[str, str]) -> str | None:
    """One line about the first variable that gunicorn would not understand, with the remedy; None if there is none."""
    for name, (is_valid, remedy) in _RULES.items():
        value = environment.get(name)
        if value is not None and not is_valid(value):
            return f"{name} is invalid ({value!r}): {remedy}"
    fault = _options_fault(environment.get("GUNICORN_CMD_ARGS", ""))
    return fault and f"GUNICORN_CMD_ARGS is invalid ({fault}): correct that option or remove it"


def _options_fault(options: str) -> str | None:
    """What is wrong with command-line options of gunicorn's."""
    if not options:
        return None
    from gunicorn.config import Config

    config = Config()
    parser = config.parser()
    parser.error = _raise
    try:
        parsed = vars(parser.parse_args(shlex.split(options)))
        if parsed["args"]:
            return f"{parsed['args'][0]!r} belongs to no option"
        if parsed["config"]:
            return "--config has no effect there: give it to `python -m service`"
        for name, value in parsed.items():
            if value is not None and name != "args":
                config.set(name, value)
        _require_names_that_exist(config)
    except Exception as error:  # noqa: BLE001 (each setting of gunicorn's has exceptions of its own)
        return str(error).strip().partition("\n")[0].rstrip(" .:")
    return None


def _require_names_that_exist(config: Any) -> None:
    """Raise what gunicorn would raise later about an address or the worker class."""
    config.address  # noqa: B018 (a property that parses)
    if config.settings["worker_class"].value != config.settings["worker_class"].default:
        config.worker_class  # noqa: B018 (likewise)


def _raise(message: str) -> NoReturn:
    raise ValueError(message)


def _is_integer(lowest: int, highest: int) -> Callable[[str], bool]:
    def is_valid(value: str) -> bool:
        return bool(re.fullmatch(r"\s*[0-9]{1,9}\s*", value)) and lowest <= int(value) <= highest

    return is_valid


def _are_networks(value: str) -> bool:
    try:
        for network in value.split(","):
            if network.strip() not in {"", "*"}:
                ip_network(network.strip())
    except ValueError:
        return False
    return True


_RULES: dict[str, tuple[Callable[[str], bool], str]] = {
    "PORT": (_is_integer(0, _MAX_PORT), f"set it to a port from 0 (any free one) to {_MAX_PORT}"),
    "WEB_CONCURRENCY": (_is_integer(1, MAX_WORKERS), f"set it to a number of workers from 1 to {MAX_WORKERS}"),
    "FORWARDED_ALLOW_IPS": (_are_networks, "set it to the addresses or networks of proxies, separated by commas"),
    "LISTEN_FDS": (_is_integer(0, _MAX_PORT), "systemd sets it to a number; unset it elsewhere"),
    "LISTEN_PID": (_is_integer(0, 10**9), "systemd sets it to a number; unset it elsewhere"),
}
