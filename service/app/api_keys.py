"""Who may ask: API keys, of which the service knows no more than the SHA-256. `python -m service.keys` makes one.

A key is 256 random bits, so that its hash needs no salt and no slow function: there is nothing to guess.
"""

import hmac
import logging
import re
import secrets
import time
from hashlib import sha256
from pathlib import Path

from service.http.errors import StartupError, UnauthorizedError
from service.http.messages import Request

_log = logging.getLogger("menagerie")
_HASH = re.compile(r"[0-9a-f]{64}")
_BEARER = "bearer "
_SCHEME = 'Bearer realm="menagerie"'
_LOOK_SECONDS = 1
_MOST_BYTES = 1_000_000


class Keys:
    """The keys that open the service: some for as long as it runs, others as a file lists them now."""

    def __init__(self, fixed: str, file: Path | None) -> None:
        """Know the hashes in ``fixed`` and in ``file``, one a line or with commas between; ``#`` begins a remark.

        Raises:
            StartupError: one is no SHA-256 in hex, the file cannot be read, or there is none at all.
        """
        self._file = file
        try:
            self._fixed = _hashes(fixed, "MENAGERIE_API_KEYS")
            self._stamp = _stamp(file) if file else None
            self._listed = _listed(file) if file else ()
        except (OSError, ValueError) as error:
            raise StartupError(_told(error)) from None
        if not self._fixed + self._listed:
            raise StartupError(f"there is no key in {file or 'MENAGERIE_API_KEYS'}: `python -m service.keys` makes one")
        self._looked = time.monotonic()

    def require(self, request: Request) -> None:
        """Refuse a request without a key that is known here.

        Raises:
            UnauthorizedError: it has none, or another.
        """
        given = _given(request)
        if not given:
            detail = "send an API key as `Authorization: Bearer …` or as `X-API-Key: …`"
            raise UnauthorizedError(detail, headers={"WWW-Authenticate": _SCHEME})
        digest, known = sha256(given.encode("utf-8", "surrogatepass")).digest(), False
        for expected in self._current():
            known |= hmac.compare_digest(digest, expected)  # all of them, so that the time tells nothing
        if not known:
            challenge = f'{_SCHEME}, error="invalid_token"'
            raise UnauthorizedError("the API key is not known here", headers={"WWW-Authenticate": challenge})

    def _current(self) -> tuple[bytes, ...]:
        now = time.monotonic()
        if self._file and now - self._looked > _LOOK_SECONDS:
            self._looked = now
            self._look(self._file)
        return self._fixed + self._listed

    def _look(self, file: Path) -> None:
        """Read the file again if it has changed; one that cannot be read changes nothing but the log."""
        stamp: tuple[int, ...] | None = None
        try:
            stamp = _stamp(file)
            if stamp == self._stamp:
                return
            self._listed = _listed(file)
            _log.warning("%s has changed: %d API keys are known now", file, len(self._fixed + self._listed))
        except (OSError, ValueError) as error:
            if stamp != self._stamp:
                _log.error("%s: the keys before stay known", _told(error))
        self._stamp = stamp


def make() -> tuple[str, str]:
    """A new key, and the hash to know it by."""
    key = f"menagerie_{secrets.token_urlsafe(32)}"
    return key, sha256(key.encode()).hexdigest()


def _given(request: Request) -> str:
    given = request.headers.get("x-api-key", "").strip()
    said = request.headers.get("authorization", "")
    return given or (said[len(_BEARER) :].strip() if said[: len(_BEARER)].lower() == _BEARER else "")


def _stamp(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _listed(file: Path) -> tuple[bytes, ...]:
    with file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{file} is longer than {_MOST_BYTES} bytes: it should have a hash a line")
    return _hashes(content.decode("utf-8", "replace"), str(file))


def _hashes(text: str, place: str) -> tuple[bytes, ...]:
    lines = [line.partition("#")[0] for line in text.splitlines()]
    found = [word for line in lines for word in line.replace(",", " ").split()]
    for number, word in enumerate(found, 1):
        if not _HASH.fullmatch(word.lower()):  # which may be a key: it is not repeated
            raise ValueError(
                f"hash {number} in {place} is no SHA-256 in hex: `python -m service.keys` makes a key and its"
            )
    return tuple(bytes.fromhex(word) for word in found)


def _told(error: OSError | ValueError) -> str:
    return f"cannot read {error.filename} ({error.strerror})" if isinstance(error, OSError) else str(error)
