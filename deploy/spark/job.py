"""The driver of a Spark job that scores a table; `deploy/spark/submit` starts it.

OUTPUT is there whole or not at all: `outcome=answered` and `outcome=rejected` in it, as Parquet. Nothing is counted
while it is computed, when Spark may do a piece twice; what is told at the end is read from what was written.
"""

import argparse
import sys

from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from models.bundle import BundleError
from service.http.errors import StartupError, TableError
from service.score import operator, options, served
from service.score.operator import OUTCOME, Operator
from service.score.scorer import Plan, Scorer
from service.settings import SHIPPED_STORE, Settings

_TOLD = 10  # kinds of faults

CONFIGURATION = {
    # A task's files count when it is done, and move into place when all are: no row twice, whoever dies meanwhile.
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "1",
    "spark.sql.maxConcurrentOutputFileWriters": "2",  # one for each outcome, instead of sorting by it
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16384",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/spark/submit [spark-submit's options] --", allow_abbrev=False)
    parser.add_argument(
        "input", metavar="INPUT", help="anything that Spark reads: a folder, a URL; by --format, a table"
    )
    parser.add_argument("output", metavar="OUTPUT", help="a folder or URL where nothing is yet")
    parser.add_argument("--format", default="parquet", help="INPUT's (default: parquet); `table` for a table's name")
    options.add(parser)
    return parser.parse_args()


def main() -> int:
    """Run the job and return the exit code."""
    chosen = arguments()
    spark = SparkSession.builder.appName("menagerie").getOrCreate()
    for name, value in CONFIGURATION.items():
        spark.conf.set(name, value)
    try:
        table = (
            spark.table(chosen.input)
            if chosen.format == "table"
            else spark.read.format(chosen.format).load(chosen.input)
        )
        answers(table, Plan(dict(chosen.map), chosen.keep, chosen.prefix), Settings.load()).write.partitionBy(
            OUTCOME
        ).parquet(chosen.output)
        sys.stdout.write(told(spark.read.parquet(chosen.output)))
    except (BundleError, StartupError, TableError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    finally:
        spark.stop()
    return 0


def answers(table: DataFrame, plan: Plan, settings: Settings) -> DataFrame:
    """Every row of the table once, answered or rejected, as the service would: `service/score/operator.py`."""
    folder = served.folder(settings)
    model = served.load(folder, settings.engine, settings.model_name)
    schema = to_arrow_schema(table.schema)
    scorer = Scorer(model, schema, plan)
    if folder.is_relative_to(SHIPPED_STORE):  # which the executors have as well, wherever that is
        folder = folder.relative_to(SHIPPED_STORE)
    score = Operator(folder, settings.engine, settings.model_name, served.fingerprint(model), schema, plan)
    needed = [table[f"`{name}`"] for name in scorer.needed]
    return table.select(needed).mapInArrow(score, from_arrow_schema(operator.schema(scorer)))


def told(written: DataFrame) -> str:
    """How many rows there are of each outcome, and of each fault."""
    counts = {row[OUTCOME]: row["count"] for row in written.groupBy(OUTCOME).count().collect()}
    answered, rejected = counts.get(operator.ANSWERED, 0), counts.get(operator.REJECTED, 0)
    lines = [f"{answered + rejected:,} rows: {answered:,} answered, {rejected:,} rejected"]
    fault = functions.explode("faults").alias("fault")
    faults = (
        written.where(f"{OUTCOME} = '{operator.REJECTED}'").select(fault).groupBy("fault.field", "fault.code").count()
    )
    for row in faults.orderBy("count", ascending=False).limit(_TOLD).collect():
        lines.append(f"  {row['count']:,} {row['field']} {row['code']}".rstrip())  # noqa: PERF401 (clearer so)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
