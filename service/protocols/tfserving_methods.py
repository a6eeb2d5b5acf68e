"""Which of TensorFlow Serving's methods a model has: all have `:predict`, some `:classify` or `:regress`."""

from collections.abc import Sequence

from models.manifest import Manifest
from service.http.errors import BadInstancesError
from service.inference.model import Model

_MAX_NAMES = 5  # in an error


def has_classes(manifest: Manifest) -> bool:
    """Whether a model is a single classification."""
    return bool(manifest.class_labels)


def has_one_value(manifest: Manifest) -> bool:
    """Whether a model is a regression with one target."""
    return [(head.kind, len(head.targets)) for head in manifest.heads] == [("regression", 1)]


def refuse_method(model: Model, required: str) -> BadInstancesError:
    """The error for a method that needs a model of another kind; it says what the model is, and what to use."""
    verb = (
        "`:classify` or " if has_classes(model.manifest) else "`:regress` or " if has_one_value(model.manifest) else ""
    )
    return BadInstancesError(f"{_describe(model.manifest)}, not {required}: use {verb}`:predict`")


def _describe(manifest: Manifest) -> str:
    heads = manifest.heads
    if len(heads) > 1:
        return f"the model has several outputs ({_enumerate([head.name for head in heads])})"
    what = {"classification": "a classification", "multi_label": "a classification with independent labels"}
    return f"the model is {what.get(heads[0].kind, 'a regression')} ({_enumerate(heads[0].column_names)})"


def _enumerate(names: Sequence[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
