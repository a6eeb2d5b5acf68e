"""Example animals for the page: each row of facts with its label, its eight means and its sources."""

import csv
import re
from pathlib import Path
from typing import Any

from models.animals import FOLDER, SOURCES, Animals

FILE = "presets.json"

# The page shows these first, in this order.
FAMILIAR = (
    "Border Collie",
    "Domestic cat (house, average)",
    "North American pack llama (ccara)",
    "Pogona barbata",
    "Boston Terrier",
    "Irish Wolfhound",
    "Cria at birth (Goettingen)",
    "Varanus salvator (water monitor)",
)

_DOI = re.compile(r"doi:(10\.[^\s;]+)")
_GITHUB = re.compile(r"github(?:\.com/| )([\w.-]+/[\w.-]+)(?:@(\w+))?")
_HOST_AND_PATH = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)+)(/[^\s;]*)?")


def build_presets(animals: Animals, folder: Path = FOLDER) -> dict[str, Any]:
    """Build ``presets``, one for each row of facts, the familiar ones first, and their ``sources`` by key."""
    rows = sorted(range(len(animals.groups)), key=lambda row: (_familiar_rank(animals.groups[row]), row))
    presets = [
        {
            "name": animals.groups[row],
            "label": animals.labels[animals.group_labels[row]],
            "familiar": animals.groups[row] in FAMILIAR,
            "features": {
                feature.name: float(f"{mean:.3g}")
                for feature, mean in zip(animals.features, animals.means[row], strict=True)
            },
            "sources": list(animals.sources[row]),
        }
        for row in rows
    ]
    with (folder / SOURCES).open(encoding="utf-8", newline="") as file:
        sources = {
            source["key"]: {"citation": source["citation"], "link": find_url(source["where"])}
            for source in csv.DictReader(file)
        }
    return {"presets": presets, "sources": sources}


def find_url(where: str) -> str | None:
    """Find the URL in the column ``where`` of a source: a DOI, a GitHub repository or a host with a path."""
    if doi := _DOI.search(where):
        return f"https://doi.org/{doi[1]}"
    if repository := _GITHUB.search(where):
        return f"https://github.com/{repository[1]}" + (f"/tree/{repository[2]}" if repository[2] else "")
    if address := _HOST_AND_PATH.match(where):
        path = address[2] or "/"
        return f"https://{address[1]}" + ("/" if "..." in path else path)
    return None


def _familiar_rank(name: str) -> int:
    return FAMILIAR.index(name) if name in FAMILIAR else len(FAMILIAR)
