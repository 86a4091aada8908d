// Package chdb runs the ClickHouse engine inside this process: libchdb, loaded at run time without cgo,
// behind an http.RoundTripper that clickhouse-go v2 uses as its HTTP transport. The driver is unchanged, so
// the code that talks to the embedded engine is the code that talks to a ClickHouse cluster.
//
// # What a request becomes
//
// Each request gets a session of its own (about 0.1 ms), so settings, the current database and temporary
// tables cannot leak from one to the next. URL parameters become: database → USE, param_x → a server-side
// parameter, any other name → SET. An unknown setting is error 115, as on a server. The data of an
// INSERT … FORMAT goes through a temporary file or a named pipe and FROM INFILE, because libchdb ends inline data at
// the first empty line: Native bytes that hold "\n\n" are cut there and the rest is read as SQL.
//
// # What is refused
//
// libchdb is a client and a server in one, and would do for any caller what clickhouse-client does for its
// owner. The transport therefore refuses what a ClickHouse server refuses over HTTP: several statements in one
// request, INTO OUTFILE and FROM INFILE. With the setting readonly it also refuses a SETTINGS clause, because
// "SETTINGS readonly = DEFAULT" lifts readonly in this engine, and anything but a query. Table functions
// (file, url, s3…) are refused by the engine under readonly=1, not under readonly=2. The database "default" is
// closed: there a table name is a path, and `SELECT * FROM "/etc/passwd"` would read it.
// Transport compression, sessions and external tables are refused with a message that says what to change.
//
// # Durability
//
// The engine's defaults for MergeTree tables are set so that an acknowledged INSERT survives a power failure:
// fsync_after_insert, fsync_part_directory and fsync of merged parts. A table may switch them off.
//
// # Limits of the library
//
// One data directory per process at a time: Open of the open directory is counted, Open of another is
// ErrOtherDirectory. A request whose context ends returns at once; its query is killed, and keeps its place
// among Config.Sessions until the engine has ended it. An INSERT cancelled so may have been applied.
// An INSERT whose data ends too early fails. In the format Native, a block that is cut is not applied. Of other
// formats, blocks of rows before the cut may have been.
// Results are materialised by the library before they are sent: bound them with LIMIT or max_result_rows.
package chdb
