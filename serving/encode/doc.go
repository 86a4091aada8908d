// Package encode writes answers: JSON for programs and people, CSV for spreadsheets, Arrow
// for data frames. All three write from the answer's columns, a buffer at a time; none
// builds an object a row.
//
// # JSON
//
//	{"rows":[{"time":…,"origin":…,"flights":…,"live":{…},"bounds":{…}},…],"accuracy":{…}}
//
// time is RFC 3339 in the query's time zone, absent with granularity all. live holds what the speed layer
// says of the row, without measures it has no value for; bounds holds [low, high] of the
// distinct counts that carry sketch error. Integers are written as integers, floats as the shortest decimal
// that reads back as the same number.
//
// # CSV and Arrow
//
// The columns do not depend on the data: time (unless granularity is all), the dimensions, the measures, then
// for each measure <name>__live and, for distinct counts, <name>__low and <name>__high. The
// last three are null where a row has no live part or no sketch error. Declared names hold no two
// underscores in a row, so these never collide. The accuracy does not fit a table: it is the
// header Recount-Accuracy of the response, and in Arrow also the schema's metadata "accuracy".
//
// CSV is RFC 4180: CRLF, a header, quotes where needed. Null is an empty field and the empty
// string is "" in quotes.
package encode
