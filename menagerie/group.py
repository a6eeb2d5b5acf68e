"""What `menagerie` and `menagerie bundle` have in common as groups of commands."""

from typing import Any

import click

_EXIT_INTERRUPTED = 130


class CommandGroup(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; what Ctrl+C stops ends with 130, as shells have it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(_EXIT_INTERRUPTED)
