"""The types of a comparison's report describe every report, as JSON."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from pydantic import TypeAdapter
from support.headed_bundles import HEADS, MIXED, publish

from models.signature import Head
from service.comparison.comparison import Comparison
from service.comparison.document import Report
from service.inference.model import Model

REPORT: TypeAdapter[Report] = TypeAdapter(Report)


@pytest.mark.parametrize("rows", [0, 900])
@pytest.mark.parametrize("sample", [True, False], ids=["sample", "no-sample"])
@pytest.mark.parametrize("heads", [*HEADS.values(), MIXED], ids=[*HEADS, "mixed"])
def test_reports_have_their_type(tmp_path: Path, heads: tuple[Head, ...], rows: int, *, sample: bool) -> None:
    """With rows or without, and whatever is unknown: no key is missing, and none is not in the type."""
    models = [Model.open(publish(tmp_path, heads, sample=sample, hidden=(units,)).folder, "litert") for units in (4, 5)]
    table = np.random.default_rng(1).uniform(-3, 3, (rows, 3)).astype(np.float32)
    nothing = np.empty((0, len(models[0].column_names)), np.float32)
    comparison = Comparison(*models)
    outputs = [model.outputs(table) if rows else nothing for model in models]
    report = comparison.report(comparison.count(table, *outputs))
    content = orjson.dumps(report)  # numbers of NumPy would be refused
    assert REPORT.validate_json(content, strict=True) == report
