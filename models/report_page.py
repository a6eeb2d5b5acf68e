"""A report: a page, its charts and their data as JSON."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


@dataclass(frozen=True)
class Chart:
    """One chart of the page."""

    file: str
    title: str
    caption: str
    svg: str

    @property
    def data_url(self) -> str:
        """The SVG as a data URL, so that the page needs no other file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def render(template: str, charts: Sequence[Chart], **context: Any) -> str:
    """Render a template of this package."""
    environment = Environment(
        loader=PackageLoader("models", "."),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(charts=charts, **context)


def write(
    folder: Path, page: str, charts: Sequence[Chart], data: Mapping[str, Any], files: Mapping[str, str] | None = None
) -> None:
    """Write ``index.html``, the charts, ``report.json`` and other ``files`` into a new folder.

    Raises:
        OSError: a file cannot be written.
    """
    contents = {chart.file: chart.svg for chart in charts}
    contents["report.json"] = json.dumps(data, indent=1) + "\n"
    contents["index.html"] = page
    folder.mkdir()
    for name, content in (contents | dict(files or {})).items():
        (folder / name).write_text(content, encoding="utf-8")
