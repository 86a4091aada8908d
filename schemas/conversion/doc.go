// Package conversion reads stored events as their event type is declared today. The log and the lake keep each value
// in the type that its field had when the event was accepted, so a declaration may change at any time. Both layers
// read through this package, so both see the same values (I7).
//
// # What a stored value becomes
//
// A value that has the declared type stays as it is. Any other is converted where the result is exact:
//
//	stored        string            int64             float64           bool           timestamp
//	as string     itself            its digits        shortest digits   true, false    null
//	as int64      a whole number    itself            if it is whole    null           null
//	as float64    a number          nearest float64   itself            null           null
//	as bool       true, false       null              null              itself         null
//	as timestamp  RFC 3339          null              null              null           itself
//
// A string counts as a number if JSON would read it as one, so "5" and "5.0" are 5, and "05", "+5" and " 5" are
// null. The nearest float64 is what a float64 field gets for the same number at ingest. A timestamp does not become a
// string, because its spelling was not kept. A number does not become a timestamp, because its unit is unknown.
//
// # Fields that were not declared
//
// Ingest keeps what nobody declared (eventbatch.ColExtra). A field counts from there for events that came before it was
// declared, as the value that JSON has: a string, a number or a boolean, in the table above. An object or an array is
// of no type.
//
// A value that cannot be converted is null, as if the event lacked the field. Both layers count such events, and an
// answer says how many there are (Q4).
package conversion
