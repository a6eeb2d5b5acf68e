"""`menagerie predict` and `menagerie explain`: rows in, the service's JSON out, with a running service or without."""

from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import click

from menagerie.errors import reported_errors
from menagerie.options import check_target, choose_model, load_settings, model_options, read_key, url_options

if TYPE_CHECKING:
    from menagerie.client import Client
    from menagerie.rows import Line, Schema

_BATCH_ROWS = 100  # so that no request of a wide model is too large
_ROW = click.argument("row", nargs=-1, metavar="[ROW]...")


def _connect(url: str | None, api_key: str | None, **model: Any) -> "Client":
    """A client of the service at a URL, or else of the model that options choose.

    Raises:
        BundleError, StartupError: that model cannot be loaded.
    """
    from menagerie.client import local_client, remote_client

    changes = choose_model(**model)
    check_target(url, api_key, changes)
    if url:
        return remote_client(url, read_key(api_key), changes.get("model_name", ""))
    return local_client(load_settings(changes))


@click.command()
@_ROW
@click.option(
    "--csv", "table", type=click.File(encoding="utf-8-sig"), help="CSV file with a row per line; - for standard input."
)
@url_options
@model_options
def predict(row: tuple[str, ...], table: IO[str] | None, url: str | None, api_key: str | None, **model: Any) -> None:
    """Predict one row, or each row of a CSV file.

    ROW is FEATURE=VALUE for each feature, or JSON. FEATURE= stands for a missing value.

    \b
    menagerie predict body_mass_kg=61 shoulder_height_cm=78 ...
    menagerie predict --url http://localhost:8000 '{"body_mass_kg": 61, ...}'
    menagerie predict --csv animals.csv > predictions.jsonl

    The output is JSON, with --csv a line for each row. For tables of any size and format, use menagerie score.
    """  # noqa: D301 (to click, a real backspace keeps the lines below it apart)
    if bool(row) == bool(table):
        raise click.UsageError("give a row, or a CSV file with --csv")
    with reported_errors():
        client = _connect(url, api_key, **model)
        if table:
            _predict_table(client, table)
        else:
            _print_answer(client, "/predict", row)


@click.command()
@_ROW
@url_options
@model_options
def explain(row: tuple[str, ...], url: str | None, api_key: str | None, **model: Any) -> None:
    """Explain the prediction of one row.

    ROW is as menagerie predict takes it. The output is JSON, with every step from the values to the prediction.
    """
    if not row:
        raise click.UsageError("give a row: FEATURE=VALUE for each feature, or JSON")
    with reported_errors():
        client = _connect(url, api_key, **model)
        _print_answer(client, "/explain", row)


def _print_answer(client: "Client", path: str, words: tuple[str, ...]) -> None:
    from menagerie.client import ask, print_json
    from menagerie.rows import parse_row

    row = parse_row(words, _ask_schema(client))
    print_json(ask(client, "POST", path, {"features": row}))


def _predict_table(client: "Client", table: IO[str]) -> None:
    """Print a line of JSON for each row, in requests of some rows each."""
    import orjson

    from menagerie.rows import read_csv

    lines = read_csv(table, _ask_schema(client))
    while batch := list(islice(lines, _BATCH_ROWS)):
        for prediction in _ask_batch(client, batch):
            click.echo(orjson.dumps(prediction))


def _ask_batch(client: "Client", batch: "list[Line]") -> Any:
    from menagerie.client import ask

    def where(field: str) -> str:
        """The line of ``instances[0].name``."""
        index = field.partition("[")[2].partition("]")[0]
        return f"line {batch[int(index)].number}: " if index.isdigit() else ""

    response = ask(client, "POST", "/predict", {"instances": [line.row for line in batch]}, where)
    return response["predictions"]


def _ask_schema(client: "Client") -> "Schema":
    from menagerie.client import ask
    from menagerie.rows import read_schema

    return read_schema(ask(client, "GET", "/model"))
