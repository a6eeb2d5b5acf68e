"""What deploy/ comes to: documents as kustomize makes them, and the pods in them."""

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
ISVC = "animal-classifier"

Document = dict[str, Any]


class Pod(NamedTuple):
    """One that a cluster would start: its template, the environment that its container gets, and its annotations."""

    spec: Document
    environment: dict[str, str]
    annotations: dict[str, str]

    @property
    def container(self) -> Document:
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container


def built(folder: Path) -> list[Document]:
    """The documents of a kustomization."""
    command = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    if not shutil.which(command[0]):
        pytest.skip("no kustomize here: install Debian's package of that name, or kubectl")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def put_together(folder: Path, overlay: str, *components: str, **settings: str) -> list[Document]:
    """An installation as a team writes it, in ``folder``: an overlay, components, settings of its own."""
    here = Path(os.path.relpath(KUBERNETES, folder.resolve()))
    kustomization: Document = {
        "resources": [str(here / "overlays" / overlay)],
        "components": [str(here / "components" / component) for component in components],
    }
    if settings:
        literals = [f"{name}={value}" for name, value in settings.items()]
        generated = {"name": "menagerie-settings", "namespace": "menagerie", "behavior": "merge", "literals": literals}
        kustomization["configMapGenerator"] = [generated]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return built(folder)


def one(documents: list[Document], kind: str) -> Document:
    """The only document of its kind."""
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def pod_of(documents: list[Document]) -> Pod:
    """The pod that a Deployment starts, with what its ConfigMap sets."""
    template = one(documents, "Deployment")["spec"]["template"]
    spec = template["spec"]
    settings = one(documents, "ConfigMap")
    (source,) = spec["containers"][0]["envFrom"]
    assert source["configMapRef"]["name"] == settings["metadata"]["name"]
    return Pod(spec, settings["data"], template["metadata"]["annotations"])


def kserve_pod_of(documents: list[Document]) -> Pod:
    """The pod that KServe makes of a runtime and a service, less what lays the model."""
    service, runtime = one(documents, "InferenceService"), deepcopy(one(documents, "ServingRuntime")["spec"])
    ours = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "deploymentStrategy", "model"}
    predictor = {key: value for key, value in service["spec"]["predictor"].items() if key not in ours}
    spec = predictor | {key: runtime[key] for key in ("containers", "volumes")}
    for variable in spec["containers"][0]["env"]:
        variable["value"] = variable["value"].replace("{{.Name}}", service["metadata"]["name"])
    environment = {variable["name"]: variable["value"] for variable in spec["containers"][0]["env"]}
    return Pod(spec, environment, runtime["annotations"])
