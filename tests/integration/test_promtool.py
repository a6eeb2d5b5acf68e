"""GET /metrics checked by Prometheus' own promtool."""

import shutil
import subprocess

import pytest
from flask.testing import FlaskClient
from support.known_animals import KNOWN


def test_promtool_finds_no_fault(client: FlaskClient) -> None:
    """`promtool check metrics`: names, types, units, help."""
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool here: install Debian's package prometheus")
    client.post("/predict", json={"features": KNOWN["dog"]})
    client.post("/predict", data=b"{", content_type="application/json")
    metrics = client.get("/metrics").data
    check = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
