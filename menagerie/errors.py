"""What ends a subcommand with a sentence and exit code 2, as bad usage and the other command lines do."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


class CommandError(click.ClickException):
    """A subcommand cannot do what it was asked to; the message says why and what to do."""

    exit_code = 2


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn the errors of bundles and settings into a `CommandError`."""
    from models.bundle import BundleError
    from service.http.errors import StartupError

    try:
        yield
    except (BundleError, StartupError) as error:
        raise CommandError(str(error)) from None
