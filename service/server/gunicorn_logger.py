"""gunicorn's logger, speaking in the same lines as the service; all other loggers speak through it."""

import logging
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger as Gunicorn

from service.http.errors import StartupError
from service.monitoring import log_format
from service.monitoring.log_format import Outlet
from service.settings import Settings


class Logger(Gunicorn):  # type: ignore[misc]
    """What gunicorn's ``logger_class`` names; where the operator has a log configuration, that is heeded instead."""

    _outlet: Outlet | None = None  # one for a process and its workers, however often it is set up

    def setup(self, cfg: Config) -> None:
        """Set up gunicorn's loggers, and have everyone else's handled by the same."""
        super().setup(cfg)
        if cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json:
            return
        logging.root.handlers = self.error_log.handlers  # the very list: gunicorn changes it when it is set up again
        logging.getLogger("menagerie").setLevel(self.loglevel)
        log_format.tell_what_is_uncaught()

    def _set_handler(self, log: logging.Logger, output: str | None, fmt: logging.Formatter, stream: Any = None) -> None:
        """Called by gunicorn for its two logs: ``output`` is a file, or ``-`` for stderr."""
        if log is not self.error_log:
            super()._set_handler(log, output, fmt, stream)
            return
        shape = log_format.formatter(_wanted(), 2 if output == "-" else -1)
        if output != "-":
            super()._set_handler(log, output, shape, stream)
            return
        Logger._outlet = Logger._outlet or Outlet()
        Logger._outlet.setFormatter(shape)
        Logger._outlet._gunicorn = True  # type: ignore[attr-defined]  # noqa: SLF001 (gunicorn's, to know its own)
        log.addHandler(Logger._outlet)


def _wanted() -> str:
    """Which shape the settings ask for; what is wrong with them is told by whoever loads the service."""
    try:
        return Settings.load().log_format
    except StartupError:
        return "auto"
