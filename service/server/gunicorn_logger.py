"""gunicorn's logger in the service's log format; all other loggers log through it."""

import logging

from gunicorn.config import Config

from service.monitoring import log_format
from service.monitoring.log_format import NonBlockingHandler
from service.server.gunicorn_compat import GunicornLogger


class Logger(GunicornLogger):
    """What gunicorn's ``logger_class`` names; a log configuration of the operator's replaces it."""

    _stderr: NonBlockingHandler | None = None  # one for a process and its workers, however often it is set up

    def setup(self, cfg: Config) -> None:
        """Set up gunicorn's loggers, and have all others handled by the same handlers."""
        super().setup(cfg)
        if cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json:
            return
        logging.root.handlers = self.error_log.handlers  # the very list: gunicorn changes it when it is set up again
        logging.getLogger("menagerie").setLevel(self.loglevel)
        log_format.log_uncaught_exceptions()

    def error_formatter(self, *, is_stderr: bool) -> logging.Formatter:
        """The formatter that MENAGERIE_LOG_FORMAT names."""
        return log_format.configured_formatter(2 if is_stderr else -1)

    def stderr_handler(self) -> NonBlockingHandler:
        """The one handler for stderr."""
        Logger._stderr = Logger._stderr or NonBlockingHandler()
        return Logger._stderr
