"""``MENAGERIE_*`` from the environment, read once into one frozen object."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.bundle import is_path_name
from service.http.errors import StartupError

PREFIX = "MENAGERIE_"
ALL_MODELS = "*"
_DAY = 86_400  # seconds; more is a mistake, and some clocks and sockets do not take it
ROUTE = r"^(/[A-Za-z0-9._~:-]+)+$"  # a path that has one spelling only
SHIPPED_STORE = Path(__file__).resolve().parent.parent / "models" / "store"


class Settings(BaseModel):
    """How this service is set up. docs/settings.md documents every field; a test compares.

    pydantic-settings would read the environment too, but its import is a tenth of the service's start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model_store: Annotated[Path, Field(description="folder with the models, as `<name>/<version>/`")] = SHIPPED_STORE
    model_name: Annotated[
        str, Field(min_length=1, description="name of the model to serve; of several, the default one")
    ] = "animals"
    models: Annotated[
        str,
        Field(
            description="comma-separated names of the models to serve, or `*` for all in the store; if not set, only "
            "`MENAGERIE_MODEL_NAME`",
        ),
    ] = ""
    ready: Annotated[
        Literal["all", "any"],
        Field(description="`/readyz` is 200 when `all` models that these settings name are loaded, or when `any` is"),
    ] = "all"
    model_dir: Annotated[
        Path | None,
        Field(description="folder to serve instead of the store: one bundle, or several as `<version>/`"),
    ] = None
    model_version: Annotated[
        int | None,
        Field(ge=1, description="version to serve; if not set, the one that `CURRENT` names, else the newest"),
    ] = None
    keep_versions: Annotated[
        int, Field(ge=1, description="number of versions to keep loaded, for paths with a version")
    ] = 2
    poll_seconds: Annotated[
        float,
        Field(
            ge=0, le=_DAY, description="seconds between polls of the model store for new versions; 0 disables polling"
        ),
    ] = 5
    engine: Annotated[
        Literal["litert", "keras"],
        Field(description="engine that runs the network; `keras` needs the extra of that name"),
    ] = "litert"
    max_rows: Annotated[int, Field(ge=1, description="maximum number of rows in a request")] = 10_000
    max_explained_rows: Annotated[
        int, Field(ge=1, description="maximum number of rows in a request for explanations under `/v1`")
    ] = 16
    max_explained_connections: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="maximum number of connections of an adopted network to show layer by layer",
        ),
    ] = 50_000
    shapley_evaluations: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="maximum number of rows predicted for one explanation's sampled Shapley values",
        ),
    ] = 40_000
    max_body_bytes: Annotated[
        int, Field(ge=1, description="maximum size of a request's body in bytes; larger ones get 413")
    ] = 4_194_304
    max_errors: Annotated[int, Field(ge=1, description="maximum number of errors listed in a 422 response")] = 100
    inline_bytes: Annotated[
        int,
        Field(ge=0, description="requests with a longer body, in bytes, run in a thread instead of on the event loop"),
    ] = 16_384
    threads: Annotated[
        int,
        Field(
            ge=1,
            description="threads per worker, for long bodies and for routes that are not on the event loop",
        ),
    ] = 2
    max_concurrency: Annotated[
        int,
        Field(ge=1, description="maximum number of requests per worker that run in or wait for a thread; more get 503"),
    ] = 64
    max_pending_bytes: Annotated[
        int,
        Field(
            ge=1,
            description="maximum bytes of request bodies that a worker holds, except on the fast path; more get 503",
        ),
    ] = 67_108_864
    max_connections: Annotated[
        int,
        Field(
            ge=1,
            description="maximum open connections per worker; one more closes the longest idle one, or gets 503",
        ),
    ] = 16_384
    queue_seconds: Annotated[
        float,
        Field(
            gt=0, le=_DAY, description="target queueing delay in seconds for new connections; sizes the listen backlog"
        ),
    ] = 0.25
    head_seconds: Annotated[
        float,
        Field(gt=0, le=_DAY, description="timeout in seconds for a request's head to arrive; then 408"),
    ] = 10
    body_seconds: Annotated[
        float, Field(gt=0, le=_DAY, description="timeout in seconds for a whole request body; then 408")
    ] = 10
    write_seconds: Annotated[
        float, Field(gt=0, le=_DAY, description="timeout in seconds for a client to read a response")
    ] = 10
    linger_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=_DAY,
            description="seconds to discard what a client still sends after an early response, before closing; 0: none",
        ),
    ] = 30
    drain_seconds: Annotated[
        float, Field(ge=0, le=20, description="seconds to keep serving after SIGTERM, while `/readyz` returns 503")
    ] = 3
    health_port: Annotated[
        int,
        Field(
            ge=0,
            le=65_535,
            description="port for health probes, answered at once however busy the workers are; 0: none",
        ),
    ] = 0
    fast_path: Annotated[
        bool,
        Field(description="handle simple requests straight from their bytes; off: at over twice the CPU time"),
    ] = True
    acceptor: Annotated[
        bool,
        Field(description="accept only connections that can be served in time; off: all, with a backlog of 100"),
    ] = True
    timeouts: Annotated[
        bool,
        Field(description="enforce the timeouts of head, body and write, and `MENAGERIE_MAX_CONNECTIONS`"),
    ] = True
    platform: Annotated[
        Literal["none", "sagemaker", "vertex", "azureml"],
        Field(description="cloud platform whose routes are served too; if not set, found in the environment"),
    ] = "none"
    vertex_health_route: Annotated[
        str, Field(pattern=ROUTE, description="path of Vertex AI's health checks; `AIP_HEALTH_ROUTE` sets it")
    ] = "/health"
    vertex_predict_route: Annotated[
        str, Field(pattern=ROUTE, description="path of Vertex AI's predictions; `AIP_PREDICT_ROUTE` sets it")
    ] = "/predict"
    api_keys: Annotated[str, Field(description="comma-separated SHA-256 hashes of the valid API keys")] = ""
    api_keys_file: Annotated[
        Path | None, Field(description="file with one hash per line; read again when it changes")
    ] = None
    cors_origins: Annotated[
        str, Field(description="comma-separated origins allowed by CORS, such as `https://example.org`")
    ] = ""
    grace_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=_DAY,
            description="seconds between SIGTERM and SIGKILL on the platform; other timeouts are checked against it",
        ),
    ] = 30
    drift_rows: Annotated[
        int, Field(ge=100, le=1_000_000, description="number of recent rows that are compared with the training rows")
    ] = 1_000
    drift_psi: Annotated[
        float,
        Field(gt=0, description="population stability index at which a feature or the labels count as shifted"),
    ] = 0.2
    shadow_share: Annotated[
        float,
        Field(ge=0, le=1, description="share of the requests whose rows are compared with the shadow's predictions"),
    ] = 1
    shadow_rows: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="maximum number of rows per worker that wait for the shadow; more are not compared",
        ),
    ] = 10_000
    log_format: Annotated[
        Literal["auto", "json", "text"], Field(description="format of log lines; `auto`: text on a terminal, else JSON")
    ] = "auto"
    log_rate: Annotated[
        float,
        Field(
            ge=0,
            description="successful requests per second that a worker logs at most; the others are counted",
        ),
    ] = 100
    log_failure_rate: Annotated[
        float,
        Field(ge=0, description="failed requests per second that a worker logs at most; the others are counted"),
    ] = 100
    server_timing: Annotated[
        bool, Field(description="send `Server-Timing` with every response: the time of each stage")
    ] = True

    @property
    def requires_key(self) -> bool:
        """Whether any API keys are set, so that requests need one."""
        return bool(self.api_keys or self.api_keys_file)

    @property
    def model_names(self) -> list[str]:
        """The names of the models to serve, the default one first; it alone with ``*``, if it was set."""
        names = [] if self.models in {"", ALL_MODELS} else _split_names(self.models)
        if self.model_name in names or "model_name" in self.model_fields_set or not self.models:
            names.insert(0, self.model_name)
        return list(dict.fromkeys(names))

    @property
    def default_model(self) -> str:
        """The name of the model that answers paths without a name, if it is there."""
        return next(iter(self.model_names), self.model_name)

    @field_validator("models")
    @classmethod
    def _require_names(cls, models: str) -> str:
        models = models.strip()
        for name in _split_names(models) if models not in {"", ALL_MODELS} else ():
            if name == ALL_MODELS or not is_path_name(name):
                raise ValueError(f"{name!r} is not the name of a model: set it to names with commas between, or to *")
        return models

    @classmethod
    def load(cls) -> "Settings":
        """The settings of this process; a variable that is empty counts as unset.

        Raises:
            StartupError: a name is unknown or a value does not fit.
        """
        fields = {PREFIX + name.upper(): name for name in cls.model_fields}
        given = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
        for name in given:
            if name.upper() not in fields:
                near = difflib.get_close_matches(name.upper(), fields, n=1, cutoff=0)[0]
                raise StartupError(
                    f"{name} is not a setting: did you mean {near}? (docs/settings.md lists all settings)"
                )
        try:
            settings = cls.model_validate({fields[name.upper()]: value for name, value in given.items() if value})
        except ValidationError as error:
            fault = error.errors()[0]
            message = fault["msg"].removeprefix("Value error, ")
            raise StartupError(f"{PREFIX}{str(fault['loc'][0]).upper()} is invalid: {message}") from None
        if settings.models and settings.model_dir:
            raise StartupError(
                f"{PREFIX}MODELS and {PREFIX}MODEL_DIR exclude each other: unset one of them; "
                f"models have names in {PREFIX}MODEL_STORE only"
            )
        return settings


def _split_names(models: str) -> list[str]:
    return [name.strip() for name in models.split(",")]
