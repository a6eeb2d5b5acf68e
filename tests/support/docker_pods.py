"""Runs a pod's container on a Docker engine, with the limits and probes of the pod's spec, but without a cluster."""

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


class RunningPod(NamedTuple):
    """A started pod; ``url`` and ``health_url`` reach it from the host, ``name`` is its container's."""

    pod: Pod
    url: str
    health_url: str
    name: str

    def probe(self, kind: str) -> bool:
        """Whether the ``startup``, ``liveness`` or ``readiness`` probe passes now."""
        probe = self.pod.container[f"{kind}Probe"]
        try:
            return requests.get(self.health_url + probe["httpGet"]["path"], timeout=probe["timeoutSeconds"]).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def await_probe(self, kind: str) -> None:
        """Return once the probe passes, within the attempts and the period that the spec allows."""
        probe = self.pod.container[f"{kind}Probe"]
        for _ in range(probe["failureThreshold"]):
            if self.probe(kind):
                return
            time.sleep(probe["periodSeconds"])
        raise AssertionError(f"the {kind} probe failed: {self.log()}")

    def log(self) -> str:
        completed = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return completed.stdout + completed.stderr

    def stop(self) -> int:
        """Stop the container as a kubelet does after preStop; its exit code, which is 137 if it had to be killed."""
        grace = (
            self.pod.spec["terminationGracePeriodSeconds"]
            - self.pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        )
        _docker("stop", "--time", str(grace), self.name)
        return int(_docker("inspect", "--format", "{{.State.ExitCode}}", self.name))


@contextmanager
def run_pod(pod: Pod, image: str, name: str, mounts: dict[str, Path]) -> Iterator[RunningPod]:
    """Start the pod's container; ``mounts`` are folders of the host by their path in the container."""
    port, health_port = free_port(), free_port()
    command = ["run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:{pod.environment['PORT']}"]
    command += ["--publish", f"127.0.0.1:{health_port}:{pod.port(pod.container['readinessProbe']['httpGet']['port'])}"]
    command += _limit_options(pod)
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
        yield RunningPod(pod, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}", name)
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


def _limit_options(pod: Pod) -> list[str]:
    """Docker's options for the user, privileges and resources; the engine's seccomp profile is the default one."""
    security: Document = pod.spec["securityContext"] | pod.container["securityContext"]
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    limits = pod.container["resources"]["limits"]
    processors = min(int(limits["cpu"]), os.cpu_count() or 1)  # Docker refuses more than the host has
    options = ["--user", f"{security['runAsUser']}:{security['runAsGroup']}"]
    options += ["--cpus", str(processors), "--memory", str(_bytes(limits["memory"]))]
    options += [f"--cap-drop={capability}" for capability in security["capabilities"]["drop"]]
    options += ["--read-only"] if security["readOnlyRootFilesystem"] else []
    options += ["--security-opt=no-new-privileges"] if not security["allowPrivilegeEscalation"] else []
    return options


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def _docker(*command: str) -> str:
    completed = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=120, check=False)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.strip()
