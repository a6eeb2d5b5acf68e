"""`python -m service.keys`: a new API key, and the hash to put into MENAGERIE_API_KEYS."""

import sys

from service.app.api_keys import make


def main() -> None:
    """Print a new key and its hash."""
    key, known = make()
    sys.stdout.write(f"key:  {key}\nhash: {known}\n")


if __name__ == "__main__":
    main()
