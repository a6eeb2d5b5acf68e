"""Limits that conflict are warned of, one line for each."""

import pytest

from service.server.preflight import can_preload, find_conflicts
from service.settings import Settings


def test_the_defaults_do_not_conflict() -> None:
    """What ships gives no warning."""
    assert list(find_conflicts(Settings(), 30, 25)) == []


@pytest.mark.parametrize(
    ("settings", "timeout", "graceful_timeout", "expected"),
    [
        (Settings(drain_seconds=5), 30, 25, "graceful_timeout of 25 s"),
        (Settings(grace_seconds=25), 30, 25, "MENAGERIE_GRACE_SECONDS"),
        (Settings(body_seconds=12, write_seconds=1), 10, 25, "MENAGERIE_BODY_SECONDS"),
        (Settings(max_connections=2**40), 30, 25, "MENAGERIE_MAX_CONNECTIONS"),
    ],
)
def test_a_conflict_is_one_line(settings: Settings, timeout: float, graceful_timeout: float, expected: str) -> None:
    """It names the setting to change."""
    (line,) = find_conflicts(settings, timeout, graceful_timeout)
    assert expected in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MENAGERIE_ENGINE", "litert", True),
        ("MENAGERIE_ENGINE", "keras", False),
        ("menagerie_engine", "keras", False),  # pydantic-settings takes it for the same variable
        ("MENAGERIE_ENGINE", "nonsense", True),  # the master reports it once
    ],
)
def test_the_engine_decides_whether_the_master_loads_the_model(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: bool
) -> None:
    """TensorFlow does not survive the fork of a worker: every prediction would hang."""
    monkeypatch.delenv("MENAGERIE_ENGINE", raising=False)
    monkeypatch.setenv(name, value)
    assert can_preload() == expected
