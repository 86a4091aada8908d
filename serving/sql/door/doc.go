// Package door speaks the HTTP interface of ClickHouse, as far as clients that only read need it, so that drivers and
// tools made for ClickHouse work unchanged. It is about requests and answers. Statements are decided about and run
// elsewhere (Config.Run).
//
// # Requests
//
// A statement is in the URL parameter query, in the body, or in both, which are joined. Parameters param_NAME are
// values of the statement, and default_format is the format of the result where the statement names none. A key is sent
// as a password, as ClickHouse's clients do, or as a bearer token. The user's name means nothing. Any other parameter
// is a setting.
//
// A body may be compressed (Content-Encoding, or decompress=1 for ClickHouse's own blocks). So may the answer be, for
// Accept-Encoding with enable_http_compression=1, or for compress=1.
//
// # Sessions
//
// A session of ClickHouse keeps settings that SET gave it, and temporary tables. Statements that make these are
// refused, so a session has nothing to keep, and a request with a session_id is answered like one without. A request
// that wants to find an earlier session (session_check) is refused.
//
// # Errors
//
// A result is whole before its first byte is sent, so an exception never comes after a part of a result. It has
// ClickHouse's number in a header and in its text.
package door
