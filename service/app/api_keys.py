"""API keys, of which the service knows only the SHA-256; `python -m service.keys` makes one.

A key is 256 random bits, so its hash needs no salt and no slow function: there is nothing to guess.
"""

import hmac
import logging
import re
import secrets
import time
from hashlib import sha256
from pathlib import Path

from service.http.errors import StartupError, UnauthorizedError
from service.http.messages import Headers

_log = logging.getLogger("menagerie")
_HASH = re.compile(r"[0-9a-f]{64}")
_BEARER = "bearer "
_CHALLENGE = 'Bearer realm="menagerie"'
_CHECK_SECONDS = 1
_MAX_FILE_BYTES = 1_000_000


class ApiKeys:
    """The accepted keys: some are fixed, others are listed in a file that is read again when it changes."""

    def __init__(self, fixed: str, file: Path | None) -> None:
        """Accept the keys whose hashes are in ``fixed`` or ``file``, separated by commas or lines; ``#`` is a comment.

        Raises:
            StartupError: a hash is not a SHA-256 in hex, the file cannot be read, or there is no hash at all.
        """
        self._file = file
        try:
            self._fixed = _parse_hashes(fixed, "MENAGERIE_API_KEYS")
            self._file_state = _file_state(file) if file else None
            self._listed = _read_hashes(file) if file else ()
        except (OSError, ValueError) as error:
            raise StartupError(_message(error)) from None
        if not self._fixed + self._listed:
            raise StartupError(
                f"no API key in {file or 'MENAGERIE_API_KEYS'}: create one with `python -m service.keys`"
            )
        self._checked = time.monotonic()

    def require(self, headers: Headers) -> None:
        """Refuse a request without an accepted key.

        Raises:
            UnauthorizedError: the key is missing or unknown.
        """
        key = _key_in(headers)
        if not key:
            detail = "send an API key as `Authorization: Bearer …` or `X-API-Key: …`"
            raise UnauthorizedError(detail, headers={"WWW-Authenticate": _CHALLENGE})
        digest, is_known = sha256(key.encode("utf-8", "surrogatepass")).digest(), False
        for accepted in self._accepted():
            is_known |= hmac.compare_digest(digest, accepted)  # compare all: the time must reveal nothing
        if not is_known:
            challenge = f'{_CHALLENGE}, error="invalid_token"'
            raise UnauthorizedError(
                "the API key is not valid for this service", headers={"WWW-Authenticate": challenge}
            )

    def accepts(self, headers: Headers) -> bool:
        """Whether a request has an accepted key."""
        try:
            self.require(headers)
        except UnauthorizedError:
            return False
        return True

    def _accepted(self) -> tuple[bytes, ...]:
        now = time.monotonic()
        if self._file and now - self._checked > _CHECK_SECONDS:
            self._checked = now
            self._reload(self._file)
        return self._fixed + self._listed

    def _reload(self, file: Path) -> None:
        """Read the file again if it has changed; if it can't be read, keep the keys and log that once."""
        state: tuple[int, ...] | None = None
        try:
            state = _file_state(file)
            if state == self._file_state:
                return
            self._listed = _read_hashes(file)
            _log.warning("%s has changed: %d API keys are now valid", file, len(self._fixed + self._listed))
        except (OSError, ValueError) as error:
            if state != self._file_state:
                _log.error("%s: the previous API keys stay valid", _message(error))
        self._file_state = state


def make() -> tuple[str, str]:
    """A new key, and its hash."""
    key = f"menagerie_{secrets.token_urlsafe(32)}"
    return key, sha256(key.encode()).hexdigest()


def _key_in(headers: Headers) -> str:
    key = headers.get("x-api-key", "").strip()
    authorization = headers.get("authorization", "")
    is_bearer = authorization[: len(_BEARER)].lower() == _BEARER
    return key or (authorization[len(_BEARER) :].strip() if is_bearer else "")


def _file_state(file: Path) -> tuple[int, ...]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_hashes(file: Path) -> tuple[bytes, ...]:
    with file.open("rb") as stream:
        content = stream.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(f"{file} is longer than {_MAX_FILE_BYTES} bytes: it must have one hash per line")
    return _parse_hashes(content.decode("utf-8", "replace"), str(file))


def _parse_hashes(text: str, source: str) -> tuple[bytes, ...]:
    lines = [line.partition("#")[0] for line in text.splitlines()]
    words = [word for line in lines for word in line.replace(",", " ").split()]
    for number, word in enumerate(words, 1):
        if not _HASH.fullmatch(word.lower()):  # it may be a key, so it is not repeated
            raise ValueError(
                f"hash {number} in {source} is not a SHA-256 in hex: create one with `python -m service.keys`"
            )
    return tuple(bytes.fromhex(word) for word in words)


def _message(error: OSError | ValueError) -> str:
    return f"cannot read {error.filename} ({error.strerror})" if isinstance(error, OSError) else str(error)
