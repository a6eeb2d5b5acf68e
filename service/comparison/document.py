"""The types of a comparison's report, which is a JSON document."""

from typing import Literal, final

from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12


class RowShare(TypedDict):
    """So many rows, their share of all that were compared, and its 95 % confidence interval; null without any row."""

    rows: int
    share: float | None
    low: float | None
    high: float | None


class Bucket(TypedDict):
    """The rows with a value greater than ``above`` and up to ``upto``; null: no bound on that side."""

    above: float | None
    upto: float | None
    rows: int


class Range(TypedDict):
    """A range of a feature's values, the ``rows`` in it, and how many of these ``changed``.

    A number has ``above`` and ``upto``, of which null is no bound; a category has its ``category``. Both are null for
    missing values, and for categories that are counted together: ``says`` names every range in words.
    """

    feature: str
    says: str
    above: float | None
    upto: float | None
    category: str | None
    rows: int
    changed: int
    share: float


class _Change(TypedDict):
    """A change in words, and its ``rows``.

    ``mostly`` is the range with clearly more of them than of all rows, or than of all rows with the label that changes:
    its ``rows`` are of these. Null if there is no such range, or if it is not counted.
    """

    says: str
    rows: int
    mostly: Range | None


_FromTo = TypedDict("_FromTo", {"from": str, "to": str})


@final
class LabelChange(_FromTo, _Change):
    """Rows with one label in the serving version and another in the shadow."""


@final
class MemberChange(_Change):
    """Rows that only the shadow, or only the serving version, gives a label."""

    label: str
    change: Literal["gained", "lost"]


@final
class TargetChange(_Change):
    """Rows for which the shadow predicts more, or less, than the serving version, by more than the tolerance."""

    target: str
    change: Literal["higher", "lower"]


Change = LabelChange | MemberChange | TargetChange


class OtherChanges(TypedDict):
    """How many more ``changes`` there are than are listed, and their rows; a row may have several."""

    changes: int
    rows: int


class LabelCounts(TypedDict):
    """The rows with a label in each version, how many the shadow takes away and adds, and how its probability moved.

    ``mean_shift`` is the mean of the shadow's probability minus the serving version's; null without any row.
    """

    serving: int
    shadow: int
    lost: int
    gained: int
    mean_shift: float | None


class Movement(TypedDict):
    """How far a row's probabilities moved: the largest absolute difference, its mean and histogram over all rows."""

    mean: float | None
    histogram: list[Bucket]


class OutputReport(TypedDict):
    """What all kinds of outputs have.

    ``changes`` are the most frequent first. ``ranges`` are those with the greatest shares of changed rows; null if the
    feature ranges are unknown. If they are not counted for each change, which ``omitted`` then says in words,
    ``mostly`` is the range with clearly more of the changed rows than of all rows.
    """

    name: str
    agree: RowShare
    other_changes: OtherChanges
    mostly: Range | None
    ranges: list[Range] | None
    omitted: list[str]


class ClassificationReport(OutputReport):
    """An output with one label for each row. With more than 200 labels, ``changes`` are by label instead of by pair."""

    kind: Literal["classification"]
    changes: list[LabelChange] | list[MemberChange]
    labels: dict[str, LabelCounts]
    moved: Movement


class MultiLabelReport(OutputReport):
    """An output with any number of labels for each row; versions agree on a row if they give it the same ones."""

    kind: Literal["multi_label"]
    changes: list[MemberChange]
    labels: dict[str, LabelCounts]
    moved: Movement


class TargetReport(TypedDict):
    """The shadow's predictions of a target minus those of the serving version.

    Versions agree up to ``tolerance``, 1 % of the ``spread``: that of what the model predicts for its sample, from the
    5 % to the 95 % quantile. Without a sample both are null, and versions agree up to 1 % of the predicted value.
    """

    unit: str
    spread: float | None
    tolerance: float | None
    agree: RowShare
    mean: float | None
    root_mean_square: float | None
    histogram: list[Bucket]


class RegressionReport(OutputReport):
    """An output with numbers for each row; versions agree on a row if they agree on each target."""

    kind: Literal["regression"]
    changes: list[TargetChange]
    targets: dict[str, TargetReport]


class RangeLimits(TypedDict):
    """A range of a feature is reported from so many rows, and so many changed rows, on."""

    rows: int
    changed: int


class Report(TypedDict):
    """What would change if the ``shadow`` version served in place of the ``serving`` one.

    ``agree`` has the rows for which all outputs agree. There is no verdict on less than ``least_rows`` rows.
    ``ranges_reason`` says why no feature ranges are known; null if they are.
    """

    model: str
    serving: str
    shadow: str
    verdict: str
    rows: int
    least_rows: int
    agree: RowShare
    outputs: list[ClassificationReport | MultiLabelReport | RegressionReport]
    ranges_reason: str | None
    range_limits: RangeLimits
