"""`menagerie train`, `adopt` and `score`: their arguments go unchanged to the modules that parse them."""

import re
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem


class PassThrough(click.Command):
    """A command whose arguments ``run`` parses itself; ``build_parser`` names its options for shell completion."""

    def __init__(
        self, *, run: Callable[[Sequence[str], str], int], build_parser: Callable[[], ArgumentParser], **attributes: Any
    ) -> None:
        super().__init__(**attributes, add_help_option=False)
        self._run = run
        self._build_parser = build_parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = args
        return []

    def invoke(self, ctx: click.Context) -> Any:
        ctx.exit(self._run(ctx.args, ctx.command_path))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The options in the parser's help, or files."""
        del ctx
        if not incomplete.startswith("-"):
            return [CompletionItem(incomplete, type="file")]
        options = dict.fromkeys(re.findall(r"(?<![\w-])--?[a-z][\w-]*", self._build_parser().format_help()))
        return [CompletionItem(option) for option in options if option.startswith(incomplete)]


def _train(arguments: Sequence[str], program: str) -> int:
    from models.train import main

    return main(arguments, program)


def _build_train_parser() -> ArgumentParser:
    from models.options import build_parser

    return build_parser()


def _adopt(arguments: Sequence[str], program: str) -> int:
    from models.adopt import main

    return main(arguments, program)


def _build_adopt_parser() -> ArgumentParser:
    from models.adoption.options import build_parser

    return build_parser()


def _score(arguments: Sequence[str], program: str) -> int:
    from service.score.__main__ import run

    run(arguments, program)
    return 0


def _build_score_parser() -> ArgumentParser:
    from service.score.__main__ import build_parser

    return build_parser()


train = PassThrough(name="train", help="Train a model on your own table.", run=_train, build_parser=_build_train_parser)
adopt = PassThrough(
    name="adopt", help="Make your own Keras model servable.", run=_adopt, build_parser=_build_adopt_parser
)
score = PassThrough(name="score", help="Predict every row of tables.", run=_score, build_parser=_build_score_parser)
