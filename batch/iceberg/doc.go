// Package iceberg keeps an Iceberg table (format 2) for each event type over the objects of the lake, so that other
// programs read what a publication counts, and time travel answers as of a publication. No object is copied or
// changed.
//
// # Files
//
//	iceberg/type=T/metadata/v{version}.metadata.json   the table; created once, and the newest version counts
//	iceberg/type=T/metadata/version-hint.text          the newest version, for readers; replaced
//	iceberg/type=T/metadata/snap-{n}-{random}.avro     manifest list of the snapshot of publication n
//	iceberg/type=T/metadata/files-{n}-{random}.avro    manifest
//
// A snapshot's id and sequence number are the number n of its publication. Its files are record.CommittedObjects, the
// only source. A publication without new objects of the type has no snapshot: the one before it has the same
// files. Only snapshots that a kept publication reads stay (P3), and the newest.
//
// # The table follows from the records
//
// Nothing of the protocol reads a table. Creating the next version (If-None-Match) is the commit, so of two writers
// one wins, and the other begins again. All other files have random names. A process may end anywhere: readers find
// the version before, or the new one. A table that is missing, cannot be read, names a missing file, is of other
// publications, or has objects that were retired since, is made anew from the records of the kept publications. A
// writer does that before the objects of a retirement go. A table whose files were removed while a process runs is
// made anew within an hour, or at the next start.
//
// # The work of a publication
//
// It is one manifest of the new objects, the list of manifests and the metadata, for each event type with new
// objects. No object is opened: sizes, rows, times and fields are those of commit records and stored schemas. When
// there are 16 manifests of about one size, they are merged. It measured 13 ms of processor time with the embedded S3
// server, and ten requests, of which four write, whatever the table has (BenchmarkPublication).
//
// # Columns
//
// The objects have no field ids, so the property schema.name-mapping.default finds columns by name. Two cases have
// numbers in the mapping and are in no schema:
//
//   - _hash is a UINT_64. Iceberg has no such type. A long would be negative in some readers and an error in
//     others, and a decimal needs another physical type.
//   - A field that had two types in the objects that the table has seen. A mapping knows names and no files, so a
//     reader would take values of one type for the other. Rejected: to keep the newer type, because readers then
//     fail at older files.
//
// # Where the metadata is
//
// It is outside of data/, so that programs which read the folder of an event type find Parquet files only, and the
// job collect, which deletes what no record names there, leaves it alone. Paths are s3://BUCKET/KEY. The location
// of a table is its own folder. Rejected: the lake's root as the location, with which chdb reads a copy of the
// folder on disk, too. Programs that remove what a table does not name look below the location, and would take all
// other data for garbage.
//
// # Avro
//
// Manifests are written by github.com/twmb/avro. Rejected: the root package of apache/iceberg-go, because it brings
// another major version of Arrow, and a testing library, into the binary.
package iceberg
