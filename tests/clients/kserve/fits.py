"""Whether documents fit KServe's own types: ``python fits.py documents.json`` fails at the first field that does not.

A second argument is a folder with another version of the SDK.

Its SDK's classes are made from the same definitions as the schemas that a cluster checks. They are walked here field by
field, because by themselves they ask no type.
"""

import json
import re
import sys
from pathlib import Path

import kubernetes.client

sys.path[:0] = sys.argv[2:]
from kserve import models  # noqa: E402 (from where the line before says)

PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "object": object}


def require(value, told, where):
    """Fail unless ``value`` is of the type that the SDK names ``told``."""
    if listed := re.fullmatch(r"[Ll]ist\[(.+)\]", told):
        assert isinstance(value, list), f"{where} is no list"
        for index, item in enumerate(value):
            require(item, listed[1], f"{where}[{index}]")
    elif mapped := re.fullmatch(r"[Dd]ict[(\[](\w+), (.+)[)\]]", told):
        assert isinstance(value, dict), f"{where} is no object"
        for key, item in value.items():
            require(item, mapped[2], f"{where}.{key}")
    elif told in PLAIN:
        assert isinstance(value, PLAIN[told]), f"{where} is no {told}"
    elif "IntOrString" in told or told.endswith("Quantity"):
        assert isinstance(value, (int, str)), f"{where} is neither number nor string"
    else:
        require_object(value, found(told), where)


def found(told):
    """A class of KServe's, or one of Kubernetes', which has a longer name there."""
    plain = re.sub(r"^K8sIo(?:Api|ApimachineryPkgApis)(?:Apps|Core|Meta|Autoscaling)?", "", told)
    return getattr(models, told, None) or getattr(kubernetes.client, plain)


def require_object(value, kind, where):
    assert isinstance(value, dict), f"{where} is no object"
    fields = {key: (name, kind.openapi_types[name]) for name, key in kind.attribute_map.items()}
    for key, item in value.items():
        assert key in fields, f"{where} has no field {key}"
        require(item, fields[key][1], f"{where}.{key}")
    kind(**{fields[key][0]: item for key, item in value.items()})  # refuses what lacks a field


for document in json.loads(Path(sys.argv[1]).read_text()):
    group, version = document["apiVersion"].split("/")
    assert group == "serving.kserve.io"
    require_object(document, getattr(models, f"{version.capitalize()}{document['kind']}"), document["kind"])
