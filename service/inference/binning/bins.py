"""The cells that rows are counted in: the bins of each feature and target, and one for each label."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.feature import Feature
from models.manifest import Manifest
from service.arrays import Array, Indices
from service.inference.binning.variables import (
    CELLS_PER_FEATURE,
    MAX_EDGES,
    MISSING,
    OTHER,
    Variable,
    count_output_cells,
    feature_variable,
    output_variables,
    own_codes,
)
from service.inference.heads import HeadColumns, assign_columns, predict_label_sets, predict_labels

Counts = NDArray[np.int64]


class Bins:
    """The cells of one model.

    Raises:
        ValueError: the model was adopted without a sample.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.features: dict[str, Variable] = {}
        for index, feature in enumerate(manifest.features):
            self.features[feature.name] = feature_variable(feature, manifest, index * CELLS_PER_FEATURE)
        self.outputs: dict[str, Variable] = {}
        start = len(self.features) * CELLS_PER_FEATURE
        self._heads = assign_columns(manifest)
        for head in self._heads:
            self.outputs |= output_variables(head, manifest, start)
            start += count_output_cells(head.head)
        self.training_rows = manifest.training.rows
        self._column_names = manifest.column_names
        self._unknown_cell = count_cells(manifest) - 1
        self._refused_cells = [variable.cells.stop - 1 for variable in self.features.values()]
        self._starts = np.array([each.cells.start for each in (*self.features.values(), *self.outputs.values())])
        self._edges = np.full((MAX_EDGES, 1, len(self.features)), np.inf, np.float32)
        for index, variable in enumerate(self.features.values()):
            self._edges[: len(variable.edges), 0, index] = variable.edges
        self._cells_of_codes = {
            index: _cells_of_codes(feature, manifest, self.features[feature.name])
            for index, feature in enumerate(manifest.features)
            if feature.is_category
        }
        self._missing_cells = {
            index: variable.own_cells + variable.further.index(MISSING)
            for index, variable in enumerate(self.features.values())
            if MISSING in variable.further
        }

    def bin_predicted(self, rows: Array, labels: Indices | Sequence[int], outputs: Array | None = None) -> Counts:
        """The cells of ``rows`` [rows, features], one for each feature and output: [rows, features + outputs].

        ``labels`` [rows] are those of a model that is a single classification; for others, ``outputs`` [rows, columns]
        are needed.
        """
        features = len(self.features)
        cells = np.empty((len(rows), len(self._starts)), np.int64)
        cells[:, :features] = self.bin_features(rows)
        if outputs is None:
            cells[:, -1] = labels
        else:
            cells[:, features:] = np.column_stack([self._bin_output(head, head.of(outputs)) for head in self._heads])
        cells[:, features:] += self._starts[features:]
        return cells

    def bin_features(self, rows: Array) -> Counts:
        """The cells of the features of ``rows``; both are [rows, features]."""
        cells: Counts = (rows > self._edges).sum(axis=0, dtype=np.uint8).astype(np.int64)
        if self._cells_of_codes:
            codes = np.nan_to_num(rows[:, [*self._cells_of_codes]]).astype(np.intp)
            for column, (index, of_codes) in enumerate(self._cells_of_codes.items()):
                cells[:, index] = of_codes[codes[:, column]]
        for index, cell in self._missing_cells.items():
            cells[np.isnan(rows[:, index]), index] = cell
        cells += self._starts[: len(self.features)]
        return cells

    def _bin_output(self, head: HeadColumns, outputs: Array) -> NDArray[np.integer]:
        """Where the rows fall in what an output predicts, from its ``outputs`` [rows, columns]."""
        if head.head.kind == "classification":
            return predict_labels(head.head, outputs)[:, np.newaxis]
        if head.head.kind == "multi_label":
            return predict_label_sets(head.head, outputs).astype(np.int64)
        edges = [self.outputs[name].edges.astype(np.float32) for name in self._column_names[head.columns]]
        return np.column_stack([np.searchsorted(each, values) for each, values in zip(edges, outputs.T, strict=True)])

    def bin_out_of_bounds(self, rejections: Sequence[Mapping[str, int]]) -> Counts:
        """The same for requests that were rejected; ``rejections`` has the number of values that are why, by feature.

        A request counts as so many rows as its most frequent feature needs.
        """
        rows = sum(max(counts.values()) for counts in rejections)
        cells = np.full((rows, len(self._starts)), self._unknown_cell)
        for index, name in enumerate(self.features):
            cells[: sum([counts.get(name, 0) for counts in rejections]), index] = self._refused_cells[index]
        return cells


def _cells_of_codes(feature: Feature, manifest: Manifest, variable: Variable) -> NDArray[np.integer]:
    """The cell of each code of a category, counted from the variable's first; [codes]."""
    own = own_codes(feature, manifest)
    cells = np.full(feature.code_count, len(own))  # that of rare values, if there are any
    cells[own] = np.arange(len(own))
    if feature.allow_other:
        cells[feature.other_code] = len(own) + variable.further.index(OTHER)
    return cells


def count_cells(manifest: Manifest) -> int:
    """How many cells a model's rows need; the last one stands for whatever is not known of a row."""
    return len(manifest.features) * CELLS_PER_FEATURE + sum(map(count_output_cells, manifest.heads)) + 1
