"""The Kubernetes documents that kustomize builds from deploy/, and the pods that a cluster would start from them."""

import os
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from support.gunicorn_server import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
ISVC = "animal-classifier"  # the name of KServe's InferenceService

Document = dict[str, Any]


class Pod(NamedTuple):
    """A pod's spec, the environment of its container, and its annotations."""

    spec: Document
    environment: dict[str, str]
    annotations: dict[str, str]

    @property
    def container(self) -> Document:
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container

    def port(self, port: int | str) -> int:
        """A port of the container by its number or its name."""
        by_name = {each.get("name"): each["containerPort"] for each in self.container["ports"]}
        return int(by_name.get(port, port))


def build_kustomization(folder: Path) -> list[Document]:
    """The output of ``kustomize build``."""
    command = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    if not shutil.which(command[0]):
        pytest.skip("no kustomize here: install Debian's package of that name, or kubectl")
    completed = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stderr
    return list(yaml.safe_load_all(completed.stdout))


def build_installation(folder: Path, overlay: str, *components: str, **settings: str) -> list[Document]:
    """Write a team's kustomization into ``folder``, with an overlay, components and settings, and build it."""
    base = Path(os.path.relpath(KUBERNETES, folder.resolve()))
    kustomization: Document = {
        "resources": [str(base / "overlays" / overlay)],
        "components": [str(base / "components" / component) for component in components],
    }
    if settings:
        literals = [f"{name}={value}" for name, value in settings.items()]
        generated = {"name": "menagerie-settings", "namespace": "menagerie", "behavior": "merge", "literals": literals}
        kustomization["configMapGenerator"] = [generated]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return build_kustomization(folder)


def only_document(documents: list[Document], kind: str) -> Document:
    """The document of a kind of which there is exactly one."""
    (match,) = (document for document in documents if document["kind"] == kind)
    return match


def deployment_pod(documents: list[Document]) -> Pod:
    """The pod of the Deployment, with the environment of its ConfigMap."""
    template = only_document(documents, "Deployment")["spec"]["template"]
    spec = template["spec"]
    settings = only_document(documents, "ConfigMap")
    (source,) = spec["containers"][0]["envFrom"]
    assert source["configMapRef"]["name"] == settings["metadata"]["name"]
    return Pod(spec, settings["data"], template["metadata"]["annotations"])


def kserve_pod(documents: list[Document]) -> Pod:
    """The pod that KServe makes of a ServingRuntime and an InferenceService, without its storage initializer."""
    service, runtime = (
        only_document(documents, "InferenceService"),
        deepcopy(only_document(documents, "ServingRuntime")["spec"]),
    )
    not_in_pod = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "deploymentStrategy", "model"}
    predictor = {key: value for key, value in service["spec"]["predictor"].items() if key not in not_in_pod}
    spec = predictor | {key: runtime[key] for key in ("containers", "volumes")}
    for variable in spec["containers"][0]["env"]:
        variable["value"] = variable["value"].replace("{{.Name}}", service["metadata"]["name"])
    environment = {variable["name"]: variable["value"] for variable in spec["containers"][0]["env"]}
    return Pod(spec, environment, runtime["annotations"])
