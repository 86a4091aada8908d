// Package keys is who may do what on a server: API keys, the file that knows them,
// and the guard in front of the routes.
//
// # Keys
//
// A key is 64 characters: "recount_", an id of 12 characters of a-z and 2-7, "_", and 32
// random bytes in base64url. It is shown once, when it is made, and kept nowhere: the
// file has its SHA-256. That is enough for a secret of 256 random bits; slow hashes are
// for passwords. A key is found by its id, and its hash compared in constant time.
// The fixed prefix lets scanners find keys that were committed somewhere by mistake.
//
// # File, version 1
//
//	{"version":1,"keys":[
//	 {"id":"k3v5…","tenant":"acme","scopes":"ingest,query","sha256":"<64 hex digits>","created":"2026-11-24T08:00:00Z",
//	  "expires":"2027-11-24T08:00:00Z","revoked":"2026-12-01T00:00:00Z"}]}
//
// expires and revoked are optional. A revoked key stays in the file, so that the list
// says what it was and its id is never used again. The file is replaced as a whole: written beside it,
// fsynced, renamed, the folder fsynced. Nobody but its owner may be able to write it.
//
// # Changes
//
// A server reads the file every ReloadEvery, so a revocation counts within seconds.
// A file that is damaged, unreadable or gone changes nothing: the last good keys go on
// counting, an error is logged and recount_keys_stale is 1. It must not mean "no key is
// needed", and if it meant "no key is good", a slip of an editor would stop everybody's events.
//
// # Rejected
//
// Keys in the configuration: it is read once, and people commit it. A database: one more
// thing that must be up before anybody can be let in. Signed tokens: they cannot be revoked
// without a list, and with the list in hand nothing is left to sign.
package keys
