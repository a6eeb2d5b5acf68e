"""Whether a new version of a model takes every row that its clients send, and gives what they read."""

from models.bundle import BundleError
from models.feature import Feature, describe_category
from service.inference.model import Model


def require_same_schema(model: Model, serving: Model) -> None:
    """Refuse a version with other features or outputs, on which clients rely; bounds and thresholds may differ.

    Raises:
        BundleError: the message says which feature differs, if the names are the same.
    """
    if difference := describe_difference(model, serving, "the serving version"):
        raise BundleError(f"{difference}: restart to serve it")


def describe_difference(model: Model, serving: Model, serving_name: str) -> str:
    """In which way a version has another schema than the one that serves; empty if it does not."""
    new, old = (
        (
            [(feature.name, feature.unit) for feature in each.features],
            each.manifest.input_tensors,
            [(head.name, head.kind, head.labels, head.targets) for head in each.manifest.heads],
        )
        for each in (model, serving)
    )
    reason = ""
    if new == old:
        changes = map(find_change, model.features, serving.features)
        reason = next((f" ({change})" for change in changes if change), "")
        if not reason:
            return ""
    return f"{model.bundle.folder} has other features, labels or outputs than {serving_name}{reason}"


def find_change(new: Feature, old: Feature) -> str:
    """Why a value that was valid is not any more, or means something else; empty if neither.

    More is allowed than before: further categories, other values than the known ones, missing values.
    """
    name = old.name
    if (new.kind, new.is_category and new.category_type) != (old.kind, old.is_category and old.category_type):
        return f"{name} is of another kind or type"
    if not old.is_required and new.is_required:
        return f"{name} must not be missing any more"
    if old.default is not None and new.default != old.default:
        return f"{name} has another default"
    if new.allow_other or new.hashing:
        return ""
    if old.allow_other or old.hashing:
        return f"{name} must be one of the known categories now"
    known = set(new.categories)
    gone = [category for category in old.categories if category not in known]
    return f"{name} has no {describe_category(gone[0])!r} any more" if gone else ""
