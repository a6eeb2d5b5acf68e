"""`python -m supply.sbom menagerie sbom.json`: write the software bill of materials of an image in CycloneDX.

Syft reads the packages of Debian and of Python from the image itself.
"""

import os
import subprocess
import sys
from pathlib import Path

from supply.tools import install_tool


def write_sbom(image: str, path: Path) -> None:
    """Write the bill of materials of an image that the Docker engine has.

    Raises:
        InstallError: Syft cannot be installed.
        CalledProcessError: Syft failed, for example for want of the image, and printed why.
    """
    command = [str(install_tool("syft")), "scan", f"docker:{image}", "--quiet", "--output", f"cyclonedx-json={path}"]
    settings = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}  # its version is pinned
    subprocess.run(command, check=True, env={**os.environ, **settings})  # noqa: S603


if __name__ == "__main__":
    write_sbom(sys.argv[1], Path(sys.argv[2]))
