"""A pod without a cluster: its one container on a Docker engine, as the pod's spec says, asked as a kubelet asks."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import requests

from support.gunicorn_server import free_port
from support.kubernetes_documents import Document, Pod

_UNITS = {"Mi": 2**20, "Gi": 2**30}


class Running(NamedTuple):
    """A started pod, and where it is to be reached from outside."""

    pod: Pod
    url: str
    name: str

    def probe(self, kind: str) -> bool:
        """One look of a kubelet: whether that probe passes now."""
        probe = self.pod.container[f"{kind}Probe"]
        try:
            return requests.get(self.url + probe["httpGet"]["path"], timeout=probe["timeoutSeconds"]).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def await_probe(self, kind: str) -> None:
        """Return once it passes; it is given the tries, and the time between them, that the spec gives it."""
        probe = self.pod.container[f"{kind}Probe"]
        for _ in range(probe["failureThreshold"]):
            if self.probe(kind):
                return
            time.sleep(probe["periodSeconds"])
        raise AssertionError(f"the {kind} probe failed: {self.log()}")

    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def stop(self) -> int:
        """End it as a kubelet does, whose preStop has passed; its exit code, 137 if it had to be killed."""
        grace = (
            self.pod.spec["terminationGracePeriodSeconds"]
            - self.pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        )
        _docker("stop", "--time", str(grace), self.name)
        return int(_docker("inspect", "--format", "{{.State.ExitCode}}", self.name))


@contextmanager
def running(pod: Pod, image: str, name: str, mounts: dict[str, Path]) -> Iterator[Running]:
    """The pod's container; what lies at ``mounts`` outside is in its volumes of that mount path."""
    port = free_port()
    command = ["run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:{pod.environment['PORT']}"]
    command += _bounds(pod)
    for variable, value in pod.environment.items():
        command += ["--env", f"{variable}={value}"]
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    for mount in pod.container["volumeMounts"]:
        if memory := volumes[mount["name"]].get("emptyDir"):
            command += ["--tmpfs", f"{mount['mountPath']}:size={_bytes(memory['sizeLimit'])}"]
    for path, folder in mounts.items():
        command += ["--volume", f"{folder}:{path}:ro"]
    try:
        _docker(*command, image)
        yield Running(pod, f"http://127.0.0.1:{port}", name)
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


def _bounds(pod: Pod) -> list[str]:
    """Who it runs as, what it may not, and how much it gets; the engine's own seccomp profile is RuntimeDefault."""
    asked: Document = pod.spec["securityContext"] | pod.container["securityContext"]
    assert asked["seccompProfile"] == {"type": "RuntimeDefault"}
    limits = pod.container["resources"]["limits"]
    processors = min(int(limits["cpu"]), os.cpu_count() or 1)  # an engine refuses to give more than there are
    said = ["--user", f"{asked['runAsUser']}:{asked['runAsGroup']}"]
    said += ["--cpus", str(processors), "--memory", str(_bytes(limits["memory"]))]
    said += [f"--cap-drop={capability}" for capability in asked["capabilities"]["drop"]]
    said += ["--read-only"] if asked["readOnlyRootFilesystem"] else []
    said += ["--security-opt=no-new-privileges"] if not asked["allowPrivilegeEscalation"] else []
    return said


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def _docker(*command: str) -> str:
    done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
