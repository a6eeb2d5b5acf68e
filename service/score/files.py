"""Which files are to be scored, and where what becomes of them goes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from service.http.errors import TableError
from service.score import formats
from service.score.formats import Format
from service.score.parts import Place
from service.score.reading import STANDARD

Places = Callable[[str], Callable[[int], Place]]
"""From a source's name and the number of a part to where that part goes."""


class Source(NamedTuple):
    """A file to score; its ``name`` is its path in the folder it was found in, without what says the format."""

    path: Path
    kind: Format
    name: str
    size: int
    changed: int


def found(given: Path, said: str | None) -> list[Source]:
    """The file that was given, or all files of the folder and of those in it; hidden ones, and those with _, are none.

    Raises:
        TableError: there are none, or of several formats.
    """
    if given == STANDARD:
        return [Source(given, formats.required(given, said, "--from"), "", 0, 0)]
    if given.is_file():
        return [_source(given, given.parent, formats.required(given, said, "--from"))]
    if not given.is_dir():
        raise TableError(f"{given} is neither a file nor a folder")
    inside = [path.relative_to(given) for path in sorted(given.rglob("*")) if path.is_file()]
    shown = [given / path for path in inside if not any(part.startswith((".", "_")) for part in path.parts)]
    files = [(path, kind) for path in shown if (kind := formats.of(path)) and said in {None, kind}]
    if len(kinds := {kind for _, kind in files}) != 1:
        told = (
            f"files of {', '.join(sorted(kinds))}: choose with --from" if kinds else "no file of a format that is read"
        )
        raise TableError(f"{given} holds {told}")
    sources = [_source(path, given, kind) for path, kind in files]
    if len({source.name for source in sources}) < len(sources):
        raise TableError(f"{given} holds files whose names differ only in what says their format: rename them")
    return sources


def is_folder(given: Path, output: Path) -> bool:
    """Whether the output is a folder of parts.

    Raises:
        TableError: it is not, but the input is.
    """
    folder = output != STANDARD and (output.is_dir() or not formats.of(output))
    if given.is_dir() and not folder:
        raise TableError(f"{given} is a folder: OUTPUT must be one too, not {output}")
    if folder and given.is_dir() and output.resolve().is_relative_to(given.resolve()):
        raise TableError(f"{output} lies in {given}, where it would be read: choose another folder")
    return folder


def one(output: Path, rejects: Path | None, kind: Format) -> Places:
    """Where things go if the output is one file.

    Raises:
        TableError: nobody can say where rejected rows are to go.
    """
    if rejects is None:
        if output == STANDARD:
            raise TableError("answers go to the standard output: say where rejected rows go, --rejects FILE")
        stem = _stem(output)
        rejects = output.with_name(f"{stem}.rejects{output.name[len(stem) :]}")
    place = Place(output, kind, rejects, formats.of(rejects) or kind)
    return lambda _name: lambda _part: place


def parts(output: Path, rejects: Path | None, kind: Format) -> Places:
    """Where they go if it is a folder."""
    aside = rejects or output.with_name(f"{output.name}.rejects")

    def place(name: str, part: int) -> Place:
        inside = Path(f"{name}-{part:05}{kind.suffix}")
        for folder in (output, aside):
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        return Place(output / inside, kind, aside / inside, kind)

    return lambda name: partial(place, name)


def _source(path: Path, home: Path, kind: Format) -> Source:
    there = path.stat()
    name = path.relative_to(home).with_name(_stem(path)).as_posix()
    return Source(path, kind, name, there.st_size, there.st_mtime_ns)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name
