"""`python -m service [OPTIONS]`: checks the environment, and becomes gunicorn with the service's configuration.

The options are gunicorn's.
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from service.server import cloud_environment, environment

_CONFIGURATION = Path(__file__).with_name("gunicorn.conf.py")


def main(options: Sequence[str]) -> NoReturn:
    """Become gunicorn with further ``options``, or log one line and exit with 1."""
    environment.drop_empty(os.environ)
    fault = cloud_environment.apply(os.environ)
    os.environ.setdefault("PORT", "8000")
    if sys.platform == "darwin":  # else macOS may end a worker that is the first process to use a system library
        os.environ.setdefault("OBJC_DISABLE_INITIALIZE_FORK_SAFETY", "YES")
    if fault := fault or environment.find_fault(os.environ):
        _log(fault)
        sys.exit(1)
    script = Path(sys.executable).with_name(
        "gunicorn"
    )  # -m would not survive SIGUSR2: gunicorn's http shadows Python's
    command = [str(script)] if script.exists() else [sys.executable, "-P", "-m", "gunicorn"]
    os.execv(command[0], [*command, "--config", str(_CONFIGURATION), *options])  # noqa: S606 (this environment's)


def _log(fault: str) -> None:
    from service.monitoring.log_format import configured_formatter

    handler = logging.StreamHandler()
    handler.setFormatter(configured_formatter())
    log = logging.getLogger("menagerie")
    log.addHandler(handler)
    log.critical("menagerie: %s", fault)


if __name__ == "__main__":
    main(sys.argv[1:])
