"""Validates documents against CRDs: ``python tests/support/crd_validation.py CRD.yaml ... < documents.yaml``.

A cluster drops a field that a CRD does not know and says nothing, so that a misspelt one is lost. Rules in CEL
(``x-kubernetes-validations``) are not run here.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft4Validator

Schemas = dict[tuple[str, str], dict[str, Any]]


def schemas(definitions: Iterable[dict[str, Any]]) -> Schemas:
    """The schema of each served version in these CRDs, closed to unknown fields, by ``apiVersion`` and ``kind``."""
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): closed(version["schema"]["openAPIV3Schema"])
        for spec in (definition["spec"] for definition in definitions)
        for version in spec["versions"]
        if version["served"]
    }


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema that refuses what it does not name, save where it keeps whatever there is."""
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {name: closed(inner) for name, inner in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            found[part] = closed(schema[part])
    return found


def faults(documents: Iterable[dict[str, Any]], known: Schemas) -> Iterator[str]:
    """A sentence for each fault; a document of another kind than those known is one."""
    for document in documents:
        schema = known.get((document["apiVersion"], document["kind"]))
        if schema is None:
            yield f"{document['kind']}: no schema of {document['apiVersion']} is here"
            continue
        for error in Draft4Validator(schema).iter_errors(document):
            yield f"{document['kind']}{error.json_path.removeprefix('$')}: {error.message}"


if __name__ == "__main__":
    found = schemas(definition for path in sys.argv[1:] for definition in yaml.safe_load_all(Path(path).read_text()))
    groups = {version.split("/")[0] for version, _ in found}
    asked = [each for each in yaml.safe_load_all(sys.stdin) if each["apiVersion"].split("/")[0] in groups]
    sys.exit("\n".join(faults(asked, found)) or (None if asked else "no document of these CRDs' groups"))
