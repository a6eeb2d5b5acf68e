"""From a table's file to the dataset that training needs, step by step."""

from collections.abc import Callable

import numpy as np

from models.dataset import Sample
from models.errors import DataError
from models.names import GAP_MARKERS
from models.options import TableOptions
from models.tables.columns import Flags
from models.tables.csv_file import read_csv
from models.tables.dataset import Table, find_group_labels
from models.tables.feature_columns import FeatureReader
from models.tables.features import FeatureBuilder, detect_number_format, note_leaks
from models.tables.findings import Findings, count, list_some
from models.tables.gaps import Gaps
from models.tables.labels import NamedRows, find_rare, list_labels
from models.tables.parquet_file import read_parquet
from models.tables.roles import assign_roles
from models.tables.schema import Schema
from models.tables.source_file import hash_file, is_parquet

Note = Callable[[str], None]


def read_table(options: TableOptions, note: Note = lambda _: None) -> Table:
    """Read the user's table; ``note`` gets a sentence for everything that was guessed or left out.

    Raises:
        DataError: the table or its schema is unfit for training; the message names all faults.
    """
    path = options.table
    if path is None or options.label is None:
        raise ValueError("a table needs a path and a column of labels")
    findings = Findings(path, note)
    columns = read_parquet(path) if is_parquet(path) else read_csv(options, [options.label], findings)
    markers = (*GAP_MARKERS, *options.na_values)
    roles = assign_roles(columns, options, markers, findings)
    describable = [name for at, name in enumerate(columns.names) if name and at not in {roles.label, roles.group}]
    schema = Schema(options.schema, describable, path, categories=[columns.names[at] for at in roles.categories])

    gaps = Gaps(columns, findings, dropped=options.drop_rows_with_gaps)
    labels = NamedRows(columns.arrays[roles.label], ("", *options.na_values) if options.keep_na_labels else markers)
    gaps.add(roles.label, labels.is_gap, _label_remedy(labels, options))
    groups = None
    if roles.group is not None:
        groups = NamedRows(columns.arrays[roles.group], markers)
        gaps.add(roles.group, groups.is_gap, "leave out the rows, or leave out --group")
    written_as_numbers = [
        at
        for at in roles.features
        if at not in columns.dictionaries and schema.rules(columns.names[at]).kind != "category"
    ]
    number_format = detect_number_format(columns, written_as_numbers, options, findings)
    feature_columns = FeatureReader(columns, roles, schema, markers, number_format, gaps).read()

    is_used = _select_rows(gaps, labels, options)
    builder = FeatureBuilder(columns, schema, findings)
    built = []
    while feature_columns:  # each is given up as soon as it is built, so that no column is twice in memory
        if feature := builder.build(feature_columns.pop(0), is_used):
            built.append(feature)
    builder.note_columns()
    label_counts = labels.count(is_used)
    label_names = list_labels(columns.names[roles.label], label_counts, schema.labels, findings, roles.label)
    findings.raise_faults()
    schema.check_labels(list(label_counts))
    if not built:
        raise DataError(f"{path}: no feature column is left: add at least one column that varies")

    label_indices = labels.index_into(label_names, is_used)
    note_leaks(built, label_indices, findings)
    if groups:
        group_names = tuple(sorted(groups.count(is_used)))
        group_indices = groups.index_into(group_names, is_used)
        group_labels = find_group_labels(group_indices, label_indices, len(label_names))
    else:
        group_names = tuple(map(str, columns.numbers[is_used].tolist()))
        group_indices, group_labels = np.arange(len(label_indices)), label_indices
    grouping = f", grouped by {options.group} ({len(group_names)} groups)" if groups else ""
    return Table(
        description=f"{len(label_indices)} individuals from {path.name}{grouping}",
        features=tuple(each.feature for each in built),
        labels=label_names,
        groups=group_names,
        group_labels=group_labels,
        individuals=Sample(np.stack([each.codes for each in built], axis=1), label_indices, group_indices),
        source_hashes={source.name: hash_file(source) for source in (path, options.schema) if source},
    )


def _label_remedy(labels: NamedRows, options: TableOptions) -> str:
    if options.keep_na_labels or not (markers := labels.find_markers()):
        return "or leave out the rows with --drop-rows-with-gaps"
    return (
        f"leave out the rows with --drop-rows-with-gaps, or add --keep-na-labels if {list_some(map(repr, markers))} "
        f"{'is a label' if len(markers) == 1 else 'are labels'}"
    )


def _select_rows(gaps: Gaps, labels: NamedRows, options: TableOptions) -> Flags:
    """The rows to train on."""
    is_used = ~labels.is_gap
    if options.drop_rows_with_gaps and gaps.rows.any():
        gaps.findings.note(f"left out: {gaps.describe()}")
        is_used = ~gaps.rows
        if not is_used.any():
            raise DataError(f"{options.table}: every row has a gap: leave out columns with --drop instead of rows")
    if options.drop_rare_labels and (rare := find_rare(labels.count(is_used))):
        is_rare = labels.find(rare) & is_used
        names = list_some([f"{name!r} ({number})" for name, number in rare.items()], 10)
        gaps.findings.note(
            f"left out: {count(int(is_rare.sum()), 'row')} with the rare label{'s' if len(rare) > 1 else ''} {names}"
        )
        is_used &= ~is_rare
        if not is_used.any():
            raise DataError(f"{options.table}: every label is rare: check that --label is the right column")
    return is_used
