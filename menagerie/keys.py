"""`menagerie keys`."""

import click


@click.command()
def keys() -> None:
    """Make an API key, and the hash for MENAGERIE_API_KEYS."""
    from service.keys import main

    main()
