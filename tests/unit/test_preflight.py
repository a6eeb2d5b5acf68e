"""Limits that do not fit each other are told, one line for each."""

import pytest

from service.server.preflight import misfits
from service.settings import Settings


def test_the_defaults_fit() -> None:
    """What ships has nothing to say."""
    assert list(misfits(Settings(), 30, 25)) == []


@pytest.mark.parametrize(
    ("settings", "timeout", "graceful", "told"),
    [
        (Settings(drain_seconds=5), 30, 25, "graceful_timeout of 25 s"),
        (Settings(grace_seconds=25), 30, 25, "MENAGERIE_GRACE_SECONDS"),
        (Settings(body_seconds=12, write_seconds=1), 10, 25, "MENAGERIE_BODY_SECONDS"),
        (Settings(max_connections=2**40), 30, 25, "MENAGERIE_MAX_CONNECTIONS"),
    ],
)
def test_what_does_not_fit_is_told(settings: Settings, timeout: float, graceful: float, told: str) -> None:
    """One line, which names the setting to change."""
    (line,) = misfits(settings, timeout, graceful)
    assert told in line
    assert "\n" not in line
