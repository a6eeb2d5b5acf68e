"""The service and the training in containers, started by `docker compose` as an operator does."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from docker import DockerClient
from docker.models.containers import Container
from support import markdown_commands
from support.gunicorn_server import ROOT, environment, free_port
from support.keras_models import make
from support.known_animals import KNOWN, LLAMA, named
from support.published_bundles import newest_version
from support.waiting import await_true

from models import bundle
from service.settings import PREFIX, SHIPPED_STORE, Settings
from service.version import VERSION

pytestmark = pytest.mark.container

STORE = "/app/models/store"
WORKERS = 3
STOP_GRACE_SECONDS = 30  # as in docker-compose.yml

# How to adopt a model into the store of `docker compose up` and to serve it beside the others.
(DOCUMENTED,) = (
    block
    for block, _ in markdown_commands.command_blocks(ROOT / "docs" / "adopting.md")
    if block.startswith("docker compose run --rm --entrypoint")
)
QUICK = ["--rows", "400", "--epochs", "2", "--candidates", "1", "--no-report"]

# The image's health check with a shorter interval, and a proxy as Docker may set it for all containers.
HEALTH_CHECK = {"interval": "1s", "retries": 2}
OVERRIDE = {"services": {"serve": {"healthcheck": HEALTH_CHECK, "environment": {"http_proxy": "http://127.0.0.1:9"}}}}


PROMETHEUS = "menagerie-test-prometheus"  # built here, because not every machine can pull images
PROMETHEUS_DOCKERFILE = """
FROM python:3.13-slim-trixie
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
ENTRYPOINT ["/bin/prometheus"]
"""


class Project:
    """A `docker compose` project with a name, a port and a store of its own."""

    def __init__(self, engine: DockerClient, override: Path) -> None:
        self.engine = engine
        self.name = f"menagerie-test-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = ["docker", "compose", "--ansi", "never", "--project-name", self.name, "--env-file", "/dev/null"]
        self._command += ["--file", "docker-compose.yml", "--file", str(override)]
        monitoring = free_port()
        self.prometheus = f"http://127.0.0.1:{monitoring}"
        self.environment = environment(
            PORT=str(self.port),
            WEB_CONCURRENCY=str(WORKERS),
            PROMETHEUS_PORT=str(monitoring),
            PROMETHEUS_IMAGE=PROMETHEUS,
        )

    def compose(self, *arguments: str) -> str:
        """The output of `docker compose`; another exit code than 0 fails the test with it."""
        completed = self.attempt(*arguments)
        assert completed.returncode == 0, f"docker compose {' '.join(arguments)}:\n{completed.stdout}{completed.stderr}"
        return completed.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1200,  # a first build downloads TensorFlow
            check=False,
        )

    def up(self) -> Container:
        """Start the service and return its container once it is healthy."""
        completed = self.attempt("up", "--detach", "--wait", "serve")
        assert completed.returncode == 0, completed.stderr + self.compose("logs", "--no-log-prefix", "serve")
        return self.container()

    def container(self) -> Container:
        """The service's container, running or not."""
        return self.engine.containers.get(self.compose("ps", "--all", "--quiet", "serve").strip())

    def predict(self, values: tuple[float, ...]) -> dict[str, Any]:
        response = requests.post(f"{self.url}/predict", json={"features": named(values)}, timeout=10)
        assert response.status_code == 200, response.text
        prediction: dict[str, Any] = response.json()
        return prediction


@contextmanager
def fresh_project(engine: DockerClient, folder: Path) -> Iterator[Project]:
    """A project with no state but the build cache, removed afterwards."""
    override = folder / "override.json"
    override.write_text(json.dumps(OVERRIDE))
    project = Project(engine, override)
    try:
        yield project
    finally:
        project.compose(
            "--profile",
            "train",
            "--profile",
            "monitoring",
            "down",
            "--volumes",
            "--remove-orphans",
            "--rmi",
            "local",
            "--timeout",
            "1",
        )


@pytest.fixture(scope="module")
def project(engine: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with fresh_project(engine, tmp_path_factory.mktemp("compose")) as fresh:
        fresh.compose("build", "serve")
        yield fresh


@pytest.fixture
def service(project: Project) -> Container:
    return project.up()


def exec_run(container: Container, *command: str, user: str = "") -> tuple[int, str]:
    """Exit code and output of a command run in a container."""
    completed = container.exec_run(list(command), user=user)
    assert completed.exit_code is not None
    assert isinstance(completed.output, bytes)
    return completed.exit_code, completed.output.decode()


def processes(container: Container) -> list[dict[str, str]]:
    """/proc/<pid>/status of each process in a container, including the one that reads them."""
    _, output = exec_run(container, "sh", "-c", "cat /proc/[0-9]*/status")
    fields = re.findall(r"^(\w+):\s*(.*)$", output, re.MULTILINE)
    starts = [index for index, (name, _) in enumerate(fields) if name == "Name"]
    return [dict(fields[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]


def await_health(container: Container, status: str, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while container.attrs["State"]["Health"]["Status"] != status:
        assert time.monotonic() < deadline, f"not {status}: {container.attrs['State']['Health']}"
        time.sleep(0.2)
        container.reload()


def test_up_serves_the_shipped_model(project: Project, service: Container) -> None:
    """After `docker compose up` in a fresh clone, the shipped model predicts the known animals."""
    predictions = {label: project.predict(values) for label, values in KNOWN.items()}
    assert {label: prediction["label"] for label, prediction in predictions.items()} == {
        label: label for label in KNOWN
    }
    assert predictions["llama"]["model"] == {
        "name": "animals",
        "version": newest_version(SHIPPED_STORE / "animals").name,
    }
    assert f"http://localhost:{project.port}/predict" in service.logs().decode(), "the log's example would not work"


def test_compose_passes_all_settings(project: Project) -> None:
    """Except those that the image decides: the model's location."""
    config = json.loads(project.compose("config", "--format", "json"))
    passed = {name for name in config["services"]["serve"]["environment"] if name.startswith(PREFIX)}
    assert passed == {PREFIX + name.upper() for name in Settings.model_fields.keys() - {"model_store", "model_dir"}}


def test_processes_have_no_privileges(service: Container) -> None:
    """Master, workers and the process for probes run as a numeric user without capabilities, and none can gain one."""
    statuses = processes(service)
    assert [process["Name"] for process in statuses].count("gunicorn") == 1 + WORKERS + 1
    for process in statuses:
        assert process["Uid"].split() == ["10001"] * 4
        assert {process[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert process["NoNewPrivs"] == "1"


@pytest.mark.parametrize("path", ["/app", "/app/service", "/opt/venv", "/etc", "/home", STORE])
def test_file_system_is_read_only(service: Container, path: str) -> None:
    """Even for the owner of a folder: the root and the store are mounted read-only."""
    _, owner = exec_run(service, "stat", "--format=%u", path)
    code, output = exec_run(service, "touch", f"{path}/trace", user=owner.strip())
    assert code != 0
    assert "Read-only file system" in output


def test_resources_are_limited(service: Container) -> None:
    """Memory and processes have a limit, and the service restarts after a crash."""
    host = service.attrs["HostConfig"]
    assert 0 < host["Memory"] <= 2**30
    assert 0 < host["PidsLimit"] <= 1024
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_image_contains_the_service_only(service: Container) -> None:
    """No installer, compiler, tests, training code or TensorFlow to attack, scan or download."""
    tools = ["pip", "pip3", "gcc", "cc", "g++", "clang", "ld", "make", "cmake", "git", "curl", "wget", "pytest"]
    modules = ["pip", "tensorflow", "keras", "sklearn", "matplotlib", "pytest", "models.train"]
    find = "import importlib.util, shutil"
    find += f"; print(*filter(shutil.which, {tools}), *filter(importlib.util.find_spec, {modules}))"
    assert exec_run(service, "python", "-c", find) == (0, "\n")
    contract = ["bundle.py", "encoding.py", "feature.py", "golden.py", "hashing.py", "installation.py", "manifest.py"]
    contract += ["names.py", "number_format.py", "reference_statistics.py", "signature.py", "weights.py"]
    assert exec_run(service, "ls", "/app")[1].split() == ["models", "service"]
    listed = sorted(exec_run(service, "ls", "/app/models")[1].split())
    assert listed == sorted(["__init__.py", "__pycache__", *contract, "store"])
    assert exec_run(service, "find", "/app", "/opt", "-type", "d", "-name", "tests") == (0, "")


def test_image_adds_little_to_its_base(project: Project, service: Container) -> None:
    """At most 180 MB beyond the base image, which a registry shares."""
    images, base = project.engine.images, f"{project.name}-base"
    subprocess.run(
        ["docker", "build", "--target", "base", "--tag", base, "."], cwd=ROOT, capture_output=True, check=True
    )
    added = images.get(service.attrs["Image"]).attrs["Size"] - images.get(base).attrs["Size"]
    images.remove(base)
    assert 0 < added <= 180e6


def test_image_has_labels(service: Container) -> None:
    """The version label is the service's version."""
    labels = service.labels
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.title"] == "Menagerie"
    assert labels["org.opencontainers.image.licenses"] == "MIT"


def test_modules_are_compiled(service: Container) -> None:
    """On a read-only root, Python would compile them again at each start and each health check."""
    code, output = exec_run(service, "python", "-v", "-c", "import gunicorn.arbiter, service.app.flask_app")
    assert code == 0
    assert re.findall(r"^# code object from (?!.*\.pyc).*", output, re.MULTILINE) == []
    assert "service/app/__pycache__/flask_app.cpython" in output


def test_unresponsive_service_is_unhealthy(project: Project, service: Container) -> None:
    """It accepts connections but does not respond; it is healthy again once it does."""
    assert exec_run(service, "sh", "-c", "kill -STOP -1")[0] == 0  # all but process 1 and this shell
    await_health(service, "unhealthy")
    assert exec_run(service, "sh", "-c", "kill -CONT -1")[0] == 0
    await_health(service, "healthy")
    assert project.predict(LLAMA)["label"] == "llama"


def test_broken_model_is_refused(project: Project, service: Container) -> None:
    """With one bit of the network flipped, the container logs one line and exits; it is never healthy."""
    model = f"{STORE}/animals/1/{bundle.MODEL_LITERT}"
    flip = f"path = '{model}'; data = bytearray(open(path, 'rb').read()); data[99] ^= 1; open(path, 'wb').write(data)"
    image, name = service.attrs["Image"], f"{project.name}-broken"
    volume = project.engine.volumes.create(name)
    try:
        writable = {name: {"bind": STORE, "mode": "rw"}}
        project.engine.containers.run(image, ["python", "-c", flip], volumes=writable, remove=True)
        container = project.engine.containers.run(
            image, name=name, detach=True, volumes=writable, read_only=True, healthcheck={"interval": 100_000_000}
        )
        try:
            assert container.wait(timeout=60)["StatusCode"] == 1
            container.reload()
            assert container.attrs["State"]["Health"]["Status"] != "healthy"
            (line,) = container.logs().decode().splitlines()
            assert json.loads(line)["message"].startswith(f"menagerie: {model} does not match manifest.json")
        finally:
            container.remove(force=True)
    finally:
        volume.remove()


def test_image_is_a_container_of_sagemaker(project: Project, service: Container) -> None:
    """`docker run IMAGE serve` with a model in /opt/ml/model.

    As on AWS Lambda, the user is any, the file system is read-only but for /tmp, and there is no /dev/shm.
    """
    image, name, port = service.attrs["Image"], f"{project.name}-sagemaker", free_port()
    containers, volume = project.engine.containers, project.engine.volumes.create(name)
    try:
        mount = {name: {"bind": "/opt/ml/model", "mode": "rw"}}
        containers.run(image, ["cp", "-r", f"{STORE}/animals", "/opt/ml/model"], volumes=mount, user="0", remove=True)
        mount[name]["mode"] = "ro"
        container = containers.run(
            image,
            ["serve"],
            name=name,
            detach=True,
            volumes=mount,
            user="4321:4321",
            read_only=True,
            tmpfs={"/tmp": ""},  # noqa: S108 (in the container)
            ipc_mode="none",
            cap_drop=["ALL"],
            ports={"8080/tcp": ("127.0.0.1", port)},
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await_true(lambda: _is_ok(f"{url}/ping"))
            headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
            line = ",".join(map(str, LLAMA))
            response = requests.post(f"{url}/invocations", line, headers=headers, timeout=10)
            assert response.text.startswith("llama,"), response.text
            assert requests.get(f"{url}/model", timeout=10).json()["name"] == "animals"
            container.stop(timeout=STOP_GRACE_SECONDS)
            assert container.wait(timeout=60)["StatusCode"] == 0
        finally:
            container.remove(force=True)
    finally:
        volume.remove()


def _is_ok(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_image_runs_other_commands(project: Project, service: Container) -> None:
    """`serve` is a program beside the default command, not an entry point."""
    output = project.engine.containers.run(service.attrs["Image"], ["python", "-m", "service.keys"], remove=True)
    assert re.fullmatch(rb"key:  menagerie_\S+\nhash: [0-9a-f]{64}\n", output)


def test_stop_completes_requests_in_flight(project: Project, service: Container) -> None:
    """An idle connection does not delay it, and the exit code is 0."""
    body = json.dumps({"features": named(LLAMA)}).encode()
    head = (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    address = ("127.0.0.1", project.port)
    with (
        requests.Session() as idle,
        socket.create_connection(address, timeout=STOP_GRACE_SECONDS) as half,
        ThreadPoolExecutor() as pool,
    ):
        assert idle.get(f"{project.url}/livez", timeout=10).ok
        half.sendall(head.encode() + body[:10])
        time.sleep(0.5)  # until a worker reads it
        began = time.monotonic()
        stop = pool.submit(project.compose, "stop", "serve")
        time.sleep(1)  # until all workers know
        half.sendall(body[10:])
        with half.makefile("rb") as response:
            assert response.readline() == b"HTTP/1.1 200 OK\r\n"
        stop.result()
        assert time.monotonic() - began < STOP_GRACE_SECONDS / 2
    service.reload()
    assert service.attrs["State"]["ExitCode"] == 0
    assert service.attrs["Config"]["StopTimeout"] == STOP_GRACE_SECONDS == Settings().grace_seconds
    assert "graceful_timeout" not in service.logs().decode(), "a limit does not fit into the grace"


@pytest.mark.tensorflow
def test_train_adds_a_version_that_is_served(engine: DockerClient, tmp_path: Path) -> None:
    """Training, without a network, adds a version to the store of a running service, which loads it."""
    version = int(newest_version(SHIPPED_STORE / "animals").name)
    with fresh_project(engine, tmp_path) as project:
        project.up()
        project.compose("run", "--rm", "train", *QUICK)
        deadline = time.monotonic() + 60
        while project.predict(LLAMA)["model"]["version"] != str(version + 1):
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.tensorflow
def test_trained_and_adopted_models_are_served_side_by_side(engine: DockerClient, tmp_path: Path) -> None:
    """The commands of docs/adopting.md, before the service first starts: it serves all that the store then holds.

    One model has eight features, the other ten; each is predicted, explained and watched for drift by its name.
    """
    churn = make("churn", tmp_path)
    is_churned = churn.expected["churned"][:, 0] > np.median(churn.expected["churned"])
    sample = replace(churn, labels={"churned": ["yes" if each else "no" for each in is_churned]})
    sample.write_csv(tmp_path / "customers.csv")
    tmp_path.chmod(0o755)  # for the container's user
    trained = str(int(newest_version(SHIPPED_STORE / "animals").name) + 1)
    rows = {"animals": [*LLAMA], "churn": churn.rows[0].tolist()}
    with fresh_project(engine, tmp_path) as project:
        project.compose("run", "--rm", "train", *QUICK)
        (adopt, up) = DOCUMENTED.replace("\\\n", "").replace("$PWD", str(tmp_path)).splitlines()
        project.compose(*shlex.split(adopt.removeprefix("docker compose ")))
        setting, command = up.split(maxsplit=1)
        assert command == "docker compose up"
        project.environment |= dict([setting.replace("'", "").split("=")])
        project.up()
        models = requests.get(f"{project.url}/models", timeout=10).json()["models"]
        assert [(each["name"], each["versions"]) for each in models] == [("animals", [1, int(trained)]), ("churn", [1])]
        assert project.predict(LLAMA)["model"] == {"name": "animals", "version": trained}
        for name, version in (("animals", trained), ("churn", "1")):
            own, row = f"{project.url}/models/{name}", {"features": rows[name]}
            prediction = requests.post(f"{own}/predict", json=row, timeout=10).json()
            assert prediction["model"] == {"name": name, "version": version}
            assert requests.post(f"{own}/explain", json=row, timeout=60).json()["attributions"]
            assert requests.get(f"{own}/drift", timeout=10).ok
        assert prediction["probabilities"]["yes"] == pytest.approx(float(churn.expected["churned"][0, 0]), abs=1e-5)


def test_monitoring_profile_scrapes_the_service(project: Project, service: Container, tmp_path: Path) -> None:
    """Prometheus finds the service at its configured port and loads the rules."""
    del service
    binary = shutil.which("prometheus")
    if not binary:
        pytest.skip("no Prometheus here: install Debian's package")
    shutil.copy(binary, tmp_path)
    (tmp_path / "Dockerfile").write_text(PROMETHEUS_DOCKERFILE)
    subprocess.run(["docker", "build", "--quiet", "--tag", PROMETHEUS, str(tmp_path)], capture_output=True, check=True)
    project.compose("--profile", "monitoring", "up", "--detach", "prometheus")
    api = f"{project.prometheus}/api/v1/"

    def query_workers() -> list[Any]:
        try:
            result = requests.get(f"{api}query", params={"query": "menagerie_workers"}, timeout=10).json()
        except requests.RequestException:
            return []
        samples: list[Any] = result["data"]["result"]
        return samples

    await_true(query_workers)
    assert query_workers()[0]["metric"]["instance"] == f"serve:{project.port}"
    assert query_workers()[0]["value"][1] == str(WORKERS)
    groups = requests.get(f"{api}rules", timeout=10).json()["data"]["groups"]
    assert {group["name"] for group in groups} == {"menagerie-recorded", "menagerie-alerts"}
    project.compose("--profile", "monitoring", "stop", "prometheus")
