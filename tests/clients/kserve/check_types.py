"""Checks lists of documents against KServe's own types: ``python check_types.py lists.json [SDK]``.

For each list it prints a line with the first field that does not fit; the line is empty if all fit. ``SDK`` is a folder
with another version of KServe's SDK. The classes of the SDK are generated from the same definitions as the schemas that
a cluster checks, but do not check types themselves.
"""

import json
import re
import sys
from pathlib import Path

import kubernetes.client

sys.path[:0] = sys.argv[2:]
from kserve import models  # noqa: E402 (from the folder in the line above)

PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "object": object}


def require(value, type_name, path):
    """Fail unless ``value`` is of the SDK's type ``type_name``."""
    if list_type := re.fullmatch(r"[Ll]ist\[(.+)\]", type_name):
        assert isinstance(value, list), f"{path} is no list"
        for index, item in enumerate(value):
            require(item, list_type[1], f"{path}[{index}]")
    elif dict_type := re.fullmatch(r"[Dd]ict[(\[](\w+), (.+)[)\]]", type_name):
        assert isinstance(value, dict), f"{path} is no object"
        for key, item in value.items():
            require(item, dict_type[2], f"{path}.{key}")
    elif type_name in PLAIN:
        assert isinstance(value, PLAIN[type_name]), f"{path} is no {type_name}"
    elif "IntOrString" in type_name or type_name.endswith("Quantity"):
        assert isinstance(value, (int, str)), f"{path} is neither number nor string"
    else:
        require_object(value, find_class(type_name), path)


def find_class(type_name):
    """The class of KServe, or of Kubernetes, path KServe's name of it has a prefix."""
    kubernetes_name = re.sub(r"^K8sIo(?:Api|ApimachineryPkgApis)(?:Apps|Core|Meta|Autoscaling)?", "", type_name)
    return getattr(models, type_name, None) or getattr(kubernetes.client, kubernetes_name)


def require_object(value, cls, path):
    assert isinstance(value, dict), f"{path} is no object"
    fields = {key: (name, cls.openapi_types[name]) for name, key in cls.attribute_map.items()}
    for key, item in value.items():
        assert key in fields, f"{path} has no field {key}"
        require(item, fields[key][1], f"{path}.{key}")
    cls(**{fields[key][0]: item for key, item in value.items()})  # raises if a required field is missing


def find_error(documents):
    """What does not fit in the first document that has an error; empty if all fit."""
    for document in documents:
        group, version = document["apiVersion"].split("/")
        assert group == "serving.kserve.io"
        try:
            require_object(document, getattr(models, f"{version.capitalize()}{document['kind']}"), document["kind"])
        except (AssertionError, ValueError) as error:
            return str(error)
    return ""


for documents in json.loads(Path(sys.argv[1]).read_text()):
    print(find_error(documents))  # noqa: T201 (what the test reads)
