"""`python -m supply.audit`: are faults known in what is locked? Ends with 1 if there are.

pip-audit asks a service on the network. Where none answers it says so of every package and ends well, or fails without
a report; neither means that nothing was found, and here both are told for what they are.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.environments import InstallError
from supply.tools import ROOT, tool

_SECONDS = 600


class UnreachableError(Exception):
    """Nothing could be audited; the message says why."""


def audit(*options: str) -> tuple[list[str], str]:
    """A line for each fault that is known, and a sentence on what was audited.

    Raises:
        UnreachableError: nothing was.
    """
    try:
        command = [str(tool("pip-audit")), "--format", "json", "--progress-spinner", "off", *options]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (InstallError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(str(error)) from None
    try:
        found: Sequence[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise UnreachableError((ran.stderr.strip().splitlines() or ["no report"])[-1][:200]) from None
    return _faults(found), _summary(found)


def _faults(found: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{one['name']} {one['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no release'}"
        for one in found
        for fault in one.get("vulns", ())
    ]


def _summary(found: Sequence[dict[str, Any]]) -> str:
    skipped = [one["name"] for one in found if "skip_reason" in one]
    if len(skipped) == len(found):
        raise UnreachableError(f"no service knows any of {len(found)} packages")
    left = f"; not audited: {', '.join(skipped)}" if skipped else ""
    return f"{len(found) - len(skipped)} of {len(found)} packages audited{left}"


def main() -> int:
    """Audit the largest lock, of which the others are parts."""
    lock = ROOT / "requirements" / "dev.txt"
    try:
        faults, summary = audit("--requirement", str(lock), "--require-hashes", "--disable-pip")
    except UnreachableError as error:
        sys.stdout.write(f"not audited: unreachable ({error})\n")
        return 0
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    sys.stdout.write(f"{summary}, {len(faults)} faults known\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
