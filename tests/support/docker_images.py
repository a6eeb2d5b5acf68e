"""Fixtures: the Docker engine, and the image of the service."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from docker import DockerClient

from support.gunicorn_server import ROOT


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    try:
        subprocess.run(["docker", "compose", "ls"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no Docker engine with Compose v2: {getattr(error, 'stderr', error)}")
    context = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    client = DockerClient(subprocess.run(context, capture_output=True, text=True, check=True).stdout.strip())
    with closing(client):
        yield client


@pytest.fixture(scope="session")
def image(engine: DockerClient) -> Iterator[str]:
    """The name of an image built from the working tree."""
    name = f"menagerie-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "build", "--quiet", "--tag", name, "."], cwd=ROOT, capture_output=True, check=True)
    yield name
    engine.images.remove(name)
