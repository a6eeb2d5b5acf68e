"""The pods of deploy/ in Docker: with their limits, mounts, settings and probes."""

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


def await_serving(pod: RunningPod) -> None:
    """Wait until the pod receives requests; check its probes, its metrics and that it logs no error."""
    pod.await_probe("startup")
    pod.await_probe("readiness")
    assert pod.probe("liveness")
    assert "menagerie_" in requests.get(pod.url + pod.pod.annotations["prometheus.io/path"], timeout=10).text
    assert "menagerie: " not in pod.log()


@pytest.mark.parametrize("parts", [["small"], ["large", "model-from-claim"]], ids=" ".join)
def test_pod_serves(image: str, name: str, tmp_path: Path, parts: list[str]) -> None:
    """It starts with its limits, user and read-only root, serves the mounted model, and exits with 0."""
    mounts = {"/models": SHIPPED_STORE} if len(parts) > 1 else {}
    with run_pod(deployment_pod(build_installation(tmp_path, *parts)), image, name, mounts) as pod:
        await_serving(pod)
        response = requests.post(f"{pod.url}/predict", json={"features": named(LLAMA)}, timeout=10).json()
        assert (response["label"], response["model"]) == ("llama", {"name": "animals", "version": "1"})
        assert pod.stop() == 0


def download_model(client: Path, model: Path, folder: Path) -> Path:
    """``/mnt/models`` as KServe's storage initializer fills it, from an archive served over HTTP."""
    archive = shutil.make_archive(str(folder / "archive"), "tar", model)
    models = folder / "mnt" / "models"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}/{Path(archive).name}"
        subprocess.run([client, "-I", CLIENT / "download.py", uri, models], check=True, capture_output=True, timeout=60)
        server.shutdown()
    return models


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_kserve_pod_serves_a_downloaded_model(image: str, name: str, client: Path, tmp_path: Path) -> None:
    """Under the InferenceService's name, to KServe's client."""
    models = download_model(client, SHIPPED_STORE / "animals" / "1", tmp_path)
    with run_pod(kserve_pod(build_kustomization(DEPLOY / "kserve")), image, name, {"/mnt/models": models}) as pod:
        await_serving(pod)
        command = [str(client), "-I", str(CLIENT / "client.py"), pod.url, ISVC]
        completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert completed.returncode == 0, completed.stderr
        assert requests.get(f"{pod.url}/v2/models/{ISVC}", timeout=10).json()["versions"] == ["1"]
        assert pod.stop() == 0


def test_downloaded_model_folder_serves_its_newest_version(client: Path, tmp_path: Path) -> None:
    """A storageUri may name a model's folder instead of one version's."""
    models = download_model(client, SHIPPED_STORE / "animals", tmp_path)
    registry = build_service(Settings(model_dir=models, model_name=ISVC)).registry
    assert registry.current.model.identity == {"name": ISVC, "version": "1"}
