// Package object is the Parquet of the lake: it writes the events of a segment and event
// type as one object (C2), and reads objects column by column. It does no I/O of its own;
// package lake stores what it writes.
//
// # Object
//
//	data/type=T/landed=YYYY-MM-DD/e{epoch}-p{partition}-{start}-{end}-{attempt}.parquet
//
// Rows are ordered by time, then position. The same rows give the same bytes.
//
//	_key        FIXED_LEN_BYTE_ARRAY(16)   as in the log's batches (package eventbatch), and so on:
//	_tenant     STRING
//	_flags      UINT_8
//	_hash       UINT_64
//	id          STRING, plain
//	time        TIMESTAMP(MICROS, UTC)
//	source      STRING
//	subject     STRING, optional
//	_extra      STRING, optional, plain
//	_overflow   STRING, optional           absent where no row has it
//	…           optional                   declared fields: STRING, INT64, DOUBLE, BOOLEAN, TIMESTAMP(MICROS, UTC)
//	_partition  INT32                      the event's position:
//	_epoch      INT32
//	_seq        INT64                      sequence of the message
//	_index      INT32                      index of the event in its message
//
// Columns stand in the order of names and are compressed with zstd. Columns whose values repeat
// have a dictionary, up to 4 MiB of it. A row group has up to 1,048,576 rows. All columns break
// into pages at the same 16,384 rows, and the offset index says where.
//
// # Logical digest
//
// It is the SHA-256 of the rows in file order, each as 36 bytes, little endian: _seq (8), _index
// (4), _key (16), _hash (8). It does not depend on how Parquet is encoded, so an object that is
// rebuilt by another version of the program must have it (C8).
package object
