"""The start of the service, the sandbox check of its bundle included, imports only what every service needs."""

import json
import subprocess
import sys

from support.gunicorn_server import ROOT, environment

PROGRAM = """
import json, sys
from models.bundle import Bundle
from service.app import create_app
from service.inference.sandbox import require_sound
from service.settings import Settings
app = create_app()
require_sound(Bundle.read(app.extensions["menagerie"].registry.current.model.bundle.folder), Settings.load().engine)
print(json.dumps(sorted(sys.modules)))
"""
SLOW = ("numpy.random", "opentelemetry", "prometheus_client", "pyarrow", "pydantic_settings", "tensorflow")


def imported_by(program: str) -> list[str]:
    """What is imported once the program has ended, which prints it."""
    command = [sys.executable, "-c", program]
    completed = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=True
    )
    modules: list[str] = json.loads(completed.stdout)
    return modules


def test_start_imports_nothing_slow_that_it_can_do_without() -> None:
    """Each of these takes 10 ms or more of a start of 500."""
    modules = imported_by(PROGRAM)
    assert "ai_edge_litert.interpreter" in modules
    assert [name for name in modules if name.startswith(SLOW)] == []


def test_a_scrape_imports_nothing_slow_but_the_library_of_the_metrics() -> None:
    """The event loop waits: `numpy.ma`, which some of NumPy's functions import when they are called, takes 10 ms."""
    scrape = 'assert app.test_client().get("/metrics").status_code == 200\nprint('
    modules = imported_by(PROGRAM.replace("print(", scrape))
    assert "prometheus_client.core" in modules
    assert not ({"numpy.ma", *SLOW} - {"prometheus_client"}) & {*modules}
