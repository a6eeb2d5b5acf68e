"""Validates documents against CRDs: ``python tests/support/crd_validation.py CRD.yaml ... < documents.yaml``.

A cluster silently drops a field that the CRD does not define, so a misspelt one is lost; here it is an error. CEL rules
(``x-kubernetes-validations``) are not evaluated.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft4Validator

Schemas = dict[tuple[str, str], dict[str, Any]]


def read_schemas(definitions: Iterable[dict[str, Any]]) -> Schemas:
    """The schema of each served version, closed to unknown fields, by ``apiVersion`` and ``kind``."""
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): close_schema(
            version["schema"]["openAPIV3Schema"]
        )
        for spec in (definition["spec"] for definition in definitions)
        for version in spec["versions"]
        if version["served"]
    }


def close_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with ``additionalProperties: false`` wherever it does not preserve unknown fields."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: close_schema(inner) for name, inner in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = False
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            closed[keyword] = close_schema(schema[keyword])
    return closed


def find_errors(documents: Iterable[dict[str, Any]], schemas: Schemas) -> Iterator[str]:
    """One sentence for each error; a document whose version and kind have no schema is an error too."""
    for document in documents:
        schema = schemas.get((document["apiVersion"], document["kind"]))
        if schema is None:
            yield f"{document['kind']}: no schema of {document['apiVersion']} is here"
            continue
        for error in Draft4Validator(schema).iter_errors(document):
            yield f"{document['kind']}{error.json_path.removeprefix('$')}: {error.message}"


if __name__ == "__main__":
    definitions = [definition for path in sys.argv[1:] for definition in yaml.safe_load_all(Path(path).read_text())]
    schemas = read_schemas(definitions)
    groups = {version.split("/")[0] for version, _ in schemas}
    documents = [each for each in yaml.safe_load_all(sys.stdin) if each["apiVersion"].split("/")[0] in groups]
    sys.exit("\n".join(find_errors(documents, schemas)) or (None if documents else "no document of these CRDs' groups"))
