"""The contracts of cloud platforms under real gunicorn: each client speaks as its platform's documentation says."""

import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from support import mixed_bundles
from support.bad_cloud_bodies import BAD_BODIES, CSV, JSON, LINES, ROW
from support.gunicorn_server import GUNICORN, ROOT, Server, await_message, environment, free_port, serving
from support.known_animals import KNOWN, LLAMA, MAINE_COON, NAMES, named
from support.waiting import await_equal, await_metrics

from service.app import api_keys
from service.settings import SHIPPED_STORE

SERVE = ROOT / "deploy" / "sagemaker" / "serve"
VERTEX_ROUTE = "/v1/endpoints/1234567890/deployedModels/987654321"


@contextmanager
def container(command: Sequence[str], **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The image's command, with the environment that a platform gives it.

    Afterwards it must end as the platforms ask: they send SIGTERM, and SIGKILL after 30 s.
    """
    settings = environment(MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="1", **variables)
    settings["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{settings['PATH']}"
    with subprocess.Popen(
        command, cwd=ROOT, env=settings, stderr=subprocess.PIPE, pipesize=2**20, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            _, log = process.communicate(timeout=30)
        assert process.returncode == 0, log


def await_ok(url: str, *, seconds: float = 60) -> requests.Response:
    """The first response with the status 200 to a health check, each of which has 2 s."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            response = requests.get(url, timeout=2)
            if response.status_code == 200:
                return response
        except requests.RequestException:
            pass
        assert time.monotonic() < deadline, url
        time.sleep(0.05)


def test_sagemaker() -> None:
    """`docker run IMAGE serve`: pings until 200, then requests with the headers that InvokeEndpoint passes on."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with container([str(SERVE)], SAGEMAKER_BIND_TO_PORT=str(port), PORT="1"):
        assert await_ok(f"{url}/ping").content == b""
        extra = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1", "X-Amzn-SageMaker-Inference-Id": "7"}

        def invoke(body: str, media_type: str, accept: str) -> requests.Response:
            headers = {"Content-Type": media_type, "Accept": accept} | extra
            response = requests.post(f"{url}/invocations", body, headers=headers, timeout=60)
            assert response.status_code == 200, response.text
            assert response.headers["Content-Type"].partition(";")[0] == accept
            return response

        instances = json.dumps({"instances": [{"features": row} for row in KNOWN.values()]})
        predictions = invoke(instances, JSON, JSON).json()["predictions"]
        assert [row["label"] for row in predictions] == list(KNOWN)
        table = "\n".join(",".join(map(str, row)) for row in KNOWN.values())
        assert [line.partition(",")[0] for line in invoke(table, CSV, CSV).text.splitlines()] == list(KNOWN)
        lines = "\n".join(json.dumps({"features": row}) for row in KNOWN.values())
        assert [json.loads(line) for line in invoke(lines, LINES, LINES).text.splitlines()] == predictions


def test_sagemaker_batch_transform() -> None:
    """It asks for the parameters, and sends a file in parts of whole lines, several at once; lines stay in order."""
    rows = [list(KNOWN.values())[index % 4] for index in range(9_000)]
    with serving(MENAGERIE_PLATFORM="sagemaker") as server:
        parameters = requests.get(f"{server.url}/execution-parameters", timeout=10).json()
        assert parameters.keys() == {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"}
        body = "\n".join(",".join(map(str, row)) for row in rows)
        assert len(body) < parameters["MaxPayloadInMB"] << 20
        response = requests.post(
            f"{server.url}/invocations", body, headers={"Content-Type": CSV, "Accept": CSV}, timeout=60
        )
        labels = [line.partition(",")[0] for line in response.text.splitlines()]
        assert labels == [list(KNOWN)[index % 4] for index in range(9_000)]


def test_vertex() -> None:
    """A TCP probe, health checks, and predictions at the routes that Vertex AI makes of its ids."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": VERTEX_ROUTE,
        "AIP_PREDICT_ROUTE": f"{VERTEX_ROUTE}:predict",
        "AIP_STORAGE_URI": "",
        "AIP_MODE": "PREDICTION",
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "PORT": "1",
    }
    with container(GUNICORN, **variables) as process:
        message = await_message(process, "serving animals 1 at")
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        await_ok(f"{url}{VERTEX_ROUTE}")
        document = {"instances": [named(MAINE_COON), LLAMA], "parameters": {"sampleShape": 1}}
        response = requests.post(f"{url}{VERTEX_ROUTE}:predict", json=document, timeout=10)
        assert response.status_code == 200, response.text
        assert list(response.json()) == ["predictions"]
        assert [row["label"] for row in response.json()["predictions"]] == ["cat", "llama"]
        curl = shlex.split(message.partition("\n")[2])
        said = subprocess.run([*curl, "--silent"], capture_output=True, text=True, check=True, timeout=30).stdout
        assert json.loads(said)["model"] == {"name": "animals", "version": "1"}


def test_azureml(tmp_path: Path) -> None:
    """Liveness, readiness and scoring, with the model where Azure Machine Learning mounts it."""
    mixed_bundles.publish(tmp_path / "models")
    rows = [dict(zip([f.name for f in mixed_bundles.FEATURES], row, strict=True)) for row in mixed_bundles.raw_rows(5)]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with container(GUNICORN, AZUREML_MODEL_DIR=str(tmp_path), PORT=str(port)):
        for route in ("/readyz", "/livez", "/"):
            await_ok(f"{url}{route}")
        table = {"columns": list(rows[0]), "index": list(range(5)), "data": [list(row.values()) for row in rows]}
        headers = {"Authorization": "Bearer of-the-endpoint", "azureml-model-deployment": "blue"}
        response = requests.post(f"{url}/score", json={"input_data": table}, headers=headers, timeout=10)
        assert response.status_code == 200, response.text
        assert response.json()["model"] == {"name": "mixed", "version": "1"}
        expected = requests.post(f"{url}/predict", json={"instances": rows}, timeout=10).json()
        assert response.json() == expected


def test_port_alone() -> None:
    """Cloud Run, the Lambda Web Adapter and Heroku-style platforms name a port, and ask for nothing else."""
    port = free_port()
    with container(GUNICORN, PORT=str(port), K_SERVICE="animals", DYNO="web.1"):
        url = f"http://127.0.0.1:{port}"
        await_ok(f"{url}/")
        assert requests.post(f"{url}/predict", json={"features": LLAMA}, timeout=10).json()["label"] == "llama"
        assert requests.get(f"{url}/ping", timeout=10).status_code == 404


def test_gunicorn_alone_heeds_the_platform() -> None:
    """Started without `python -m service`, and without its check of the environment."""
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "service" / "gunicorn.conf.py")]
    with container([*command, "--bind", f"127.0.0.1:{(port := free_port())}"], MENAGERIE_PLATFORM="sagemaker"):
        await_ok(f"http://127.0.0.1:{port}/ping")
    ended = subprocess.run(
        [*command, "--bind", f"127.0.0.1:{port}"],
        cwd=ROOT,
        env=environment(AIP_HTTP_PORT="8080", AIP_STORAGE_URI="gs://bucket/animals"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "menagerie: AIP_STORAGE_URI is gs://bucket/animals, " in ended.stderr


def test_keys_and_metrics_hold_for_the_platform() -> None:
    """Its health checks are public, its predictions are not; metrics count both under the platform's protocol."""
    key, known = api_keys.make()
    with serving(MENAGERIE_PLATFORM="sagemaker", MENAGERIE_API_KEYS=known) as server:
        for path in ("/ping", "/execution-parameters"):
            assert requests.get(f"{server.url}{path}", timeout=10).status_code == 200
        keys = {"X-API-Key": key}
        assert requests.post(f"{server.url}/invocations", json={"instances": [LLAMA]}, timeout=10).status_code == 401
        for media_type, body in ((JSON, json.dumps({"instances": [LLAMA]})), (CSV, ROW)):
            response = requests.post(
                f"{server.url}/invocations", body, headers=keys | {"Content-Type": media_type}, timeout=10
            )
            assert response.status_code == 200, response.text

        def count() -> dict[str, float]:
            metrics = requests.get(f"{server.url}/metrics", headers=keys, timeout=10).text
            counted = [line for line in metrics.splitlines() if "_total{" in line and 'protocol="sagemaker"' in line]
            return {
                line.partition('status="')[2][:3]: float(line.split()[-1]) for line in counted if "/invocations" in line
            }

        await_equal(count, {"200": 2, "401": 1})
        await_metrics(
            server, 'menagerie_predictions_total{label="llama",model="animals",version="1"} 1.0', headers=keys
        )


def test_limits_hold_for_the_platform() -> None:
    """A body that is too long, or comes while all threads are taken, is refused before it is read."""
    settings = {"MENAGERIE_MAX_BODY_BYTES": "100000", "MENAGERIE_THREADS": "1", "MENAGERIE_MAX_CONCURRENCY": "1"}
    with serving(MENAGERIE_PLATFORM="sagemaker", WEB_CONCURRENCY="1", **settings) as server:

        def invoke(rows: int) -> requests.Response:
            return requests.post(
                f"{server.url}/invocations", f"{ROW}\n" * rows, headers={"Content-Type": CSV}, timeout=60
            )

        assert invoke(2_000).status_code == 200
        assert invoke(4_000).json()["type"] == "urn:menagerie:problem:too-large"
        with ThreadPoolExecutor(8) as pool:
            responses = list(pool.map(invoke, [2_000] * 40))
    problems = {each.json()["type"] for each in responses if each.status_code != 200}
    assert problems == {"urn:menagerie:problem:overloaded"}


@pytest.fixture(scope="module")
def fast() -> Iterator[Server]:
    with serving(MENAGERIE_PLATFORM="sagemaker") as server:
        yield server


@pytest.fixture(scope="module")
def flask() -> Iterator[Server]:
    """Plain Flask in gunicorn's threaded workers."""
    with serving(
        "--worker-class", "gthread", "service.app.flask_app:create_app()", MENAGERIE_PLATFORM="sagemaker"
    ) as server:
        yield server


def exchange(server: Server, method: str, path: str, body: bytes | str, headers: dict[str, str]) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, body, {"X-Request-ID": "same", **headers})
        response = connection.getresponse()
        kept = {name.lower(): value for name, value in response.getheaders()}
        for name in ("date", "server", "connection", "server-timing"):
            kept.pop(name, None)
        return response.status, kept, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("bad", BAD_BODIES, ids=lambda bad: bad.description)
def test_adapters_give_identical_errors(fast: Server, flask: Server, bad: Any) -> None:
    headers = {"Content-Type": bad.media_type} if bad.media_type else {}
    body = bad.body.encode() if isinstance(bad.body, str) else bad.body
    responses = [exchange(server, "POST", "/invocations", body, headers) for server in (fast, flask)]
    assert responses[0] == responses[1]
    assert responses[0][0] == bad.status


@pytest.mark.parametrize("accept", [JSON, CSV, LINES, "", "image/png"])
@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (JSON, json.dumps({"instances": [LLAMA, named(MAINE_COON)]})),
        (JSON, json.dumps({"features": LLAMA})),
        (CSV, ROW),
        (CSV, f"{','.join(NAMES)}\n" + f"{ROW}\n" * 1000),
        (LINES, json.dumps(LLAMA)),
    ],
    ids=["instances", "features", "CSV", "much CSV", "JSON Lines"],
)
def test_adapters_give_identical_responses(
    fast: Server, flask: Server, media_type: str, body: str, accept: str
) -> None:
    """On the fast path, in a thread and in Flask."""
    headers = {"Content-Type": media_type} | ({"Accept": accept} if accept else {})
    responses = [exchange(server, "POST", "/invocations", body, headers) for server in (fast, flask)]
    assert responses[0] == responses[1]
    assert responses[0][0] == (406 if accept == "image/png" else 200)


def test_health_checks_are_the_same_everywhere(fast: Server, flask: Server) -> None:
    for method in ("GET", "HEAD", "POST"):
        responses = [exchange(server, method, "/ping", "", {}) for server in (fast, flask)]
        assert responses[0] == responses[1]


def test_the_archive_of_a_bundle_is_served(tmp_path: Path) -> None:
    """Made as docs/clouds.md says, and extracted as SageMaker does; there, to /opt/ml/model."""
    archive = tmp_path / "model.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", SHIPPED_STORE, "animals"], check=True)
    (tmp_path / "model").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path / "model"], check=True)
    with serving(AZUREML_MODEL_DIR=str(tmp_path / "model")) as server:
        assert requests.get(f"{server.url}/health", timeout=10).json()["model"]["name"] == "animals"
