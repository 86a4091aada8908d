#!/usr/bin/env python3
"""Reads a lake with every client that is installed, from its folder and over S3, and prints a table.

  readers.py FOLDER TYPE COLUMN [ENDPOINT CREDENTIALS_FILE]

FOLDER is recount-data/s3/objects/recount, TYPE an event type, and COLUMN a field that some files may lack. ENDPOINT and
CREDENTIALS_FILE are what recount prints at its start with object_store.listen. Each client counts rows, distinct ids,
values of COLUMN, and days of landing, and all must agree. The exit code is 1 if one fails or differs, and 3 if none
is installed.
"""
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import sys


class Lake:
    """The files of an event type, in the folder or, with an endpoint, over S3."""

    def __init__(self, folder, event_type, column, endpoint=None, credentials=None):
        self.column, self.endpoint = column, endpoint
        path = f"data/type={event_type}"
        self.base = f"{folder}/{path}"
        if endpoint:
            self.path = f"recount/{path}"
            self.base = f"s3://{self.path}"
            self.host = endpoint.split("://", 1)[1]
            pair = json.loads(pathlib.Path(credentials).read_text())
            self.key, self.secret = pair["access_key"], pair["secret_key"]


def load_extension(db, name):
    """Loads an extension that the package duckdb-ext-NAME brings, or downloads it."""
    packages = pathlib.Path(importlib.util.find_spec("duckdb").origin).parent.parent
    files = list(packages.glob(f"duckdb_ext/extensions/*/*/{name}.duckdb_extension"))
    db.execute(f"LOAD '{files[0]}'" if files else f"INSTALL {name}; LOAD {name}")


def duckdb(lake):
    import duckdb
    db = duckdb.connect()
    if lake.endpoint:
        load_extension(db, "httpfs")
        db.execute(f"""CREATE SECRET (TYPE s3, KEY_ID '{lake.key}', SECRET '{lake.secret}', ENDPOINT '{lake.host}',
            REGION 'us-east-1', URL_STYLE 'path', USE_SSL false)""")
    return db.execute(f"""SELECT count(*), count(DISTINCT id), count("{lake.column}"), count(DISTINCT landed)
        FROM read_parquet('{lake.base}/**/*.parquet', hive_partitioning = true, union_by_name = true)""").fetchone()


def dataset(lake):
    """A pyarrow dataset has the columns of its first file unless it is told to look at all."""
    import pyarrow
    from pyarrow import dataset, fs
    options = {"partitioning": "hive", "format": "parquet"}
    path = lake.base
    if lake.endpoint:
        path = lake.path
        options["filesystem"] = fs.S3FileSystem(access_key=lake.key, secret_key=lake.secret, region="us-east-1",
                                                endpoint_override=lake.host, scheme="http")
    files = dataset.dataset(path, **options)
    schema = pyarrow.unify_schemas([files.schema] + [f.physical_schema for f in files.get_fragments()])
    return dataset.dataset(path, schema=schema, **options)


def pyarrow(lake):
    table = dataset(lake).to_table(columns=["id", lake.column, "landed"])
    return (table.num_rows, len(table["id"].unique()), table.num_rows - table[lake.column].null_count,
            len(table["landed"].unique()))


def pandas(lake):
    frame = dataset(lake).to_table(columns=["id", lake.column, "landed"]).to_pandas()
    return len(frame), frame["id"].nunique(), frame[lake.column].count(), frame["landed"].nunique()


def polars(lake):
    import polars
    options = None
    if lake.endpoint:
        options = {"aws_access_key_id": lake.key, "aws_secret_access_key": lake.secret, "aws_region": "us-east-1",
                   "aws_endpoint_url": lake.endpoint, "aws_allow_http": "true"}
    # polars has the columns of the first file, too.
    first = polars.scan_parquet(f"{lake.base}/**/*.parquet", hive_partitioning=True, storage_options=options,
                                missing_columns="insert", extra_columns="ignore")
    schema = dict(first.collect_schema()) | {lake.column: polars.String}
    schema.pop("landed")
    frame = polars.scan_parquet(f"{lake.base}/**/*.parquet", hive_partitioning=True, storage_options=options,
                                schema=schema, missing_columns="insert", extra_columns="ignore")
    return frame.select(polars.len(), polars.col("id").n_unique().alias("ids"), polars.col(lake.column).count(),
                        polars.col("landed").n_unique()).collect().row(0)


def chdb(lake):
    import chdb
    source = f"file('{lake.base}/*/*.parquet', 'Parquet')"
    if lake.endpoint:
        source = f"s3('{lake.endpoint}/{lake.path}/*/*.parquet', '{lake.key}', '{lake.secret}', 'Parquet')"
    answer = chdb.query(f"""SELECT count(), uniqExact(id), count({lake.column}), uniqExact(extract(_path, 'landed=([^/]*)'))
        FROM {source} SETTINGS schema_inference_mode = 'union'""", "CSV")
    return [int(n) for n in str(answer).split(",")]


def pyspark(lake):
    from pyspark.sql import SparkSession
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    if os.environ.get("SPARK_PACKAGES"):  # hadoop-aws, in the version of the Hadoop that pyspark has
        builder = builder.config("spark.jars.packages", os.environ["SPARK_PACKAGES"]).config(
            "spark.jars.excludes", os.environ.get("SPARK_EXCLUDES", ""))
    spark = builder.getOrCreate()
    path = lake.base
    if lake.endpoint:
        path = f"s3a://{lake.path}"
        hadoop = spark.sparkContext._jsc.hadoopConfiguration()
        for name, value in {"endpoint": lake.endpoint, "endpoint.region": "us-east-1", "access.key": lake.key,
                            "secret.key": lake.secret, "path.style.access": "true",
                            "connection.ssl.enabled": "false"}.items():
            hadoop.set(f"fs.s3a.{name}", value)
    frame = spark.read.option("mergeSchema", "true").parquet(path)
    return tuple(frame.selectExpr("count(*)", "count(distinct id)", f"count({lake.column})",
                                  "count(distinct landed)").first())


def main(folder, event_type, column, *remote):
    places = {"folder": Lake(folder, event_type, column)}
    if remote:
        places["S3"] = Lake(folder, event_type, column, *remote)
    counts, failed = set(), False
    print(f"| client | version | place | rows | distinct ids | values of {column} | days |")
    print("|---|---|---|---|---|---|---|")
    for client in (duckdb, pyarrow, pandas, polars, chdb, pyspark):
        try:
            version = importlib.metadata.version(client.__name__)
        except importlib.metadata.PackageNotFoundError:
            continue
        for place, lake in places.items():
            if client is pyspark and place == "S3" and not os.environ.get("SPARK_PACKAGES"):
                continue
            try:
                row = tuple(map(int, client(lake)))
            except Exception as e:  # An error of any client is a row of the table.
                failed = True
                message = " ".join(str(e).split())[:300]
                print(f"| {client.__name__} | {version} | {place} | failed | {type(e).__name__}: {message} | | |")
                continue
            counts.add(row)
            print(f"| {client.__name__} | {version} | {place} | " + " | ".join(map(str, row)) + " |", flush=True)
    if not counts and not failed:
        print("no client is installed", file=sys.stderr)
        return 3
    return 1 if failed or len(counts) != 1 else 0


if __name__ == "__main__":
    if len(sys.argv) not in (4, 6):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
