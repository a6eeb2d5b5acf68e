"""The pods of deploy/ for real, one at a time: bounded, mounted, set up and asked as a cluster would."""

import shutil
import subprocess
import threading
import uuid
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from support.docker_pods import RunningPod, run_pod
from support.gunicorn_server import ROOT
from support.known_animals import LLAMA, named
from support.kubernetes_documents import (
    DEPLOY,
    ISVC,
    build_installation,
    build_kustomization,
    deployment_pod,
    kserve_pod,
)

from benchmarks.environments import Environment
from service.app.routes import build_service
from service.settings import SHIPPED_STORE, Settings

pytestmark = pytest.mark.container

CLIENT = ROOT / "tests" / "clients" / "kserve"


@pytest.fixture
def name() -> str:
    return f"menagerie-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def client() -> Path:
    return Environment(ROOT / ".clients" / "kserve", CLIENT / "requirements.txt", complete=True).install(600)


def begin(pod: RunningPod) -> None:
    """Until it is sent requests. What a kubelet would see, what Prometheus would, and nothing logged to be mended."""
    pod.await_probe("startup")
    pod.await_probe("readiness")
    assert pod.probe("liveness")
    assert "menagerie_" in requests.get(pod.url + pod.pod.annotations["prometheus.io/path"], timeout=10).text
    assert "menagerie: " not in pod.log()


@pytest.mark.parametrize("parts", [["small"], ["large", "model-from-claim"]], ids=" ".join)
def test_a_pod_of_an_installation_serves(image: str, name: str, tmp_path: Path, parts: list[str]) -> None:
    """With its limits, its user and its read-only root it starts, answers by the model that it was given, and ends."""
    mounts = {"/models": SHIPPED_STORE} if len(parts) > 1 else {}
    with run_pod(deployment_pod(build_installation(tmp_path, *parts)), image, name, mounts) as pod:
        begin(pod)
        answer = requests.post(f"{pod.url}/predict", json={"features": named(LLAMA)}, timeout=10).json()
        assert (answer["label"], answer["model"]) == ("llama", {"name": "animals", "version": "1"})
        assert pod.stop() == 0


def laid(client: Path, model: Path, folder: Path) -> Path:
    """``/mnt/models`` as KServe's own storage initialiser lays it, from an archive that it fetches."""
    archive = shutil.make_archive(str(folder / "archive"), "tar", model)
    models = folder / "mnt" / "models"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}/{Path(archive).name}"
        subprocess.run([client, "-I", CLIENT / "lay.py", uri, models], check=True, capture_output=True, timeout=60)
        server.shutdown()
    return models


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_kserve_serves_what_it_laid(image: str, name: str, client: Path, tmp_path: Path) -> None:
    """The runtime's pod, with what KServe mounts and fills in, serves its client by the InferenceService's name."""
    models = laid(client, SHIPPED_STORE / "animals" / "1", tmp_path)
    with run_pod(kserve_pod(build_kustomization(DEPLOY / "kserve")), image, name, {"/mnt/models": models}) as pod:
        begin(pod)
        command = [str(client), "-I", str(CLIENT / "client.py"), pod.url, ISVC]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert asked.returncode == 0, asked.stderr
        assert requests.get(f"{pod.url}/v2/models/{ISVC}", timeout=10).json()["versions"] == ["1"]
        assert pod.stop() == 0


def test_a_folder_of_versions_is_served_too(client: Path, tmp_path: Path) -> None:
    """A storageUri may name a model's folder instead of one version's: the newest serves."""
    models = laid(client, SHIPPED_STORE / "animals", tmp_path)
    shelf = build_service(Settings(model_dir=models, model_name=ISVC)).registry
    assert shelf.current.model.identity == {"name": ISVC, "version": "1"}
