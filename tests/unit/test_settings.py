"""Settings are read once from the environment, validated and frozen."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.http.errors import StartupError
from service.settings import PREFIX, Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_environment_variables_set_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MENAGERIE_ variable sets the typed field of that name; an empty one counts as unset."""
    monkeypatch.setenv("MENAGERIE_MAX_ROWS", "7")
    monkeypatch.setenv("MENAGERIE_MODEL_STORE", "/srv/models")
    monkeypatch.setenv("MENAGERIE_ENGINE", "")
    settings = Settings.load()
    assert (settings.max_rows, settings.model_store, settings.engine) == (7, Path("/srv/models"), "litert")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MENAGERIE_MAX_ROW", "7", "did you mean MENAGERIE_MAX_ROWS?"),
        ("MENAGERIE_", "7", "is not a setting"),
        ("menagerie_model_stor", "x", "did you mean MENAGERIE_MODEL_STORE?"),
        ("MENAGERIE_MAX_ROWS", "many", "MENAGERIE_MAX_ROWS is invalid"),
        ("MENAGERIE_MAX_ROWS", "0", "MENAGERIE_MAX_ROWS is invalid"),
        ("MENAGERIE_MAX_BODY_BYTES", "-1", "MENAGERIE_MAX_BODY_BYTES is invalid"),
        ("MENAGERIE_ENGINE", "torch", "'litert' or 'keras'"),
        (
            "MENAGERIE_PLATFORM",
            "heroku",
            "MENAGERIE_PLATFORM is invalid: Input should be 'none', 'sagemaker', 'vertex' or",
        ),
        ("MENAGERIE_VERTEX_HEALTH_ROUTE", "/health/", "MENAGERIE_VERTEX_HEALTH_ROUTE is invalid"),
        ("MENAGERIE_SERVER_TIMING", "perhaps", "MENAGERIE_SERVER_TIMING is invalid"),
        ("MENAGERIE_READY", "most", "MENAGERIE_READY is invalid: Input should be 'all' or 'any'"),
        ("MENAGERIE_MODELS", "a,,b", "MENAGERIE_MODELS is invalid: '' is not the name of a model"),
        ("MENAGERIE_MODELS", "a,", "'' is not the name of a model"),
        ("MENAGERIE_MODELS", ",", "'' is not the name of a model"),
        ("MENAGERIE_MODELS", "a,*", r"'\*' is not the name of a model: set it to names with commas between, or to \*"),
        ("MENAGERIE_MODELS", "a/b", "'a/b' is not the name of a model"),
        ("MENAGERIE_MODELS", "a,.b", "'.b' is not the name of a model"),
        ("MENAGERIE_MODELS", "a:b", "'a:b' is not the name of a model"),
        ("MENAGERIE_MODELS", "a\nb", r"'a\\nb' is not the name of a model"),
    ],
)
def test_invalid_setting_is_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """An unknown name or an invalid value stops the start with one line."""
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=message) as refused:
        Settings.load()
    assert "\n" not in str(refused.value)


def test_models_have_names_in_a_store_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder has one model."""
    monkeypatch.setenv("MENAGERIE_MODELS", "*")
    monkeypatch.setenv("MENAGERIE_MODEL_DIR", "x")
    with pytest.raises(StartupError, match=r"^MENAGERIE_MODELS and MENAGERIE_MODEL_DIR exclude each other: unset one"):
        Settings.load()


def test_settings_are_frozen() -> None:
    """No code can change them later."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_rows = 1
