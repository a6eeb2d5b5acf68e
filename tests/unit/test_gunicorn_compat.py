"""gunicorn's private names: where they are used, and what is said if another release lacks them."""

import re

import gunicorn
import pytest
from gunicorn.asgi.protocol import ASGIProtocol
from support.gunicorn_server import ROOT

from service.http.errors import StartupError
from service.server.gunicorn_compat import CHECKED_RELEASE, check_release
from service.settings import Settings

PRIVATE = re.compile(
    r"SLF001"
    r"|import [^#\n]*\b_[a-z]"
    r"|\b(?:gasgi|worker|arbiter|server|protocol|cfg)\._"
    r"|self\._(?:awaiting_request|body_receiver|callback_parser|closed|current_request|flow_control|keepalive|safe_write)\b"
    r"|\bworker\.(?:nr|servers|sockets|max_requests|handle_quit_signal)\b"
    r"|\.(?:stop|reload) = "
    r"|\bgunicorn\.(?:asgi|workers|arbiter)\b"
)


def test_private_names_are_used_in_one_file() -> None:
    """`gunicorn_compat.py` offers them to the others under public names."""
    sources = [*(ROOT / "service" / "server").glob("*.py"), ROOT / "service" / "gunicorn.conf.py"]
    using = {path.name for path in sources if PRIVATE.search(path.read_text())}
    assert using == {"gunicorn_compat.py"}


def test_only_the_server_package_knows_gunicorn() -> None:
    """All else could run under another server."""
    importing = re.compile(r"^\s*(?:from|import) gunicorn\b", re.MULTILINE)
    files = [path for path in (ROOT / "service").rglob("*.py") if importing.search(path.read_text())]
    assert {path.parent.name for path in files} == {"server"}


def test_the_checked_release_is_the_pinned_one() -> None:
    """The pin, the lock and the code name the same release, which has all names."""
    assert f'"gunicorn=={CHECKED_RELEASE}"' in (ROOT / "pyproject.toml").read_text()
    assert gunicorn.__version__ == CHECKED_RELEASE
    assert check_release(Settings()) is None


def test_another_release_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the settings to switch off."""
    monkeypatch.setattr(gunicorn, "__version__", "99.0")
    warning = check_release(Settings())
    assert warning
    for name in ("99.0", CHECKED_RELEASE, "MENAGERIE_FAST_PATH", "MENAGERIE_ACCEPTOR", "MENAGERIE_TIMEOUTS"):
        assert name in warning


def test_a_missing_name_stops_the_start_unless_its_setting_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the release, the name and the setting."""
    monkeypatch.setattr(gunicorn, "__version__", "99.0")
    monkeypatch.delattr(ASGIProtocol, "_safe_write")
    with pytest.raises(StartupError, match=r"^gunicorn 99.0 lacks _safe_write: set MENAGERIE_FAST_PATH=false$"):
        check_release(Settings(fast_path=True))
    assert check_release(Settings(fast_path=False))


def test_a_missing_name_that_is_always_needed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which release to install."""
    monkeypatch.delattr(ASGIProtocol, "_will_close")
    with pytest.raises(StartupError, match=rf"lacks _will_close: install gunicorn {re.escape(CHECKED_RELEASE)}$"):
        check_release(Settings())
