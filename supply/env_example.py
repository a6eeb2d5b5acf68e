"""`python -m supply.env_example`: write .env.example from the tables of docs/settings.md.

Tests compare that page with the settings, and the file with that page.
"""

import re

from supply.locks import ROOT

EXAMPLE = ROOT / ".env.example"
_PAGE = ROOT / "docs" / "settings.md"
_HEAD = """\
# All settings with their defaults. Copy this file to .env, and remove the # before each variable that you change:
# `docker compose up` reads .env; `set -a; . ./.env; set +a; make run` does so without Docker.
# Written by `python -m supply.env_example` from docs/settings.md.
"""


def env_example() -> str:
    """The text of .env.example: a section for each one of the page, a comment and a line for each variable."""
    lines = [_HEAD]
    for section in _PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        variables = re.findall(r"^\| `([A-Z_]+)` \| (?:none|`(.*?)`) \| (.*) \|$", section, re.MULTILINE)
        if variables:
            lines.append(f"\n## {section.splitlines()[0]}\n")
            lines += [f"\n# {description}\n#{name}={default}\n" for name, default, description in variables]
    return "".join(lines)


if __name__ == "__main__":
    EXAMPLE.write_text(env_example(), encoding="utf-8")
