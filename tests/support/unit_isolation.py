"""Keeps unit tests fast and independent of the machine: they start no process and open no connection."""

import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

UNIT = Path(__file__).parent.parent / "unit"


def _refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a unit test starts no process and opens no connection: move it to tests/integration")


@pytest.fixture(autouse=True)
def _no_process_and_no_socket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a test of tests/unit fail if it starts a process, or binds or connects a socket."""
    if request.path.is_relative_to(UNIT):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")  # scikit-learn would start `lscpu` to count the cores
        platform.processor()  # TensorFlow's imports ask for it: Python runs `uname` for that, once
        monkeypatch.setattr(subprocess.Popen, "__init__", _refuse)
        monkeypatch.setattr(os, "fork", _refuse)
        for method in ("bind", "connect"):
            monkeypatch.setattr(socket.socket, method, _refuse)
