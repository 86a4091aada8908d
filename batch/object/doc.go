// Package object encodes the events of one segment and event type as one Parquet object of the lake
// (C2), and reads such objects column by column. It does no I/O of its own: package lake stores the
// objects.
//
// # Object
//
//	data/type=T/landed=YYYY-MM-DD/e{epoch}-p{partition}-{start}-{end}-{attempt}.parquet
//
// Rows are ordered by time, then position. The same rows give the same bytes.
//
//	_key        FIXED_LEN_BYTE_ARRAY(16)   from here to the declared fields as in package eventbatch
//	_tenant     STRING
//	_flags      UINT_8
//	_hash       UINT_64
//	id          STRING, plain
//	time        TIMESTAMP(MICROS, UTC)
//	source      STRING
//	subject     STRING, optional
//	_extra      STRING, optional, plain
//	_overflow   STRING, optional           absent if no row has it
//	…           optional                   declared fields: STRING, INT64, DOUBLE, BOOLEAN, TIMESTAMP(MICROS, UTC),
//	                                       DECIMAL(p, s) of INT64
//	_partition  INT32                      this and the next three: the position of the event
//	_epoch      INT32
//	_seq        INT64                      sequence of the message
//	_index      INT32                      index of the event in its message
//
// Columns are in the order of names and compressed with zstd. A column whose values repeat has a
// dictionary of up to 4 MiB. A row group has up to 1,048,576 rows and a page up to 16,384. Pages
// begin at the same rows in all columns, and the offset index says where.
//
// # Logical digest
//
// The logical digest is the SHA-256 of the rows in file order, each as 36 bytes, little endian: _seq
// (8), _index (4), _key (16), _hash (8). It does not depend on how Parquet is encoded, so an object
// that another version of the program rebuilds must have the same digest (C8).
package object
