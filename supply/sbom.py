"""`python -m supply.sbom menagerie sbom.json`: what an image is made of, as CycloneDX tells it.

Syft reads the image itself: Debian's packages as much as Python's, whatever was meant to be in it.
"""

import os
import subprocess
import sys
from pathlib import Path

from supply.tools import tool


def write(image: str, path: Path) -> None:
    """Write the list for an image that the engine has.

    Raises:
        InstallError: the tool cannot be had.
        CalledProcessError: the tool found no such image, and said so.
    """
    command = [str(tool("syft")), "scan", f"docker:{image}", "--quiet", "--output", f"cyclonedx-json={path}"]
    quiet = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}  # it is pinned, and asks nobody
    subprocess.run(command, check=True, env={**os.environ, **quiet})  # noqa: S603


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
