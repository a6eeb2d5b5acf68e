"""Schemas of the report on a shadow version."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.comparison.document import Report
from service.openapi.model_types import ModelTypes, Share, closed

Rows = Annotated[int, Field(ge=0)]


@closed
class DroppedRows(TypedDict):
    """Rows that were not computed: the worker had no time to spare, the shadow did not keep up, the worker exited."""

    overload: Rows
    queue: Rows
    exit: Rows


@closed
class FailedRows(TypedDict):
    """Rows without a prediction: the shadow's network overflowed or failed, or the shadow does not take the values."""

    network: Rows
    input: Rows


@closed
class ShadowReport(Report):
    """What would change if the shadow served, and the rows that were not compared.

    The counts are of all workers, ``since`` the first of them began; null if none has. ``share``: of the requests.
    """

    since: str | None
    share: Share
    dropped: DroppedRows
    failed: FailedRows


@closed
class NoShadow(TypedDict):
    """No version is compared; ``reason`` says why."""

    model: str
    serving: str
    shadow: None
    reason: str


def named_types(_: ModelTypes) -> list[Any]:
    """All schemas of this module."""
    return [ShadowReport, NoShadow]
