#!/usr/bin/env python3
"""Reads the Iceberg table of an event type with every client that is installed, and prints what they found.

  tables.py TYPE ENDPOINT CREDENTIALS_FILE [PUBLICATION]

ENDPOINT and CREDENTIALS_FILE are what recount prints at its start with object_store.listen. The newest snapshot must
have the rows of the Parquet files, with every value of every column. With PUBLICATION, all clients read the snapshot as
of that publication, too. All rows are held in memory. The exit code is 1 if a client fails or differs, and 3 if none
is installed.
"""
import datetime
import importlib.metadata
import json
import pathlib
import sys

import readers


class Table:
    """The Iceberg table of an event type over S3."""

    def __init__(self, event_type, endpoint, credentials):
        self.files = readers.Lake("", event_type, "id", endpoint, credentials)
        self.endpoint, self.host = endpoint, self.files.host
        self.key, self.secret = self.files.key, self.files.secret
        self.path = f"recount/iceberg/type={event_type}"
        self.location = f"s3://{self.path}"


def pyiceberg(table, snapshot):
    from pyiceberg.table import StaticTable
    properties = {"s3.endpoint": table.endpoint, "s3.access-key-id": table.key, "s3.secret-access-key": table.secret,
                  "s3.region": "us-east-1"}
    return StaticTable.from_metadata(table.location, properties).scan(snapshot_id=snapshot).to_arrow()


def duckdb(table, snapshot):
    import duckdb
    db = duckdb.connect()
    for name in ("httpfs", "avro", "iceberg"):
        readers.load_extension(db, name)
    db.execute(f"""CREATE SECRET (TYPE s3, KEY_ID '{table.key}', SECRET '{table.secret}', ENDPOINT '{table.host}',
        REGION 'us-east-1', URL_STYLE 'path', USE_SSL false)""")
    as_of = f", snapshot_from_id = {snapshot}" if snapshot else ""
    return db.execute(f"FROM iceberg_scan('{table.location}'{as_of})").fetch_arrow_table()


def chdb(table, snapshot):
    import chdb
    as_of = f", iceberg_snapshot_id = {snapshot}" if snapshot else ""
    return chdb.query(f"""SELECT * FROM icebergS3('{table.endpoint}/{table.path}/', '{table.key}', '{table.secret}')
        SETTINGS output_format_arrow_string_as_string = 1{as_of}""", "ArrowTable")


def rows_of(table):
    """The names of the columns that have values, and all rows in the order of the log."""
    def plain(value):
        if isinstance(value, datetime.datetime):
            return value.replace(tzinfo=value.tzinfo or datetime.UTC).astimezone(datetime.UTC)
        return value
    names = sorted(n for n in table.column_names if n not in ("_hash", "landed")  # no Iceberg type, and a folder
                   and table[n].null_count < table.num_rows)
    columns = [[plain(v) for v in table[name].to_pylist()] for name in names]
    position = [names.index(name) for name in ("_partition", "_epoch", "_seq", "_index")]
    return names, sorted(zip(*columns), key=lambda row: [row[i] for i in position])


def snapshot_of(table, publication):
    """The id of the newest snapshot that is not after a publication."""
    from pyiceberg.table import StaticTable
    properties = {"s3.endpoint": table.endpoint, "s3.access-key-id": table.key, "s3.secret-access-key": table.secret,
                  "s3.region": "us-east-1"}
    snapshots = StaticTable.from_metadata(table.location, properties).metadata.snapshots
    return max(s.snapshot_id for s in snapshots if s.snapshot_id <= publication)


def main(event_type, endpoint, credentials, publication=None):
    table = Table(event_type, endpoint, credentials)
    want = {"newest": rows_of(readers.dataset(table.files).to_table())}
    snapshots = {"newest": None}
    if publication:
        snapshots[f"as of {publication}"] = snapshot_of(table, int(publication))
    ran, failed = 0, False
    print("| client | version | snapshot | rows | columns | every value |")
    print("|---|---|---|---|---|---|")
    for client in (pyiceberg, duckdb, chdb):
        try:
            version = importlib.metadata.version(client.__name__)
        except importlib.metadata.PackageNotFoundError:
            continue
        for name, snapshot in snapshots.items():
            ran += 1
            try:
                names, rows = rows_of(client(table, snapshot))
            except Exception as e:  # An error of any client is a row of the table.
                failed = True
                message = " ".join(str(e).split())[:300]
                print(f"| {client.__name__} | {version} | {name} | failed | {type(e).__name__}: {message} | |")
                continue
            same = "equal"
            if (names, rows) != want.setdefault(name, (names, rows)):
                failed = True
                same = difference(want[name], (names, rows))
            print(f"| {client.__name__} | {version} | {name} | {len(rows)} | {len(names)} | {same} |", flush=True)
    if not ran:
        print("no client is installed", file=sys.stderr)
        return 3
    return 1 if failed else 0


def difference(want, got):
    """Says where two results differ first."""
    if want[0] != got[0]:
        return f"columns differ: {set(want[0]) ^ set(got[0])}"
    for a, b in zip(want[1], got[1]):
        for name, x, y in zip(want[0], a, b):
            if x != y:
                return f"{name}: {y!r}, want {x!r}"
    return f"{len(got[1])} rows, want {len(want[1])}"


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
