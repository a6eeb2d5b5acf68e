"""`python -m supply.sbom sbom.json`: what the image installs from Python's index, as CycloneDX tells it.

It is made from the lock that the image is built from; what the base image brings is the base image's own to list.
"""

import subprocess
import sys
from pathlib import Path

from supply.tools import ROOT, tool


def write(path: Path) -> None:
    """Write the list, valid by CycloneDX's schema and the same whenever the lock is.

    Raises:
        InstallError: its tool cannot be had.
    """
    command = [str(tool("cyclonedx-py")), "requirements", str(ROOT / "requirements" / "serve.txt")]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application", "--output-reproducible"]
    subprocess.run([*command, *options, "--of", "JSON", "-o", str(path)], check=True)  # noqa: S603


if __name__ == "__main__":
    write(Path(sys.argv[1]))
