"""The command `menagerie`: what its subcommands are.

Modules of this package import nothing of the other packages at the top, except those that only a subcommand imports:
the help must not wait for libraries that it does not use.
"""

import click

from menagerie.bundle import bundle
from menagerie.group import CommandGroup
from menagerie.keys import keys
from menagerie.openapi import openapi
from menagerie.pass_through import adopt, score, train
from menagerie.predict import explain, predict
from menagerie.serve import serve
from service.version import VERSION


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="menagerie")
def cli() -> None:
    """Serve small tabular Keras models over HTTP; train, adopt, ask and release them.

    The service's settings, the variables MENAGERIE_*, hold for all commands. An option takes precedence over the
    variable of the same meaning.
    """


for _each in (serve, predict, explain, score, train, adopt, bundle, keys, openapi):
    cli.add_command(_each)
