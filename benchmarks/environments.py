"""Python environments beside the project's own, created at first use and again when their requirements change."""

import fcntl
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path


class InstallError(Exception):
    """An environment cannot be created; the message gives the reason in a sentence."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in ``folder`` with the packages of the ``requirements`` file.

    A file that is ``complete`` also pins every dependency, so pip resolves none (``--no-deps``): the result is the same
    every day, and dependencies that this use of a library never imports stay out.
    """

    folder: Path
    requirements: Path
    complete: bool = False

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_current(self) -> bool:
        return self._marker.exists() and self._marker.read_text(encoding="utf-8") == self._fingerprint()

    def install(self, timeout: float) -> Path:
        """Install everything, unless that is done already, and return the environment's Python.

        Raises:
            InstallError: pip fails or takes longer than ``timeout`` seconds.
        """
        self.folder.parent.mkdir(exist_ok=True)
        (self.folder.parent / ".gitignore").write_text("*\n")
        with self.folder.with_name(f"{self.folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two tests that run at once may need the same environment
            if not self.is_current:
                venv.create(self.folder, clear=True)
                self._run_pip(timeout)
                self._marker.write_text(self._fingerprint(), encoding="utf-8")
        return self.python

    @property
    def _marker(self) -> Path:
        return self.folder / "installed.txt"

    def _fingerprint(self) -> str:
        return f"# Python {sys.version}\n{self.requirements.read_text(encoding='utf-8')}"

    def _run_pip(self, timeout: float) -> None:
        # The project's own pip compiles bytecode; otherwise a peer would compile at each measured start.
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install"]
        command += ["--quiet", "--disable-pip-version-check"]
        # Most modules of a complete list are never imported: compiling all would take half of the installation.
        command += ["--no-deps", "--no-compile"] if self.complete else []
        command += ["--requirement", str(self.requirements)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise InstallError(f"not installed after {timeout:g} s") from None
        except subprocess.CalledProcessError as error:
            errors = [line for line in error.stderr.splitlines() if line.startswith("ERROR")]
            raise InstallError(f"cannot be installed: {' '.join(errors[-1:])[:200]}") from None
