"""Single changes of predictions in words."""

from collections.abc import Mapping
from typing import Any

_VERBS = {"gained": "gain", "lost": "lose", "higher": "raise", "lower": "lower"}


def describe_change(change: Mapping[str, Any]) -> str:
    """A change by itself: `dog -> cat`, `gains warm`, `raises price`."""
    return f"{_VERBS[change['change']]}s {_subject(change)}" if "change" in change else _subject(change)


def describe_share(change: Mapping[str, Any], count: str) -> str:
    """A change as what ``count``, such as "3 of 4 changes", do: `are dog -> cat`, `gain warm`, `raise price`."""
    return f"{count} {_VERBS.get(change.get('change', ''), 'are')} {_subject(change)}"


def _subject(change: Mapping[str, Any]) -> str:
    if "from" in change:
        return f"{change['from']} -> {change['to']}"
    return str(change["label"] if "label" in change else change["target"])
