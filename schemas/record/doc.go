// Package record holds the small create-only records that make everything else count:
// commit records of the lake, publications of the batch view, and retirements. They are
// JSON, so that a person can read them. schemas/PROTOCOL.md lists all keys of the store.
//
// # Stored form
//
// A record is stored as two lines, each ended by a newline: its own bytes, and their SHA-256.
//
//	{"kind":"segment",…}
//	{"sha256":"<64 hex digits>"}
//
// The digest by which the next record names a record is the SHA-256 of the first line without
// its newline.
// Bytes after the record and inconsistent counts are errors.
//
// # Header
//
// Every record begins with the members of Header, which the forms below leave out:
//
//	{"format":1,                     // absent in records from before formats were numbered
//	 "requires":["name"],            // absent if there is none
//
// Readers ignore members that they do not know. They refuse a record of a later format, and one that
// requires a name that they do not know.
//
// # Commit record: land/e{epoch}/p{partition}/{start}.json
//
// Epoch, partition and start have 6, 3 and 20 digits. Times are RFC 3339 in UTC, event times
// and buckets microseconds since 1970, durations nanoseconds.
//
//	{"kind":"segment",               // or seal, hole
//	 "epoch":1,"partition":0,
//	 "start":1,"end":5,              // sequences of messages, [start, end)
//	 "events":3,
//	 "objects":[{                    // one for each event type, in the order of types
//	   "type":"hit","key":"data/type=hit/…","size":2048,
//	   "sha256":"<64 hex digits>",   // of the object's bytes
//	   "digest":"<64 hex digits>",   // logical: see package batch/object
//	   "rows":3,"schema":"<16 hex digits>",
//	   "uniform":true,               // absent if a field was declared meanwhile, and in old records
//	   "tenants":{"default":3},      // absent in old records
//	   "buckets":[                   // runs of rows in file order, ascending
//	     {"bucket":0,"rows":1},
//	     {"bucket":3600000000,"rows":2,"assigned":1}]}],  // assigned: of rows, times the server assigned
//	 "tenants":{"default":3},        // of all objects
//	 "attempt":"…",                  // unique, so that two writers never have the same bytes
//	 "created":"2024-01-02T03:04:05Z",
//	 "previous":"<64 hex digits>"}   // digest of the record before; empty in the first
//
// A seal has an empty range and opens the next epoch. The first record of a chain is the seal of
// epoch 0 at sequence 1; it fixes bucket and partitions.
//
//	{"kind":"seal","epoch":0,"partition":0,"start":1,"end":1,"events":0,
//	 "next":{"epoch":1,"rule":{"interval":30000000000,"rows":1000000,"bytes":67108864},
//	   "bucket":3600000000000,"partitions":2},
//	 "reason":"the first record","attempt":"…","created":"…","previous":""}
//
// A hole has a range, a reason and no objects. It opens the next epoch like a seal.
//
//	{"kind":"hole","epoch":1,"partition":0,"start":51,"end":61,"events":0,
//	 "next":{"epoch":2,"rule":{…},"bucket":3600000000000,"partitions":2},
//	 "reason":"a bad sector","attempt":"…","created":"…","previous":"<64 hex digits>"}
//
// # Publication: publish/{n}.json
//
// n has 20 digits. A base lists every bucket of every view, a delta those that changed. A view that is
// full in a delta lists all of its buckets. Views that are not named have no batch view any more.
//
//	{"n":7,"previous":"<64 hex digits>",
//	 "h":[{"epoch":1,"seq":5}],      // H, by partition
//	 "tips":["<64 hex digits>"],     // digest of the commit record that ends at H, by partition
//	 "base":true,                    // absent in a delta
//	 "views":{"hits":{"digest":"<16 hex digits>","full":true,
//	   "reading":1,                                 // how fields are read; absent in old records
//	   "fill":{"from":0,"buckets":1,"rows":9},      // B8; absent if the view has all of its history; requires "fill"
//	   "buckets":[[0,30064771077,1,7]],             // [bucket, ver, rows, checksum]
//	   "unconverted":[{"bucket":0,"tenant":"default","events":1}], // values that do not fit; absent without any
//	   "retired":[{"bucket":0,"tenant":"default","events":1}]}}, // removed by retention, at most; absent without any
//	 "types":{"hit":[[0,5,2,0]]},                   // [bucket, rows, duplicates, conflicts]
//	 "ledgers":{"hit":{"from":[1],                  // where the ledger begins; absent when it goes on
//	   "tenants":{"default":[[5,2]]}}},             // by partition: [rows, duplicates, conflicts], the last if not 0
//	 "events":5,                     // landed below H
//	 "holes":[{"partition":0,"from":51,"to":61}],   // all below H; absent without any
//	 "generation":7,                 // of the catalog; absent in old records
//	 "copies":1,                     // version of the rule I3; absent in old records, which means 0
//	 "code":"v1.2.3","attempt":"…","created":"…"}
//
// # Generation of the catalog: catalog/{n}.json
//
// n has 20 digits. Event types and views are those of package catalog, by name; cell and bucket are nanoseconds.
//
//	{"n":7,"previous":"<64 hex digits>",            // digest of generation n-1; empty in the first
//	 "bucket":3600000000000,
//	 "events":{"hit":{"name":"hit","fields":[{"name":"page","type":"string"}]}},
//	 "views":{"hits":{"name":"hits","event":"hit","dimensions":["page"],"cell":60000000000,
//	   "where":[{"field":"page","op":"ne","values":["/"]}],
//	   "measures":[{"name":"hits","kind":"count"}]}},
//	 "file":{"events":{},"views":{}},               // what a file declared when one was last applied
//	 "by":"file",                                   // or api
//	 "code":"v1.2.3","attempt":"…","created":"…"}
//
// # Retirement: retired/{type}/{before}.json
//
// The key holds everything a reader needs; before is written as 20060102T150405Z.
//
//	{"type":"recount.dead_letter","before":"2024-01-02T03:04:05Z","reason":"…"}
package record
