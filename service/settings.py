"""``MENAGERIE_*`` from the environment, read once into one frozen object."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.http.errors import StartupError

PREFIX = "MENAGERIE_"
SHIPPED_STORE = Path(__file__).resolve().parent.parent / "models" / "store"


class Settings(BaseSettings):
    """How this service is set up. docs/settings.md documents every field; a test compares."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    model_store: Annotated[Path, Field(description="folder that holds `<name>/<version>/`")] = SHIPPED_STORE
    model_name: Annotated[str, Field(min_length=1, description="the model to serve")] = "animals"
    model_dir: Annotated[
        Path | None,
        Field(description="a bundle's folder, or one of `<version>/`, to serve by that name instead of the store's"),
    ] = None
    model_version: Annotated[
        int | None,
        Field(ge=1, description="serve this version; unless set, the one that `CURRENT` names or the newest"),
    ] = None
    keep_versions: Annotated[int, Field(ge=1, description="versions kept loaded, for paths that name one")] = 2
    poll_seconds: Annotated[
        float, Field(ge=0, description="between two looks at the store for new versions; 0: none")
    ] = 5
    engine: Annotated[
        Literal["litert", "keras"], Field(description="what computes the network; `keras` needs the extra of that name")
    ] = "litert"
    max_rows: Annotated[int, Field(ge=1, description="rows in one `instances` request")] = 10_000
    max_body_bytes: Annotated[int, Field(ge=1, description="bytes in one request's body; beyond: 413")] = 4_194_304
    max_errors: Annotated[int, Field(ge=1, description="faults told in one answer; the rest is left out")] = 100
    inline_bytes: Annotated[int, Field(ge=0, description="longer bodies are worked on beside the event loop")] = 16_384
    threads: Annotated[int, Field(ge=1, description="threads of a worker for those, and for what Flask answers")] = 2
    max_concurrency: Annotated[
        int, Field(ge=1, description="requests that a worker works on, or lets wait, beside the loop; beyond: 503")
    ] = 64
    max_pending_bytes: Annotated[
        int, Field(ge=1, description="bytes of unanswered bodies beside the short way in one worker; beyond: 503")
    ] = 67_108_864
    max_connections: Annotated[
        int, Field(ge=1, description="open connections of a worker; for one more, the longest idle is closed, or: 503")
    ] = 16_384
    queue_seconds: Annotated[
        float, Field(gt=0, description="a new caller's wait to be let in; no more may wait than are let in within that")
    ] = 0.25
    head_seconds: Annotated[float, Field(gt=0, description="from a request's first byte to the end of its head")] = 10
    body_seconds: Annotated[float, Field(gt=0, description="for a whole body to come in; beyond: 408")] = 10
    write_seconds: Annotated[float, Field(gt=0, description="for a caller to take an answer")] = 10
    drain_seconds: Annotated[float, Field(ge=0, le=20, description="between not ready and the end, on SIGTERM")] = 3
    fast_path: Annotated[
        bool,
        Field(
            description="answer simple requests straight from their bytes; off: by gunicorn, at over twice the CPU time"
        ),
    ] = True
    acceptor: Annotated[
        bool,
        Field(description="accept no more connections than are served in time; off: any number, and a backlog of 100"),
    ] = True
    timeouts: Annotated[
        bool,
        Field(description="enforce the seconds of heads, bodies and writes, and `MENAGERIE_MAX_CONNECTIONS`"),
    ] = True
    api_keys: Annotated[str, Field(description="SHA-256 of each API key that may ask, commas between")] = ""
    api_keys_file: Annotated[Path | None, Field(description="file with one a line, read again when it changes")] = None
    cors_origins: Annotated[
        str, Field(description="origins whose pages may ask, commas between: `https://example.org`")
    ] = ""
    grace_seconds: Annotated[
        float, Field(gt=0, description="between SIGTERM and SIGKILL on the platform; the others are checked against it")
    ] = 30
    drift_rows: Annotated[
        int, Field(ge=100, le=1_000_000, description="last rows that are held against the training rows")
    ] = 1_000
    drift_psi: Annotated[
        float, Field(gt=0, description="population stability index from which on they have shifted")
    ] = 0.2
    log_format: Annotated[
        Literal["auto", "json", "text"], Field(description="of a log line; `auto`: text on a terminal, else JSON")
    ] = "auto"
    log_rate: Annotated[
        float, Field(ge=0, description="answered requests a second that a worker logs; the others are counted")
    ] = 100
    log_failure_rate: Annotated[float, Field(ge=0, description="failed requests a second that it logs; likewise")] = 100
    server_timing: Annotated[bool, Field(description="`Server-Timing` on every answer: where its time went")] = True

    @property
    def requires_key(self) -> bool:
        """Whether any API keys are set, so that requests need one."""
        return bool(self.api_keys or self.api_keys_file)

    @classmethod
    def load(cls) -> "Settings":
        """The settings of this process.

        Raises:
            StartupError: a name is unknown (pydantic-settings would ignore it) or a value does not fit.
        """
        known = [PREFIX + name.upper() for name in cls.model_fields]
        for name in os.environ:
            if name.upper().startswith(PREFIX) and name.upper() not in known:
                near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)[0]
                raise StartupError(f"{name} is not a setting: did you mean {near}? (docs/settings.md lists them all)")
        try:
            return cls()
        except ValidationError as error:
            fault = error.errors()[0]
            raise StartupError(f"{PREFIX}{str(fault['loc'][0]).upper()} does not fit: {fault['msg']}") from None
