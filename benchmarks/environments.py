"""Python environments beside the project's own: made at first use from a file of pins, and anew when it has changed."""

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path


class InstallError(Exception):
    """An environment cannot be made; the message says why in a sentence."""


@dataclass(frozen=True)
class Environment:
    """One environment in the folder ``home``, for what ``requirements`` lists.

    A file that is ``complete`` lists every package that is needed, so that none is looked for beside it: what is
    installed is the same every day, and packages that a library asks for but this use of it never imports stay out.
    """

    home: Path
    requirements: Path
    complete: bool = False

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    @property
    def is_made(self) -> bool:
        return self._record.exists() and self._record.read_text(encoding="utf-8") == self._recipe()

    def make(self, seconds: float) -> Path:
        """The environment's Python, once everything is installed.

        Raises:
            InstallError: it cannot be, or not within ``seconds``.
        """
        if not self.is_made:
            self.home.parent.mkdir(exist_ok=True)
            (self.home.parent / ".gitignore").write_text("*\n")
            venv.create(self.home, clear=True)
            self._install(seconds)
            self._record.write_text(self._recipe(), encoding="utf-8")
        return self.python

    @property
    def _record(self) -> Path:
        return self.home / "installed.txt"

    def _recipe(self) -> str:
        return f"# Python {sys.version}\n{self.requirements.read_text(encoding='utf-8')}"

    def _install(self, seconds: float) -> None:
        # This environment's pip does it, and compiles: else a peer would do so at each start that is measured.
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install"]
        command += ["--quiet", "--disable-pip-version-check"]
        command += ["--no-deps"] if self.complete else []
        command += ["--requirement", str(self.requirements)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise InstallError(f"not installed after {seconds:g} s") from None
        except subprocess.CalledProcessError as error:
            faults = [line for line in error.stderr.splitlines() if line.startswith("ERROR")]
            raise InstallError(f"cannot be installed: {' '.join(faults[-1:])[:200]}") from None
