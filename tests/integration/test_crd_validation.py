"""tests/support/crd_validation.py, with a CRD that uses the schema features of real ones."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.crd_validation import find_errors, read_schemas

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
VALID_SPEC: dict[str, Any] = {
    "bars": 3,
    "port": "http",
    "animals": [{"name": "Tibbles"}],
    "keepers": {"anna": {"age": 40}},
    "labels": {"whatever": "they like"},
    "anything": {"goes": [1]},
}


def cage(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "zoo.example.org/v1", "kind": "Cage", "metadata": {"name": "a"}, "spec": VALID_SPEC | spec}


@pytest.mark.parametrize(
    ("spec", "message"),
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
def test_error_names_the_invalid_field(spec: dict[str, Any], message: str | None) -> None:
    """Fields in lists and in maps are checked too; where the CRD allows any field, any field passes."""
    assert list(find_errors([cage(**spec)], read_schemas([CRD]))) == ([message] if message else [])


def test_document_without_schema_is_an_error() -> None:
    """A document of an outdated version must not pass unchecked."""
    old = cage() | {"apiVersion": "zoo.example.org/v0"}
    assert list(find_errors([old], read_schemas([CRD]))) == ["Cage: no schema of zoo.example.org/v0 is here"]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([cage(), {"apiVersion": "v1", "kind": "Secret"}], ""),
        ([cage(bars="3")], "is not of type"),
        ([{"apiVersion": "v1", "kind": "Secret"}], "no document"),
    ],
)
def test_command_prints_errors_and_exits_with_one(tmp_path: Path, documents: list[Any], message: str) -> None:
    """Documents of other API groups are ignored; it is an error if no document is left to check."""
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(CRD))
    command = [
        sys.executable,
        str(Path(__file__).parent.parent / "support" / "crd_validation.py"),
        str(tmp_path / "crd.yaml"),
    ]
    documents_yaml = yaml.safe_dump_all(documents)
    completed = subprocess.run(command, input=documents_yaml, capture_output=True, text=True, timeout=60, check=False)
    assert (completed.returncode == 0, message in completed.stderr) == (not message, True), completed.stderr
