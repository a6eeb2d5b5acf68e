"""Which columns of a sample the model takes, in which order, and which have the right answers."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.adoption.errors import AdoptionError
from models.adoption.options import split_names
from models.names import normalize_name
from models.signature import Input
from models.tables.findings import count

MAX_LISTED = 100
BY_NAME = "by the names of the model's inputs"
BY_OPTION = "as --columns says"
BY_SAMPLE = "in the sample's order"
NUMBERED = "by number, because neither the model nor --columns names them"


class ColumnOrder(NamedTuple):
    """The columns in the order in which the model takes them, and why this order was taken."""

    names: tuple[str, ...]
    reason: str


def order_columns(
    inputs: Sequence[Input], candidates: Sequence[str] | None, chosen: Sequence[str], sample: str = "the sample"
) -> ColumnOrder:
    """Decide on the columns that the model takes.

    ``candidates`` are the sample's columns without labels, in its order; None without a sample. ``chosen`` are those of
    ``--columns``, empty if it is not given.

    Raises:
        AdoptionError: the columns do not fit the model.
    """
    if chosen:
        return ColumnOrder(_check_chosen(inputs, candidates, chosen, sample), BY_OPTION)
    own_names = _names_of_single_columns(inputs)
    if candidates is None:
        if own_names:
            return ColumnOrder(own_names, BY_NAME)
        return ColumnOrder(_number_columns(inputs), NUMBERED)
    if own_names and (matched := _match(own_names, candidates, sample)):
        return ColumnOrder(matched, BY_NAME)
    _check_count(inputs, candidates, f"{sample} has", "name those that it takes, in its order, with --columns")
    return ColumnOrder(tuple(candidates), BY_SAMPLE)


def assign_labels(given: Sequence[str], outputs: Sequence[str], known: Sequence[str]) -> dict[str, list[str]]:
    """Which columns have the right answers of which output, from the values of ``--label``.

    ``outputs`` are the names of the model's outputs, ``known`` those of the sample's columns.

    Raises:
        AdoptionError: a column is not there, is given twice, or it is not said which output it belongs to.
    """
    assigned: dict[str, list[str]] = {}
    for text in given:
        output, columns = _split_output(text, outputs, known)
        for column in columns:
            if column not in known:
                raise AdoptionError(f"no column {column!r}: set --label to one of {_list(known)}")
            owner = output or (outputs[0] if len(outputs) == 1 else column)
            if owner not in outputs:
                raise AdoptionError(
                    f"the model has the outputs {_list(outputs)}: say which one {column!r} belongs to, for example "
                    f"--label {outputs[0]}={column}"
                )
            if any(column in others for others in assigned.values()):
                raise AdoptionError(f"--label names {column!r} twice: leave out one")
            assigned.setdefault(owner, []).append(column)
    return assigned


def assign_names(given: Sequence[str], outputs: Sequence[str], option: str) -> dict[str, list[str]]:
    """The names of labels or targets by output, from the values of ``--labels`` or ``--targets``.

    Raises:
        AdoptionError: it is not said which output they belong to, or a name is empty or given twice.
    """
    assigned: dict[str, list[str]] = {}
    for text in given:
        output, names = _split_output(text, outputs, ())
        if output is None and len(outputs) > 1:
            raise AdoptionError(
                f"the model has the outputs {_list(outputs)}: say which one {text!r} belongs to, for example "
                f"{option} {outputs[0]}={text}"
            )
        if not names or "" in names or len(set(names)) != len(names):
            raise AdoptionError(f"{option} {text!r} has an empty name, or one twice: name each once")
        assigned.setdefault(output or outputs[0], []).extend(names)
    return assigned


def _split_output(text: str, outputs: Sequence[str], known: Sequence[str]) -> tuple[str | None, list[str]]:
    """The output before the equals sign, if there is one, and the names behind it; a column may have either sign."""
    if normalize_name(text) in known:
        return None, [normalize_name(text)]
    output, sign, rest = text.partition("=")
    if sign and output.strip() in outputs:
        return output.strip(), [normalize_name(rest)] if normalize_name(rest) in known else split_names(rest)
    return None, split_names(text)


def _check_chosen(
    inputs: Sequence[Input], candidates: Sequence[str] | None, chosen: Sequence[str], sample: str
) -> tuple[str, ...]:
    if twice := sorted({name for name in chosen if chosen.count(name) > 1}):
        raise AdoptionError(f"--columns names {_list(twice)} twice: name each column once, in the model's order")
    for name in chosen:
        if candidates is not None and name not in candidates:
            raise AdoptionError(f"{sample} has no column {name!r} beside the labels: use {_list(candidates)}")
    _check_count(inputs, chosen, "--columns names", "name as many as the model takes")
    return tuple(chosen)


def _check_count(inputs: Sequence[Input], names: Sequence[str], subject: str, remedy: str) -> None:
    width = sum(tensor.width for tensor in inputs)
    if len(names) == width:
        return
    own = ", ".join(f"{each.name}" if each.width == 1 else f"{each.name}: {each.width}" for each in inputs[:MAX_LISTED])
    raise AdoptionError(
        f"the model takes {count(width, 'column')} ({own}), but {subject} {len(names)} ({_list(names)}): {remedy}"
    )


def _names_of_single_columns(inputs: Sequence[Input]) -> tuple[str, ...]:
    """The inputs' names if each is a single column, so that the model names its columns."""
    if any(tensor.width > 1 for tensor in inputs):
        return ()
    return tuple(normalize_name(tensor.name) for tensor in inputs)


def _match(own_names: Sequence[str], candidates: Sequence[str], sample: str) -> tuple[str, ...]:
    """The sample's columns in the order of the inputs; empty if it has none of the inputs' names.

    Keras replaces some characters of a name, so that columns that differ only in them match too.
    """
    by_key: dict[str, list[str]] = {}
    for name in candidates:
        by_key.setdefault(_key(name), []).append(name)
    found: Mapping[str, str] = {
        name: name if name in candidates else by_key[_key(name)][0]
        for name in own_names
        if name in candidates or len(by_key.get(_key(name), [])) == 1
    }
    if found and (missing := [name for name in own_names if name not in found]):
        raise AdoptionError(
            f"the model takes {_list(missing)}, but {sample} has no such column; it has {_list(candidates)}: rename "
            "columns, or name them in the order of the model's inputs with --columns"
        )
    return tuple(found.values())


def _key(name: str) -> str:
    return re.sub(r"\W+", "_", name.casefold()).strip("_")


def _number_columns(inputs: Sequence[Input]) -> tuple[str, ...]:
    if len(inputs) == 1:
        return tuple(f"feature_{number}" for number in range(1, inputs[0].width + 1))
    return tuple(
        tensor.name if tensor.width == 1 else f"{tensor.name}_{number}"
        for tensor in inputs
        for number in range(1, tensor.width + 1)
    )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_LISTED])
    return f"{shown} and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else shown
