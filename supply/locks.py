"""`python -m supply.locks`: write the lock files in requirements/ from pyproject.toml; `--upgrade` takes new releases.

uv resolves each set of extras for every platform. What makes the files small: a lock includes the smaller one that it
extends (`-r serve.txt`) instead of repeating it, and has hashes only of files that a supported platform can install.
pip checks hashes as before; a file whose hash is missing is refused.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "serve": (),
    "otel": ("otel",),
    "score": ("score",),
    "keras": ("keras",),
    "train": ("train",),
    "dev": ("train", "score", "otel", "bench", "test", "check"),
}
EXTENDS = {"otel": "serve", "score": "serve", "keras": "serve", "train": "keras", "dev": "train"}

# ai-edge-litert, which every lock contains, has no source and no other wheels than these, apart from Windows', on which
# the service cannot run: docs/operations.md, "Operating systems".
_INTERPRETERS = r"cp3(11|12|13|14)"
_SUPPORTED = re.compile(
    rf"""-(
        (py2\.)?py3\d* - none                                           # pure Python
        | ({_INTERPRETERS} | py2\.py3 | py3) - ({_INTERPRETERS} | none)
        | cp3\d+ (\.cp3\d+)* - abi3 (\.\w+)*
    )
    - ( any | (\S+\.)? ( (many)?linux\w*_(x86_64|aarch64) | macosx_\d+_\d+_(arm64|universal2) ) (\.\S+)? )
    \.whl""",
    re.VERBOSE,
)


def is_supported(filename: str) -> bool:
    """Whether a file of a package index is a source archive, or a wheel for a platform that the service runs on."""
    return not filename.endswith(".whl") or _SUPPORTED.search(filename) is not None


def included_locks(name: str) -> list[str]:
    """The name of a lock, and those of the locks that it includes."""
    return [name, *(included_locks(EXTENDS[name]) if name in EXTENDS else ())]


def _compile(name: str, output: Path, *options: str) -> str:
    """Resolve one set. The pins that the output has already remain, unless `--upgrade` is among the options."""
    extras = [option for extra in EXTRAS[name] for option in ("--extra", extra)]
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal", "--no-header"]
    command += ["--python-version", "3.11", "--generate-hashes", "pyproject.toml", *extras, *options]
    subprocess.run([*command, "--output-file", str(output)], check=True, cwd=ROOT)  # noqa: S603
    return output.read_text()


def _supported_hashes(pylock: str) -> set[str]:
    """The hashes of supported files in a lock of the other format, PEP 751, which also has the names of files."""
    return {
        f"sha256:{file['hashes']['sha256']}"
        for package in tomllib.loads(pylock)["packages"]
        for file in (*package.get("wheels", ()), *filter(None, [package.get("sdist")]))
        if is_supported(file.get("name") or file["url"].rsplit("/", 1)[1])
    }


def _pins(text: str) -> dict[str, str]:
    """For each `name==version ; marker` of a lock, its lines. Packages for Windows alone are left out."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    pins = {block.split(" \\\n")[0]: block for block in blocks if re.match(r"\S+==", block)}
    return {pin: block for pin, block in pins.items() if not pin.endswith("; sys_platform == 'win32'")}


def _shorten(pin: str, block: str, hashes: set[str]) -> str:
    """The lines of one package without the hashes of files that no supported platform can install."""
    kept = [f"    --hash={each}" for each in re.findall(r"--hash=(\S+)", block) if each in hashes]
    if not kept:
        raise ValueError(f"no supported platform can install {pin}")
    comments = re.findall(r"^ +#.*\n", block, re.MULTILINE)
    return " \\\n".join([pin, *kept]) + "\n" + "".join(comments)


def write_locks(*options: str) -> None:
    """Resolve every set, and write requirements/*.txt.

    Raises:
        CalledProcessError: uv finds no solution, and printed why.
        ValueError: a package has no file for any supported platform.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole = {name: Path(folder) / f"{name}.txt" for name in EXTRAS}
        for name, path in whole.items():
            path.write_text(
                "".join((LOCKS / f"{each}.txt").read_text() for each in included_locks(name)).replace("-r ", "# ")
            )
        pins = {name: _pins(_compile(name, path, *options)) for name, path in whole.items()}
        pylock = Path(folder) / "pylock.toml"
        of_dev = ("--format", "pylock.toml", "--constraint", str(whole["dev"]))
        hashes = _supported_hashes(_compile("dev", pylock, *of_dev))
    for name, own in pins.items():
        included = {pin for each in included_locks(name)[1:] for pin in pins[each]}
        lines = [f"-r {EXTENDS[name]}.txt\n"] if included else []
        lines += [_shorten(pin, block, hashes) for pin, block in own.items() if pin not in included]
        (LOCKS / f"{name}.txt").write_text("".join(lines))


if __name__ == "__main__":
    write_locks(*sys.argv[1:])
