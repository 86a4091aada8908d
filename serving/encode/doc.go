// Package encode writes answers: JSON for programs and people, NDJSON for programs that read a row at a time, CSV
// for spreadsheets, Arrow for data frames, Parquet for files. All write from the answer's columns, one buffer at a
// time. None of them builds an object for each row.
//
// # JSON
//
//	{"rows":[{"time":…,"origin":…,"flights":…,"live":{…},"bounds":{…}},…],"totals":{…},"others":[…],"accuracy":{…}}
//
// The member time is RFC 3339 in the query's time zone. It is absent with granularity all. The
// member live has what the speed layer says of the row, without measures for which it has no value. Rows of derived
// numbers alone have no such member.
// The member bounds has [low, high] for each number with sketch error. If the query compares, the member
// previous has the time, measures, live and bounds of the earlier range. It is null where the group had no
// events there. A row of others has no dimensions. Integers are written
// as integers, and floats as the shortest decimal that reads back as the same number.
//
// # NDJSON
//
// Each row of JSON is a line. Those of others follow, with the member __others. The totals and the accuracy are in the
// response headers, as with CSV.
//
// # CSV, Arrow and Parquet
//
// The columns do not depend on the data. They are: time (unless granularity is all), the
// dimensions, the measures, the derived numbers, and then for each measure <name>__live and, for a distinct count, a
// quantile or a derived number of a distinct count, <name>__low and <name>__high. These last three are null in a row
// without a live part or without sketch error. If the query compares, <name>__previous follows for each measure and
// derived number. If it asks for others, the last column is __others, which is true in their rows: these follow the
// others, and have null in dimensions. Declared names have no two underscores in sequence, so the names never collide.
// The totals and the accuracy do not fit in a table. The totals are in the response header
// Recount-Totals. The accuracy is in the response header Recount-Accuracy, and in Arrow also in the
// schema's metadata under "accuracy", and in Parquet in the file's.
//
// In Parquet a time is an instant in UTC microseconds, and a decimal a FIXED_LEN_BYTE_ARRAY(16). A row group has 65,536
// rows.
//
// CSV follows RFC 4180: CRLF, a header, quotes where needed. Null is an empty field, and the
// empty string is "" in quotes. Only where a derived number is the one column, its null is "" too: it would be an empty
// line, which readers skip, and no other value of a number is "".
package encode
