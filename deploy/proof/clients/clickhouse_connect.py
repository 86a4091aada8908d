"""Asks a recount server over ClickHouse's HTTP interface with clickhouse-connect and its SQLAlchemy dialect.

    pip install 'clickhouse-connect[sqlalchemy]' pandas pyarrow
    python clickhouse_connect.py HOST PORT KEY VIEW

It prints a line for each thing that it tries, and fails if one does not work.
"""

import sys

# The script has the name of the package, so its folder must not be searched.
sys.path = [p for p in sys.path if not p.endswith("proof/clients")]

import clickhouse_connect  # noqa: E402
from clickhouse_connect.driver.exceptions import DatabaseError  # noqa: E402
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text  # noqa: E402

host, port, key, view = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
client = clickhouse_connect.get_client(host=host, port=port, username="default", password=key)
engine = create_engine(f"clickhousedb://default:{key}@{host}:{port}/recount")


def refused(statement):
    try:
        client.query(statement)
    except DatabaseError as error:
        return "code: " in str(error)
    return False


def dialect():
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT count() FROM {view}")).scalar() >= 0


def schema():
    """What Superset asks for, of a database and of one that it is not told."""
    found = inspect(engine)
    columns = {c["name"]: c for c in found.get_columns(view, "recount")}
    return (
        found.default_schema_name == "recount"
        and "recount" in found.get_schema_names()
        and view in found.get_table_names()
        and view in found.get_table_names("recount")
        and view in found.get_view_names()
        and found.get_materialized_view_names() == []
        and found.has_table(view, "recount")
        and not found.has_table("nowhere", "recount")
        and "publication" in found.get_table_comment(view, "recount")["text"]
        and str(columns["time"]["type"]).startswith("DateTime64")
        and found.get_pk_constraint(view, "recount")["constrained_columns"] == []
        and found.get_indexes(view, "recount") == found.get_foreign_keys(view, "recount") == []
    )


def reflected():
    table = Table(view, MetaData(), schema="recount", autoload_with=engine)
    day = func.toStartOfDay(func.toDateTime(table.c.time)).label("day")
    with engine.connect() as connection:
        return len(connection.execute(select(day, func.count()).group_by(day).order_by(day).limit(5)).fetchall()) >= 0


def limited(settings):
    return client.query("SELECT number FROM numbers(5)", settings=settings).result_rows == [(0,), (1,)]


def query_limit():
    other = clickhouse_connect.get_client(host=host, port=port, username="default", password=key, query_limit=2)
    return other.query("SELECT number FROM numbers(5)").result_rows == [(0,), (1,)]


checks = {
    "connect": lambda: client.server_version,
    "query": lambda: client.query(f"SELECT count() FROM {view}").result_rows[0][0] >= 0,
    "parameters": lambda: client.query("SELECT {p:String}", parameters={"p": "it's"}).result_rows == [("it's",)],
    "settings": lambda: client.query("SELECT 1", settings={"join_use_nulls": 1, "max_threads": 2}).result_rows == [(1,)],
    "pandas": lambda: "time" in client.query_df(f"SELECT * FROM {view}").columns,
    "arrow": lambda: "time" in client.query_arrow(f"SELECT * FROM {view}").column_names,
    "parquet": lambda: client.raw_query(f"SELECT * FROM {view}", fmt="Parquet")[:4] == b"PAR1",
    "SHOW TABLES": lambda: (view,) in client.query("SHOW TABLES").result_rows,
    "DESCRIBE": lambda: client.query(f"DESCRIBE TABLE {view}").result_rows[0][0] == "time",
    "an error has its number": lambda: refused("SELECT * FROM nowhere"),
    "INSERT is refused": lambda: refused(f"INSERT INTO {view} VALUES (1)"),
    "query_limit": query_limit,
    "max_result_rows": lambda: limited({"max_result_rows": 2, "result_overflow_mode": "break"}),
    "functions": lambda: "uniqExact" in list(client.query_df("SELECT name FROM system.functions LIMIT 10000")["name"]),
    "SQLAlchemy": dialect,
    "SQLAlchemy: schema": schema,
    "SQLAlchemy: a reflected table": reflected,
}
failed = False
for name, check in checks.items():
    try:
        ok = bool(check())
    except Exception as error:  # Whatever it is, the next check runs.
        ok = False
        name += f" ({type(error).__name__}: {str(error)[:200]})"
    failed = failed or not ok
    print("ok    " if ok else "FAILED", name)
sys.exit(failed)
