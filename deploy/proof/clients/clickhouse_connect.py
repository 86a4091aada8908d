"""Asks a recount server over ClickHouse's HTTP interface with clickhouse-connect and its SQLAlchemy dialect.

    pip install clickhouse-connect pandas pyarrow sqlalchemy
    python clickhouse_connect.py HOST PORT KEY VIEW

It prints a line for each thing that it tries, and fails if one does not work.
"""

import sys

# The script has the name of the package, so its folder must not be searched.
sys.path = [p for p in sys.path if not p.endswith("proof/clients")]

import clickhouse_connect  # noqa: E402
from clickhouse_connect.driver.exceptions import DatabaseError  # noqa: E402
from sqlalchemy import create_engine, inspect, text  # noqa: E402

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
        rows = connection.execute(text(f"SELECT count() FROM {view}")).scalar()
    found = inspect(engine)
    return rows >= 0 and view in found.get_table_names("recount") and len(found.get_columns(view, "recount")) > 1


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
    "SQLAlchemy": dialect,
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
