// Package keys decides which requests a server allows. It has the API keys, the file that lists them,
// and the guard in front of the routes.
//
// # Keys
//
// A key is 64 characters: "recount_", an id of 12 characters of a-z and 2-7, "_", and 32
// random bytes in base64url. It is shown once, when it is made, and is not stored: the file has
// its SHA-256. That is enough for a secret of 256 random bits; slow hashes are for passwords.
// A key is found by its id, and its hash is compared in constant time.
// Scanners recognise the fixed prefix in keys that were committed to a repository by mistake.
//
// # File, version 1
//
//	{"version":1,"keys":[
//	 {"id":"k3v5…","tenant":"acme","scopes":"ingest,query","sha256":"<64 hex digits>",
//	  "created":"2026-11-24T08:00:00Z","expires":"2027-11-24T08:00:00Z","revoked":"2026-12-01T00:00:00Z"}]}
//
// A key of scope collect has one more member: which event types it may send, from pages of which origins, and how
// many a second. Programs that do not know the scope refuse the file, so none of them ignores this.
//
//	"collect":{"types":["page.viewed"],"origins":["https://shop.example"],"events_per_second":100}
//
// expires and revoked are optional. A revoked key stays in the file: the list still shows it, and its
// id is never used again. The file is replaced as a whole: a new file is written and fsynced, renamed
// over the old one, and the folder is fsynced. Only its owner may have permission to write it.
//
// # Changes
//
// A server reads the file every ReloadEvery, so a revocation counts within seconds.
// A file that is damaged, unreadable or missing changes nothing: the keys that were read last stay
// valid, an error is logged, and recount_keys_stale is 1. Such a file must not mean "no key is
// needed". If it meant "no key is valid", one mistake in an editor would stop the events of all tenants.
//
// # Keys in web pages
//
// A page can send no header without a question to the server first (a preflight), and a beacon or an image can send
// none at all. So a key of scope collect, which is public anyway, may be the parameter key of the query string. Every
// other key is refused there: paths and queries are written into logs and histories.
//
// # Rejected alternatives
//
// Keys in the configuration: a server reads it once, and people commit it. A database: it would have
// to be up before any request is allowed. Signed tokens: they cannot be revoked without a list, and
// with a list the signature is superfluous.
package keys
