"""tests/support/crd_validation.py, on a CRD written here of the forms that real ones have."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.crd_validation import faults, schemas

OBJECT = {"type": "object"}
CRD: dict[str, Any] = {
    "spec": {
        "group": "zoo.example.org",
        "names": {"kind": "Cage"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "schema": {
                    "openAPIV3Schema": OBJECT
                    | {
                        "properties": {
                            "apiVersion": {"type": "string"},
                            "kind": {"type": "string"},
                            "metadata": OBJECT,
                            "spec": OBJECT
                            | {
                                "required": ["bars"],
                                "properties": {
                                    "bars": {"type": "integer", "minimum": 1},
                                    "port": {
                                        "anyOf": [{"type": "integer"}, {"type": "string"}],
                                        "x-kubernetes-int-or-string": True,
                                    },
                                    "animals": {
                                        "type": "array",
                                        "items": OBJECT | {"properties": {"name": {"type": "string"}}},
                                    },
                                    "keepers": OBJECT
                                    | {"additionalProperties": OBJECT | {"properties": {"age": {"type": "integer"}}}},
                                    "labels": OBJECT | {"additionalProperties": {"type": "string"}},
                                    "anything": OBJECT
                                    | {"properties": {}, "x-kubernetes-preserve-unknown-fields": True},
                                },
                            },
                        }
                    }
                },
            }
        ],
    }
}
GOOD: dict[str, Any] = {
    "bars": 3,
    "port": "http",
    "animals": [{"name": "Tibbles"}],
    "keepers": {"anna": {"age": 40}},
    "labels": {"whatever": "they like"},
    "anything": {"goes": [1]},
}


def cage(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "zoo.example.org/v1", "kind": "Cage", "metadata": {"name": "a"}, "spec": GOOD | spec}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, None),
        ({"port": 80}, None),
        ({"bar": 3}, "Cage.spec: Additional properties are not allowed ('bar' was unexpected)"),
        ({"bars": "3"}, "Cage.spec.bars: '3' is not of type 'integer'"),
        ({"bars": 0}, "Cage.spec.bars: 0 is less than the minimum of 1"),
        ({"port": []}, "Cage.spec.port: [] is not valid under any of the given schemas"),
        (
            {"animals": [{"nam": "x"}]},
            "Cage.spec.animals[0]: Additional properties are not allowed ('nam' was unexpected)",
        ),
        (
            {"keepers": {"x": {"old": 1}}},
            "Cage.spec.keepers.x: Additional properties are not allowed ('old' was unexpected)",
        ),
        ({"labels": {"a": 1}}, "Cage.spec.labels.a: 1 is not of type 'string'"),
    ],
)
def test_a_fault_is_found_where_it_is(spec: dict[str, Any], told: str | None) -> None:
    """Also in lists and in maps; what the definition keeps open stays open."""
    assert list(faults([cage(**spec)], schemas([CRD]))) == ([told] if told else [])


def test_what_no_definition_knows_is_a_fault() -> None:
    """An old version of a kind would otherwise pass unread."""
    old = cage() | {"apiVersion": "zoo.example.org/v0"}
    assert list(faults([old], schemas([CRD]))) == ["Cage: no schema of zoo.example.org/v0 is here"]


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        ([cage(), {"apiVersion": "v1", "kind": "Secret"}], ""),
        ([cage(bars="3")], "is not of type"),
        ([{"apiVersion": "v1", "kind": "Secret"}], "no document"),
    ],
)
def test_the_command_says_what_is_wrong_and_fails(tmp_path: Path, documents: list[Any], told: str) -> None:
    """Documents of other groups are passed over; if there is no other, nothing was checked, which is no success."""
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(CRD))
    command = [
        sys.executable,
        str(Path(__file__).parent.parent / "support" / "crd_validation.py"),
        str(tmp_path / "crd.yaml"),
    ]
    piped = yaml.safe_dump_all(documents)
    said = subprocess.run(command, input=piped, capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode == 0, told in said.stderr) == (not told, True), said.stderr
