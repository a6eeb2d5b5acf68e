"""What the project is made of: listed, and audited where that can be."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from support.gunicorn_server import ROOT

from benchmarks.environments import InstallError
from supply import audit
from supply.audit import UnreachableError
from supply.tools import tool

FAULT = {
    "id": "PYSEC-0000-1",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "flask"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
        }
    ],
}


class Service(BaseHTTPRequestHandler):
    """Answers as osv.dev does, and knows one fault, of Flask."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"vulns": [FAULT]} if asked["package"]["name"] == "flask" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/v1/query"
        listening.shutdown()
        thread.join()


@pytest.fixture(autouse=True, scope="module")
def _tools() -> None:
    try:
        tool("pip-audit")
    except InstallError as error:
        pytest.skip(f"the tools {error}")


def ask(url: str, tmp_path: Path, *lines: str) -> tuple[list[str], str]:
    path = tmp_path / "requirements.txt"
    path.write_text("\n".join(lines))
    options = ["--vulnerability-service", "osv", "--osv-url", url, "--cache-dir", str(tmp_path / "cache")]
    return audit.audit("--requirement", str(path), "--no-deps", "--disable-pip", *options)


def test_a_known_fault_is_found(service: str, tmp_path: Path) -> None:
    """By name, version, number and what mends it."""
    faults, summary = ask(service, tmp_path, "flask==3.1.0", "click==8.1.0")
    assert faults == ["flask 3.1.0: PYSEC-0000-1, mended in 99"]
    assert summary == "2 of 2 packages audited"


def test_what_has_no_known_fault_passes(service: str, tmp_path: Path) -> None:
    """Nothing to tell but how much was looked at."""
    assert ask(service, tmp_path, "click==8.1.0") == ([], "1 of 1 packages audited")


def test_a_service_that_cannot_be_reached_is_not_a_clean_bill(tmp_path: Path) -> None:
    """It is told as what it is."""
    with pytest.raises(UnreachableError):
        ask("http://127.0.0.1:1/v1/query", tmp_path, "click==8.1.0")


def test_packages_that_nobody_knows_are_not_a_clean_bill() -> None:
    """That is what pip-audit reports of an index without a list of faults, and it ends with 0."""
    skipped = {"name": "flask", "skip_reason": "not found"}
    with pytest.raises(UnreachableError, match="no service knows any of 1 packages"):
        audit._summary([skipped])  # noqa: SLF001
    told = audit._summary([skipped, {"name": "click", "version": "8", "vulns": []}])  # noqa: SLF001
    assert told == "1 of 2 packages audited; not audited: flask"


@pytest.mark.container
def test_every_package_of_the_image_is_listed(image: str, tmp_path: Path) -> None:
    """Debian's and Python's, with their versions, in CycloneDX: all that the image itself says that it has."""
    command = [sys.executable, "-m", "supply.sbom", image, str(tmp_path / "sbom.json")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    listed = json.loads((tmp_path / "sbom.json").read_text())
    assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", image)
    found = {unquote(part.get("purl", "")).partition("?")[0] for part in listed["components"]}
    debian = say(image, "dpkg-query", "--show", "--showformat", "${Package}@${Version}\n")
    python = say(image, "python", "-c", _INSTALLED)
    assert "libc6" in {package.partition("@")[0] for package in debian}
    assert "flask" in {package.partition("@")[0] for package in python}
    assert {f"pkg:deb/debian/{package}" for package in debian} <= found
    assert {f"pkg:pypi/{package}" for package in python} <= found


_INSTALLED = """
import re
from importlib.metadata import distributions
print(*(f"{re.sub(r'[-_.]+', '-', one.name).lower()}@{one.version}" for one in distributions()))
"""


def say(image: str, *command: str) -> list[str]:
    """The words that a command in the image says."""
    ran = subprocess.run(["docker", "run", "--rm", image, *command], capture_output=True, text=True, check=True)
    return ran.stdout.split()
