"""Settings: read once, frozen, and no misspelling passes."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.http.errors import StartupError
from service.settings import PREFIX, Settings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_the_environment_sets_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MENAGERIE_ variable becomes the field of that name, typed; an empty one counts as unset."""
    monkeypatch.setenv("MENAGERIE_MAX_ROWS", "7")
    monkeypatch.setenv("MENAGERIE_MODEL_STORE", "/srv/models")
    monkeypatch.setenv("MENAGERIE_ENGINE", "")
    settings = Settings.load()
    assert (settings.max_rows, settings.model_store, settings.engine) == (7, Path("/srv/models"), "litert")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MENAGERIE_MAX_ROW", "7", "did you mean MENAGERIE_MAX_ROWS?"),
        ("MENAGERIE_", "7", "is not a setting"),
        ("menagerie_model_stor", "x", "did you mean MENAGERIE_MODEL_STORE?"),
        ("MENAGERIE_MAX_ROWS", "many", "MENAGERIE_MAX_ROWS does not fit"),
        ("MENAGERIE_MAX_ROWS", "0", "MENAGERIE_MAX_ROWS does not fit"),
        ("MENAGERIE_MAX_BODY_BYTES", "-1", "MENAGERIE_MAX_BODY_BYTES does not fit"),
        ("MENAGERIE_ENGINE", "torch", "'litert' or 'keras'"),
        ("MENAGERIE_SERVER_TIMING", "perhaps", "MENAGERIE_SERVER_TIMING does not fit"),
    ],
)
def test_what_does_not_fit_is_told_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    """An unknown name or a bad value stops the start with one line."""
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=told) as refused:
        Settings.load()
    assert "\n" not in str(refused.value)


def test_settings_do_not_change() -> None:
    """Nothing sets them later."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_rows = 1
