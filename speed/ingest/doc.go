// Package ingest is the way in: POST /v1/events turns CloudEvents into columns, and
// one message per partition and moment carries them into the log.
//
//	body ─▶ gate ─▶ scanner ─▶ row ─▶ chunk (request, partition, type) ─▶ queue ─▶ group ─▶ frame ─▶ Log
//	                strict JSON  checked      plain columns          bounded   memcpy   Arrow IPC  fsync
//
// # The rules it keeps (schemas/PROTOCOL.md)
//
//	L1  An event counts as accepted only after the log's durable ack of its message.
//	L2  Events of many requests are gathered per partition into one message, for Linger or until
//	    GroupEvents or GroupBytes; a request is answered when all its messages are; failures are told per event.
//	L3  partition = hash(tenant, id) mod P, by eventbatch.KeyOf.
//	D1  An event without time gets the server's and FlagTimeAssigned.
//	A1  A rejected event that was kept is an event of its own, so it has a position and can be counted.
//
// Memory is bounded twice: Memory for bodies and columns of all requests, QueueBytes per partition for what
// waits for the log. Time is bounded twice too: nobody waits longer than Wait for a processor, nor is let
// into a queue whose oldest events have. Whoever finds any of the four used up is told 429.
//
// # Content types
//
// application/cloudevents+json, application/cloudevents-batch+json and binary mode
// (ce- headers) are strict: specversion "1.0" and a source are required. In
// application/x-ndjson and application/json (object or array) both may be missing: a
// missing source is the empty string. A specversion other than "1.0" is refused
// everywhere. In NDJSON a broken line is refused alone and empty lines do not count
// as events; in an array a syntax error refuses the whole request, because nothing
// behind it can be trusted. Content-Encoding is gzip, zstd or none.
//
// # Events
//
// The JSON is strict: RFC 8259, no key twice in any object, valid UTF-8, no unpaired
// surrogate. null is the same as missing, and an empty id, source or subject too. An
// id has at most 200 bytes, source and subject 1,024. A time is RFC 3339, cut to the
// microsecond, from 1970 to 2261 and within Past and Future of the server's clock.
// data is an object or missing. data_base64 is taken when datacontenttype says that
// it is JSON. datacontenttype itself is not kept, everything else is.
//
// An int64 field takes every number that is exactly whole and fits: 5, 5.0 and 5e0. A
// float64 takes every number that does not overflow; minus zero becomes zero. There
// are no conversions between strings, numbers and booleans.
//
// Undeclared fields of data and undeclared attributes (a name of a-z and 0-9; a
// string, number or boolean) are kept in the column _extra:
//
//	{"attributes":{"traceparent":"00-1"},"data":{"gate":{"no":7}}}
//
// Names of both objects are in byte order, there is no white space between tokens, nulls and an
// empty part are left out, and numbers and nested values keep the spelling they came in.
//
// # Too many values
//
// Whatever views have as a dimension, source and subject too, gets at most Config.Values values from
// one tenant in a UTC day of the server's clock; a bool has two anyway. An event with a further one keeps
// it, and the column _overflow names the field, with commas between several, in byte order:
//
//	page,subject
//
// It is decided here and written into the log, so both layers count the same: catalog.Overflow or
// OverflowInt in the dimension, and what was sent wherever the field is filtered by or measured. A message
// without such an event lacks the column. _hash does not depend on it.
//
// # Hash
//
// _hash is XXH64 over this canonical form; str is a uint32 length and the bytes, integers are little endian:
//
//	str type · [ 't' int64 time, unless assigned ] · 's' str source · 'u' str subject ·
//	for each declared field with a value, by name: str name, first letter of its type, value · str _extra · 'x'
//
// A value is a str for a string, else 8 bytes: the integer, the float's bits, 0 or 1,
// microseconds. So white space, key order, escapes and number spelling of what is
// declared, and nulls, do not change the hash, nor does declaring a field the event
// does not have. Inside a nested undeclared value, key order and spelling do.
//
// # Answer
//
// 200 means that every event is durable or refused for good:
//
//	{"accepted":998,"rejected":[{"index":3,"id":"…","code":"unknown_type","message":"…"}],"receipt":"…"}
//
// If the log did not confirm some events the status is 503, with the same members, and
// those events are in rejected with log_unavailable or log_full: sending them, or the whole request, again
// with the same ids counts once. If every event was refused for good it is 400 with
// code all_rejected, and the list. Anything else than 200 is application/problem+json
// (RFC 9457) with a stable code; without the member accepted, nothing of the request was kept.
//
// # Dead letters
//
// What is refused for good is kept as a dead letter (package deadletter): an event of a
// reserved type, in the same log, durable before the answer. The rejection names it in the
// member dead_letter; without that member it was not kept.
//
//	refused                                                   kept
//	an event, for any code above log_unavailable in the list  its bytes: the line, the array's element, and in
//	                                                          binary mode the same event in structured mode
//	a request that is not JSON (400 invalid_json)             its body, as one letter without an index
//	an event the log did not take (503)                       no: the sender has to send it again
//	an event too large for a message, found in the log        no: its bytes are gone by then
//	429, 503, 413 of a whole request                          no: the sender has to send it again, or in parts
//	401, 403, 405, 415                                        no: nothing was read
//	400 invalid_encoding, unreadable_body                     no: the body did not arrive
//
// All are counted by code. At most EventBytes of a letter are kept; it is then truncated
// and not replayable. Beyond Letters and LetterBytes per second (ten seconds of them at
// once), without memory for the request, when the queue is half full, and when the log does
// not take them, letters are only counted: they never cost a good event its place, nor a
// request its answer.
//
// # Receipt
//
// base64url without padding of: version byte 1, then for each message that holds events of the request five
// unsigned varints: partition, epoch, sequence, index of the first event in the
// message, number of events. DecodeReceipt reads it.
//
// # Rejected
//
// encoding/json and its kin: 67 to 270 MB/s a core, and maps or structs per event.
// Arrow builders per request: slower to append to than slices, and gathering them
// copies value by value. Validating into the columns and truncating them for a bad
// event: the type may come last in the event, so its fields need a place of their own anyway.
package ingest
