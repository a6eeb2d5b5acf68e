"""The audit of the locked packages and the software bill of materials of the image."""

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
from supply.tools import install_tool

VULNERABILITY = {
    "id": "PYSEC-0000-1",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "flask"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
        }
    ],
}


class VulnerabilityService(BaseHTTPRequestHandler):
    """Responds as osv.dev does, and knows one vulnerability, of Flask."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"vulns": [VULNERABILITY]} if query["package"]["name"] == "flask" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def service_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), VulnerabilityService) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}/v1/query"
        http_server.shutdown()
        thread.join()


@pytest.fixture(autouse=True, scope="module")
def _tools() -> None:
    try:
        install_tool("pip-audit")
    except InstallError as error:
        pytest.skip(f"the tools {error}")


def run_audit(url: str, tmp_path: Path, *lines: str) -> tuple[list[str], str]:
    path = tmp_path / "requirements.txt"
    path.write_text("\n".join(lines))
    options = ["--vulnerability-service", "osv", "--osv-url", url, "--cache-dir", str(tmp_path / "cache")]
    return audit.audit("--requirement", str(path), "--no-deps", "--disable-pip", *options)


def test_a_known_vulnerability_is_reported(service_url: str, tmp_path: Path) -> None:
    """With the package, its version, the identifier and the release that fixes it."""
    vulnerabilities, summary = run_audit(service_url, tmp_path, "flask==3.1.0", "click==8.1.0")
    assert vulnerabilities == ["flask 3.1.0: PYSEC-0000-1, mended in 99"]
    assert summary == "2 of 2 packages audited"


def test_a_package_without_known_vulnerabilities_passes(service_url: str, tmp_path: Path) -> None:
    """The summary still says how many packages were audited."""
    assert run_audit(service_url, tmp_path, "click==8.1.0") == ([], "1 of 1 packages audited")


def test_an_unreachable_service_is_an_error(tmp_path: Path) -> None:
    """It does not count as an audit without findings."""
    with pytest.raises(UnreachableError):
        run_audit("http://127.0.0.1:1/v1/query", tmp_path, "click==8.1.0")


def test_an_audit_that_skips_every_package_is_an_error() -> None:
    """pip-audit reports this, and exits with 0, for an index without vulnerability data."""
    skipped = {"name": "flask", "skip_reason": "not found"}
    with pytest.raises(UnreachableError, match="no service knows any of 1 packages"):
        audit._summarize([skipped])  # noqa: SLF001
    summary = audit._summarize([skipped, {"name": "click", "version": "8", "vulns": []}])  # noqa: SLF001
    assert summary == "1 of 2 packages audited; not audited: flask"


@pytest.mark.container
def test_the_bill_of_materials_lists_every_package_of_the_image(image: str, tmp_path: Path) -> None:
    """The packages of Debian and of Python with their versions, as the image's own tools list them."""
    command = [sys.executable, "-m", "supply.sbom", image, str(tmp_path / "sbom.json")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    sbom = json.loads((tmp_path / "sbom.json").read_text())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", image)
    purls = {unquote(component.get("purl", "")).partition("?")[0] for component in sbom["components"]}
    debian = run_in_image(image, "dpkg-query", "--show", "--showformat", "${Package}@${Version}\n")
    python = run_in_image(image, "python", "-c", _INSTALLED)
    assert "libc6" in {package.partition("@")[0] for package in debian}
    assert "flask" in {package.partition("@")[0] for package in python}
    assert {f"pkg:deb/debian/{package}" for package in debian} <= purls
    assert {f"pkg:pypi/{package}" for package in python} <= purls


_INSTALLED = """
import re
from importlib.metadata import distributions
print(*(f"{re.sub(r'[-_.]+', '-', one.name).lower()}@{one.version}" for one in distributions()))
"""


def run_in_image(image: str, *command: str) -> list[str]:
    """The words that a command prints in a container of the image."""
    process = subprocess.run(["docker", "run", "--rm", image, *command], capture_output=True, text=True, check=True)
    return process.stdout.split()
