// Package conversion reads stored events as their event type is declared today. The log and the lake keep each value
// in the type that its field had when the event was accepted, so a declaration may change at any time. Both layers
// read through this package, so both see the same values (I7).
//
// # What a stored value becomes
//
// A value that has the declared type stays as it is. Any other is converted where the result is exact:
//
//	stored        string            int64             float64           bool           timestamp   decimal
//	as string     itself            its digits        shortest digits   true, false    null        its digits
//	as int64      a whole number    itself            if it is whole    null           null        if it is whole
//	as float64    a number          nearest float64   itself            null           null        nearest float64
//	as bool       true, false       null              null              itself         null        null
//	as timestamp  RFC 3339          null              null              null           itself      null
//	as decimal    a number          itself            15 digits         null           null        itself
//
// A number becomes a decimal, or a decimal of another type, if that has enough digits before and after the point. It is
// never rounded. The digits of a decimal are as many after the point as its type has. A float64 has lost how its sender
// spelled it. It becomes a decimal if its shortest digits are at most 15: no other number of so few digits has the same
// float64.
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
// # Paths and null values
//
// A field reads the column of its member of data (catalog.Field.Column). What is inside of another member, or has a
// name that no column may have, stays among the undeclared fields and is read from there. So the path of a field may
// change at any time: no stored byte depends on it, and every event is read under the present one.
//
// A value means null if its text is one of the field's null values, or if it equals what such a text is in the field's
// type. Ingest keeps such a text of another type among the undeclared fields, with a flag, and rejects no event for it
// (eventbatch.FlagUndeclaredValue). All others it stores as values. So this list may change at any time, too.
//
// A value that cannot be converted is null, as if the event lacked the field. Both layers count such events, and an
// answer says how many there are (Q4).
package conversion
