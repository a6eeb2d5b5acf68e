"""`python -m supply.audit`: look up known vulnerabilities of the locked packages; exit code 1 if there are any.

pip-audit queries a service on the network. Without an answer it either skips every package and exits with 0, or fails
without a report; neither means that there are no vulnerabilities, so both are reported as an unreachable service.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.environments import InstallError
from supply.locks import LOCKS, included_locks
from supply.tools import install_tool

_TIMEOUT = 600  # seconds


class UnreachableError(Exception):
    """No package could be audited; the message gives the reason."""


def audit(*options: str) -> tuple[list[str], str]:
    """A line for each known vulnerability, and a summary of the packages that were audited.

    Raises:
        UnreachableError: none was.
    """
    try:
        command = [str(install_tool("pip-audit")), "--format", "json", "--progress-spinner", "off", *options]
        process = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except (InstallError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(str(error)) from None
    try:
        packages: Sequence[dict[str, Any]] = json.loads(process.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise UnreachableError((process.stderr.strip().splitlines() or ["no report"])[-1][:200]) from None
    return _describe_vulnerabilities(packages), _summarize(packages)


def _describe_vulnerabilities(packages: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {vulnerability['id']}, "
        f"mended in {', '.join(vulnerability['fix_versions']) or 'no release'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]


def _summarize(packages: Sequence[dict[str, Any]]) -> str:
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        raise UnreachableError(f"no service knows any of {len(packages)} packages")
    exception = f"; not audited: {', '.join(skipped)}" if skipped else ""
    return f"{len(packages) - len(skipped)} of {len(packages)} packages audited{exception}"


def main() -> int:
    """Audit the largest lock, which pins everything, with those that it includes: pip-audit does not follow `-r`."""
    locks = [option for name in included_locks("dev") for option in ("--requirement", str(LOCKS / f"{name}.txt"))]
    try:
        vulnerabilities, summary = audit(*locks, "--require-hashes", "--disable-pip")
    except UnreachableError as error:
        sys.stdout.write(f"not audited: unreachable ({error})\n")
        return 0
    sys.stdout.writelines(f"{line}\n" for line in vulnerabilities)
    sys.stdout.write(f"{summary}, {len(vulnerabilities)} faults known\n")
    return 1 if vulnerabilities else 0


if __name__ == "__main__":
    sys.exit(main())
