"""What a model's lookups say of a column: its categories, what an unknown or a missing value means, its bins."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adoption.errors import AdoptionError
from models.feature import MAX_CATEGORIES, Category, Feature, Hashing
from models.hashing import hash_to_bin
from models.tensorflow_setup import keras

MAX_INDEX_CATEGORIES = 1000  # indices straight into an Embedding or a CategoryEncoding; more are an integer
_LOOKUPS = (keras.layers.StringLookup, keras.layers.IntegerLookup)
_INDEXED = (keras.layers.CategoryEncoding, keras.layers.Embedding)
ENCODING_LAYERS = (*_LOOKUPS, *_INDEXED, keras.layers.Hashing, keras.layers.Discretization)


@dataclass(frozen=True)
class RawColumn:
    """One column of the model's input, as the layers that read it take it.

    ``categories`` or ``hashing`` are there for a category only; ``size`` for an integer that is an index below it,
    ``boundaries`` for a number that falls into bins. ``has_other``: a value in no vocabulary means something, and
    ``why_no_other`` says why not. ``mask`` is the value that stands for a missing one, if the lookups have it.
    ``accepts_nan``: the model gives finite numbers where a number is missing. ``warning`` says which values the model
    can take and the service cannot.
    """

    is_text: bool = False
    is_integer: bool = False
    categories: tuple[Category, ...] = ()
    hashing: Hashing | None = None
    size: int | None = None
    boundaries: tuple[float, ...] = ()
    has_other: bool = False
    why_no_other: str = ""
    mask: Category | None = None
    accepts_nan: bool = False
    warning: str = ""

    @property
    def is_category(self) -> bool:
        return bool(self.categories or self.hashing)

    @cached_property
    def _known(self) -> frozenset[Category]:
        return frozenset(self.categories)

    @property
    def can_be_missing(self) -> bool:
        """Whether a missing value can be given to the model: as its mask, as an unknown value, or as NaN."""
        return self.mask is not None or self.has_other or self.accepts_nan

    @property
    def missing_value(self) -> Any:
        """What the model gets for a missing value."""
        if not self.is_category:
            return np.nan
        if self.mask is not None:
            return self.mask
        if self.is_text:
            return self.unknown_value if "" in self._known else ""
        return 0 if self.hashing else self.unknown_value

    @property
    def unknown_value(self) -> Any:
        """A value that is in no vocabulary."""
        if self.is_text:
            candidates = itertools.chain(("unknown", "other"), map(str, itertools.count()))
            return next(text for text in candidates if text not in self._known)
        integers = [each for each in self.categories if isinstance(each, int)]
        return max(integers) + 1 if max(integers) < np.iinfo(np.int32).max else min(integers) - 1

    @property
    def example(self) -> Any:
        """A value that the model can take."""
        if self.hashing:
            return "" if self.is_text else 0
        return self.categories[0] if self.categories else 0

    def to_raw(self, values: Sequence[Any]) -> NDArray[Any]:
        """What the model gets for the values of a table or a request; None is a missing one."""
        filled = [self.missing_value if value is None else value for value in values]
        return np.array(filled, (object if self.is_text else np.int64) if self.is_category else np.float32)

    def values(self, feature: Feature) -> NDArray[Any] | None:
        """A raw value for each code of a category, the missing one last; None for a number, which is its own code."""
        if not self.is_category:
            return None
        known = _find_words(self.hashing) if self.hashing else self.categories
        listed = [*known, *([self.unknown_value] if feature.allow_other else []), self.missing_value]
        return np.array(listed, object if self.is_text else np.int64)


NUMBER = RawColumn()


def step_from(edges: NDArray[np.float32], direction: float) -> NDArray[np.float32]:
    """The float32 next to each edge, towards minus or plus infinity.

    Next to 0 it is the smallest normal one, because TensorFlow takes subnormal numbers for 0.
    """
    stepped = np.nextafter(edges, np.float32(direction))
    tiny = np.finfo(np.float32).tiny
    return np.where(np.abs(stepped) < tiny, np.copysign(tiny, np.float32(direction)), stepped)


def describe_column(layers: Sequence[Any], dtype: str, *, is_used_raw: bool) -> RawColumn:
    """What the ``layers`` that read a column say of it. ``is_used_raw``: the network itself reads it too.

    Raises:
        AdoptionError: they cannot be encoders together.
    """
    is_text, is_integer = dtype == "string", dtype.startswith(("int", "uint"))
    if dtype == "bool":
        return RawColumn(categories=(False, True), why_no_other="a truth value is true or false")
    lookups = [layer for layer in layers if isinstance(layer, _LOOKUPS)]
    hashings = [layer for layer in layers if isinstance(layer, keras.layers.Hashing)]
    sizes = [_index_count(layer) for layer in layers if isinstance(layer, _INDEXED)]
    boundaries = sorted(set(_list_boundaries(layers)))
    if hashings:
        hashing = _describe_hashing(hashings, is_text=is_text)
        if lookups or sizes or boundaries or is_used_raw:
            raise _conflict(hashings[0], "another layer reads the same column")
        mask = hashings[0].mask_value
        return RawColumn(is_text=is_text, hashing=hashing, mask=None if mask is None else str(mask))
    if lookups:
        return _describe_lookups(lookups, sizes, is_text=is_text, is_used_raw=is_used_raw or bool(boundaries))
    if sizes and min(sizes) <= MAX_INDEX_CATEGORIES:
        return RawColumn(
            categories=tuple(range(min(sizes))),
            why_no_other="the layer has no other rows",
        )
    if sizes:
        whole = (float(index) for index in range(1, min(sizes)))
        return RawColumn(is_integer=True, size=min(sizes), boundaries=tuple(sorted({*whole, *boundaries})))
    return RawColumn(is_integer=is_integer, boundaries=tuple(boundaries))


def _describe_lookups(lookups: Sequence[Any], sizes: Sequence[int], *, is_text: bool, is_used_raw: bool) -> RawColumn:
    vocabularies = [_read_vocabulary(lookup) for lookup in lookups]
    masks = {lookup.mask_token for lookup in lookups}
    mask = masks.pop() if len(masks) == 1 else None
    closed = [set(words) for words, each in zip(vocabularies, lookups, strict=True) if each.num_oov_indices == 0]
    if sizes:
        closed.append({*range(min(sizes))})
    union = dict.fromkeys(word for words in vocabularies for word in words)
    categories = [word for word in union if all(word in words for words in closed)]
    if mask is not None and (not sizes or mask in range(min(sizes))):
        mask = mask if is_text else int(mask)
        categories = [mask, *(word for word in categories if word != mask)]
    reason = _find_reason(lookups, is_closed=bool(closed), is_used_raw=is_used_raw)
    if not categories:
        raise AdoptionError(f"layer {lookups[0].name} has an empty vocabulary: call its adapt(), and train again")
    if len(categories) > MAX_CATEGORIES:
        raise AdoptionError(
            f"layer {lookups[0].name} has {len(categories):,} categories, more than {MAX_CATEGORIES:,}: set max_tokens"
        )
    return RawColumn(
        is_text=is_text,
        categories=tuple(categories),
        has_other=not reason,
        why_no_other=reason,
        mask=mask,
        warning=f"an unknown value is an error, because {reason}" if reason and not closed else "",
    )


def _find_reason(lookups: Sequence[Any], *, is_closed: bool, is_used_raw: bool) -> str:
    """Why an unknown value has no meaning of its own; empty if it has one."""
    if is_closed:
        return "the layer has no index for unknown values"
    if several := [each.name for each in lookups if each.num_oov_indices > 1]:
        return f"layer {several[0]} has several indices for unknown values, chosen by their hash"
    return "the network takes the value itself too" if is_used_raw else ""


def _read_vocabulary(lookup: Any) -> list[Category]:
    words = lookup.get_vocabulary(include_special_tokens=False)
    return [int(word) if isinstance(lookup, keras.layers.IntegerLookup) else str(word) for word in words]


def _index_count(layer: Any) -> int:
    count: int = layer.num_tokens if isinstance(layer, keras.layers.CategoryEncoding) else layer.input_dim
    return count


def _list_boundaries(layers: Sequence[Any]) -> Iterator[float]:
    """The boundaries of discretizations, in float32, in which they are compared."""
    for layer in layers:
        if isinstance(layer, keras.layers.Discretization):
            if layer.bin_boundaries is None:
                raise AdoptionError(f"layer {layer.name} has no boundaries: call its adapt(), and train again")
            yield from map(float, np.array(layer.bin_boundaries, np.float32))


def _describe_hashing(layers: Sequence[Any], *, is_text: bool) -> Hashing:
    layer = layers[0]
    if any(
        (other.num_bins, other.salt, other.mask_value) != (layer.num_bins, layer.salt, layer.mask_value)
        for other in layers
    ):
        raise _conflict(layer, "another Hashing of the same column differs from it")
    if layer.mask_value not in (None, "") or (layer.mask_value == "" and not is_text):
        raise _conflict(layer, f"its mask_value is {layer.mask_value!r}, but only an empty text can be a missing value")
    bins = layer.num_bins - (layer.mask_value is not None and layer.num_bins > 1)
    if bins > MAX_CATEGORIES:
        raise _conflict(layer, f"it has {bins:,} bins, more than {MAX_CATEGORIES:,}")
    salt = None if layer.salt is None else (int(layer.salt[0]), int(layer.salt[1]))
    return Hashing(bins=bins, salt=salt, type="text" if is_text else "integer")


def _find_words(hashing: Hashing) -> list[Any]:
    """A value for each bin, found among so many that it is practically certain that none stays empty."""
    found: dict[int, Any] = {}
    for number in range(40 * hashing.bins + 1000):
        value = f"value {number}" if hashing.type == "text" else number
        found.setdefault(hash_to_bin(str(value), hashing.bins, hashing.salt), value)
        if len(found) == hashing.bins:
            break
    return [found[index] for index in range(hashing.bins)]


def _conflict(layer: Any, reason: str) -> AdoptionError:
    return AdoptionError(
        f"layer {layer.name} ({type(layer).__name__}) cannot become an encoder: {reason}; change it, or encode the "
        "column before the model"
    )
