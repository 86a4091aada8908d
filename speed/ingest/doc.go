// Package ingest accepts events: POST /v1/events turns CloudEvents into columns, which go into
// the log as one message per partition, event type and moment.
//
//	body → gate → scanner → row → chunk (request, partition, type) → queue → group → frame → Log
//	              strict JSON checked  plain columns                bounded   copy    Arrow   fsync
//
// DESIGN.md says why it works this way. This comment is the reference of what it accepts and writes.
//
// # Rules
//
// These rules of schemas/PROTOCOL.md are kept here:
//
//	L1  An event counts as accepted only after the log's durable acknowledgement of its message.
//	L2  Events of many requests are gathered per partition and type into one message, for Linger or
//	    until there are GroupEvents or GroupBytes. A request is answered when all its messages are,
//	    and the answer names every event that failed.
//	L3  partition = hash(tenant, source, id) mod P, by eventbatch.Identity.
//	D1  An event without a time gets that of the server, and FlagTimeAssigned.
//	A1  A rejected event that was kept is an event of its own, so it has a position and can be counted.
//
// Memory bounds the bodies, columns and answers of all requests, and QueueBytes the columns of a
// partition that wait for the log. Wait bounds how long a request waits for a processor, and how
// old the oldest events of a queue may be. A request beyond any of these is answered 429.
//
// # Content types
//
// application/cloudevents+json, application/cloudevents-batch+json and binary mode (ce- headers)
// are strict: specversion "1.0" and a source are required. In application/x-ndjson and
// application/json (object or array) both may be missing. A missing source is the empty string.
// A specversion other than "1.0" is refused everywhere.
//
// text/plain and a missing type are JSON from a key of scope collect (collect.go), and refused from others.
//
// In NDJSON a broken line refuses only itself, and an empty line is no event. In an array a
// syntax error refuses the whole request, because the bytes after it cannot be trusted.
// Content-Encoding is gzip, zstd or none.
//
// # Events
//
// The JSON is strict: RFC 8259, no key twice in any object, valid UTF-8, no unpaired surrogate.
// null is the same as missing, and so is an empty id, source or subject. An id has at most 200
// bytes, source and subject at most 1,024. A time is as schemas/instant reads it, and has
// to be between 1970 and 2261 and within Past and Future of the server's clock. data is an object
// or missing. data_base64 is decoded if datacontenttype says that it is JSON. datacontenttype
// itself is not kept, and everything else is.
//
// An int64 field accepts every number that is exactly whole and fits: 5, 5.0 and 5e0. A float64 field accepts every
// number that does not overflow. Minus zero becomes zero. Strings, numbers and booleans are not converted into each
// other, but for a field with catalog.Field.Coerce: it accepts a string that spells a number as JSON does, or a number
// in place of a string. A number is stored as a string if readers spell it as it was sent. Another one, such as 1.50,
// is kept as an undeclared field, with the flag 4 in _flags. A decimal field accepts a number, or a string that spells
// one as JSON does, if its type holds exactly that number (schemas/decimal).
//
// A text that means null in its field (catalog.Field.Nulls) is no mismatch. If it is not of the field's type, it is
// kept as an undeclared field, and the flag 4 in _flags says so. Fields inside of a member of data, and members with
// names that no column may have, are not decoded. They are kept as undeclared fields. An event is rejected for one
// only if its value cannot be converted either (package conversion), so "7" is accepted for an int64 there.
//
// Undeclared fields of data and undeclared attributes are kept in the column _extra. The name of
// an attribute has only a-z and 0-9, and its value is a string, a number or a boolean.
//
//	{"attributes":{"traceparent":"00-1"},"data":{"gate":{"no":7}}}
//
// The names in both objects are in byte order. There is no white space between tokens. Nulls and
// an empty part are left out. Numbers and nested values keep the spelling in which they were sent.
//
// # Too many values
//
// Each dimension of a view, source and subject included, gets at most Config.Values values from
// one tenant in a UTC day of event time. A bool has two values anyway, so it has no cap. A dimension that is not
// decoded here has none either: real-time views count all of its values, and only the batch layer bounds them (B7).
// An event with a further value keeps it, and the column _overflow names the field. Several names
// are in byte order with commas between them:
//
//	page,subject
//
// Ingest decides this for real-time views. Their dimension gets catalog.Overflow or OverflowInt, and filters and
// measures of the field read what was sent. The batch layer does not read the column, and decides anew (B7). A message
// without such an event lacks the column. _hash does not depend on it. An event that is sent with catalog.Overflow or
// OverflowInt in a dimension is rejected, whatever the limit.
//
// # Hash
//
// _hash is XXH64 over the following canonical form. str is a uint32 length and the bytes, and
// integers are little endian:
//
//	str type · [ 't' int64 time, unless assigned ] · 's' str source · 'u' str subject ·
//	for each field of data that is not null, by name: str name, value ·
//	for each other attribute that is not null, by name: str name, value ·
//	uint32 number of these fields · uint32 number of these attributes
//
// A value is a letter and what it means:
//
//	'i' int64        a number that is whole and fits
//	'd' int64 int32  any other number, without trailing zeros: the integer times ten to the power of the second
//	'n' str          the spelling, for a number of more than 18 digits
//	't' int64        microseconds since 1970, for a string that is an RFC 3339 time
//	's' str          any other string
//	'b' uint8        0 or 1
//	'j' str          an object or an array, without white space between tokens
//
// A string that JSON would read as a number or a boolean counts as that. A row of a file is sent as the one or
// the other, depending on what is declared.
//
// So the hash does not depend on white space, on the order of keys, on nulls, or on how a string, a
// number or a time is spelled. It does not depend on which fields are declared, or how: an event that is
// sent again after its fields were declared has the same hash. Inside an object or an array the order of
// keys and the spelling do change it.
//
// The flag 2 in _flags says that the hash is this one. Events from before it have the hash of another form,
// in which declared fields came first, with a letter for their declared type, and everything undeclared as
// the text of _extra. Dead letters still have a hash of their own (package deadletter).
//
// # Answer
//
// 200 means that every event is durable or refused for good:
//
//	{"accepted":998,"rejected":[{"index":3,"id":"…","code":"unknown_type","message":"…"}],"receipt":"…"}
//
// The member coerced is the number of accepted events of which a value was converted. It is absent without any.
//
// If the log did not confirm some events, the status is 503 with the same members, and these
// events are in rejected with log_unavailable or log_full. The client sends them again, or the
// whole request, with the same ids, and each counts once.
//
// If every event was refused for good, the status is 400 with the code all_rejected and the list.
// Every status but 200 comes with application/problem+json (RFC 9457) and a stable code. If the
// member accepted is missing, nothing of the request was stored.
//
// # Dead letters
//
// An event that is refused for good is kept as a dead letter (package deadletter). A dead letter
// is an event of a reserved type, in the same log, and durable before the answer. The rejection
// names it in the member dead_letter. Without that member it was not kept.
//
//	refused                                           kept
//	an event, with a final code                       its bytes: the line, the element of the array, and
//	                                                  for binary mode the same event in structured mode
//	a request that is not JSON (400 invalid_json)     its body, as one dead letter without an index
//	an event that the log did not confirm (503)       no: the client has to send it again
//	an event too large for a message of the log       no: its bytes are gone when this is found
//	what a key of scope collect sends                 no: a replay is not bounded by that key
//	a whole request, with 429, 503 or 413             no: the client has to send it again, or in parts
//	a whole request, with 401, 403, 405 or 415        no: nothing was read
//	a body that did not arrive or decompress (400     no: there is nothing to keep
//	unreadable_body, invalid_encoding)
//
// All are counted by code. A dead letter holds at most EventBytes bytes; one that is cut off
// cannot be replayed. A rejection is only counted when the rates DeadLetters and
// DeadLetterBytes are used up (ten seconds of them may be used at once), when there is no memory
// for it, when the queue is half full, or when the log refuses it. So a dead letter never takes
// the place of a good event, and never changes the answer to it.
//
// # Receipt
//
// A receipt is base64url without padding. Its bytes are the version 2, the first four bytes of the SHA-256 of the
// installation's id (I8), and for each message that holds events of the request five unsigned varints: partition,
// epoch, sequence, index in the message of the first of these events, and their number. Version 1 lacks the
// installation. DecodeReceipt reads both. The receipt is empty if no event was accepted, and always for a key of scope
// collect, because positions tell how much all tenants send. GET /v1/receipts/{receipt} says how far these events have
// come, and a query with min_through waits for them.
package ingest
