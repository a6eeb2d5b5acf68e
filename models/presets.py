"""Animals of the table of facts to try the network with, each with its label, its eight means and its sources."""

import csv
import re
from pathlib import Path
from typing import Any

from models.animals import HERE, SOURCES, TRAITS, Animals

FILE = "presets.json"

# What most people have met, and what is worth trying; the page shows these first, in this order.
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
_PLACE = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)+)(/[^\s;]*)?")


def of(animals: Animals, folder: Path = HERE) -> dict[str, Any]:
    """``presets``, one for each row of facts, the familiar ones first, and the ``sources`` that they name by key."""
    named = _named(folder)
    rows = sorted(range(len(animals.groups)), key=lambda row: (_familiarity(animals.groups[row]), row))
    presets = [
        {
            "name": animals.groups[row],
            "label": animals.labels[animals.group_labels[row]],
            "familiar": animals.groups[row] in FAMILIAR,
            "features": {
                feature.name: float(f"{mean:.3g}")
                for feature, mean in zip(animals.features, animals.means[row], strict=True)
            },
            "sources": named[animals.groups[row]],
        }
        for row in rows
    ]
    with (folder / SOURCES).open(encoding="utf-8", newline="") as file:
        sources = {
            source["key"]: {"citation": source["citation"], "link": link(source["where"])}
            for source in csv.DictReader(file)
        }
    return {"presets": presets, "sources": sources}


def link(where: str) -> str | None:
    """The address that a source's ``where`` tells of, if it does."""
    if doi := _DOI.search(where):
        return f"https://doi.org/{doi[1]}"
    if repository := _GITHUB.search(where):
        return f"https://github.com/{repository[1]}" + (f"/tree/{repository[2]}" if repository[2] else "")
    if place := _PLACE.match(where):
        path = place[2] or "/"
        return f"https://{place[1]}" + ("/" if "..." in path else path)
    return None


def _familiarity(name: str) -> int:
    return FAMILIAR.index(name) if name in FAMILIAR else len(FAMILIAR)


def _named(folder: Path) -> dict[str, list[str]]:
    """The keys of each row's sources, by the row's name, each key once."""
    with (folder / TRAITS).open(encoding="utf-8", newline="") as file:
        return {row["name"]: list(dict.fromkeys(row["source"].split(";"))) for row in csv.DictReader(file)}
