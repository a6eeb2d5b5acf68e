"""The driver of a Spark job that scores a table; `deploy/spark/submit` starts it.

OUTPUT appears complete or not at all: Parquet, partitioned into `outcome=answered` and `outcome=rejected`. Rows are
counted in what was written, because Spark may run a task twice.
"""

import argparse
import sys

from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from models.bundle import BundleError
from service.http.errors import StartupError
from service.score.arrow_operator import ANSWERED, OUTCOME, REJECTED, ArrowOperator, output_schema
from service.score.errors import TableError
from service.score.model_loader import load_model, manifest_sha256
from service.score.options import ColumnOptions, add_column_arguments
from service.score.scorer import Scorer
from service.settings import SHIPPED_STORE, Settings

SUMMARY_FAULTS = 10

SPARK_CONFIGURATION = {
    # Commits a task's files when it is done and moves them into place when all are: no row twice, whichever task fails.
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "1",
    "spark.sql.maxConcurrentOutputFileWriters": "2",  # one for each outcome, instead of sorting by it
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16384",
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/spark/submit [spark-submit's options] --", allow_abbrev=False)
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="any source that Spark can read: a folder, a URL or, with --format table, a table",
    )
    parser.add_argument("output", metavar="OUTPUT", help="a folder or URL that does not exist yet")
    parser.add_argument(
        "--format", default="parquet", help="format of INPUT (default: parquet); `table` if INPUT is a table's name"
    )
    add_column_arguments(parser)
    return parser.parse_args()


def main() -> int:
    """Run the job and return the exit status."""
    arguments = parse_arguments()
    spark = SparkSession.builder.appName("menagerie").getOrCreate()
    for name, value in SPARK_CONFIGURATION.items():
        spark.conf.set(name, value)
    try:
        if arguments.format == "table":
            table = spark.table(arguments.input)
        else:
            table = spark.read.format(arguments.format).load(arguments.input)
        scored = score_table(table, ColumnOptions.from_arguments(arguments), Settings.load())
        scored.write.partitionBy(OUTCOME).parquet(arguments.output)
        sys.stdout.write(summarize(spark.read.parquet(arguments.output)))
    except (BundleError, StartupError, TableError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    finally:
        spark.stop()
    return 0


def score_table(table: DataFrame, options: ColumnOptions, settings: Settings) -> DataFrame:
    """Every row of the table exactly once, in the columns of `service.score.arrow_operator.output_schema`."""
    model = load_model(settings)
    schema = to_arrow_schema(table.schema)
    scorer = Scorer(model, schema, options)
    folder = model.bundle.folder
    if folder.is_relative_to(SHIPPED_STORE):  # which may lie elsewhere on the executors
        folder = folder.relative_to(SHIPPED_STORE)
    operator = ArrowOperator(folder, settings.engine, settings.model_name, manifest_sha256(model), schema, options)
    columns = [table[f"`{name}`"] for name in scorer.input_columns]
    return table.select(columns).mapInArrow(operator, from_arrow_schema(output_schema(scorer)))


def summarize(output: DataFrame) -> str:
    """How many rows have each outcome, and how many each fault."""
    counts = {row[OUTCOME]: row["count"] for row in output.groupBy(OUTCOME).count().collect()}
    answered, rejected = counts.get(ANSWERED, 0), counts.get(REJECTED, 0)
    lines = [f"{answered + rejected:,} rows: {answered:,} predicted, {rejected:,} rejected"]
    faults = output.where(f"{OUTCOME} = '{REJECTED}'").select(functions.explode("faults").alias("fault"))
    fault_counts = faults.groupBy("fault.field", "fault.code").count().orderBy("count", ascending=False)
    lines += [
        f"  {row['count']:,} {row['field']} {row['code']}".rstrip()
        for row in fault_counts.limit(SUMMARY_FAULTS).collect()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
