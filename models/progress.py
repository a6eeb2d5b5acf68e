"""What a long run shows on stderr: a progress bar for each phase, and lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

StartPhase = Callable[[str, int], Callable[[str], None]]


@contextmanager
def show_progress(check: Callable[[], None]) -> Iterator[StartPhase]:
    """Yield ``start_phase(name, total)``, which returns a function to call with a detail at each of ``total`` steps.

    Each phase is a progress bar on a terminal, and a line on stderr elsewhere. ``check`` is called at each step and may
    raise an exception to stop.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def start_phase(name: str, total: int) -> Callable[[str], None]:
            if not console.is_terminal:
                log(name)
            task = progress.add_task(name, total=total)

            def advance(detail: str) -> None:
                check()
                progress.update(task, advance=1, description=f"{name}: {detail}" if detail else name)

            return advance

        yield start_phase


def log(message: object) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
