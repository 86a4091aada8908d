package ingest

import "time"

// Code says in one stable word why an event or a request was refused.
type Code string

// Codes of single events. All but the last two are for good: sending the event again gives the same answer.
const (
	CodeInvalidJSON        Code = "invalid_json"
	CodeInvalidUTF8        Code = "invalid_utf8" // bytes that are not UTF-8, or half of a surrogate pair
	CodeDuplicateKey       Code = "duplicate_key"
	CodeTooDeep            Code = "too_deep"
	CodeTooManyFields      Code = "too_many_fields"
	CodeEventTooLarge      Code = "event_too_large"
	CodeInvalidEvent       Code = "invalid_event" // not a JSON object
	CodeInvalidSpecVersion Code = "invalid_specversion"
	CodeMissingID          Code = "missing_id"
	CodeIDTooLong          Code = "id_too_long"
	CodeMissingType        Code = "missing_type"
	CodeUnknownType        Code = "unknown_type" // not declared under events
	CodeMissingSource      Code = "missing_source"
	CodeInvalidAttribute   Code = "invalid_attribute"
	CodeInvalidTime        Code = "invalid_time"
	CodeTimeTooOld         Code = "time_too_old"
	CodeTimeInFuture       Code = "time_in_future"
	CodeInvalidField       Code = "invalid_field" // a declared field holds a value of another type
	CodeNumberOutOfRange   Code = "number_out_of_range"
	CodeInvalidData        Code = "invalid_data"     // data is not an object
	CodeUnsupportedData    Code = "unsupported_data" // data is not JSON
	CodeLogUnavailable     Code = "log_unavailable"  // outcome unknown: send it again with the same id
	CodeLogFull            Code = "log_full"         // not stored: send it again later
)

// Codes of whole requests. Nothing of such a request was kept.
const (
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeUnsupportedEncoding  Code = "unsupported_encoding"
	CodeInvalidEncoding      Code = "invalid_encoding" // the body is not the gzip or zstd it claims to be
	CodeBodyTooLarge         Code = "body_too_large"
	CodeTooManyEvents        Code = "too_many_events"
	CodeUnreadableBody       Code = "unreadable_body" // the client stopped sending, or was too slow
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeAllRejected          Code = "all_rejected" // every event was refused; each has its own code
	CodeOverloaded           Code = "overloaded"
	// the tenant holds its share of what waits; another would not be refused
	CodeShareUsed    Code = "share_used"
	CodeRateLimited  Code = "rate_limited" // the tenant is beyond its rate; another would not be
	CodeUnauthorized Code = "unauthorized" // nobody said who is asking
	CodeShuttingDown Code = "shutting_down"
)

// retryable says that sending the event again may succeed.
func (c Code) retryable() bool { return c == CodeLogUnavailable || c == CodeLogFull }

// fault is a refused event or request; status is 0 for an event.
type fault struct {
	code   Code
	msg    string
	status int
	retry  time.Duration // of a 429 or 503, when it is known; else Config.RetryAfter
}

// rejection is a refused event in an answer.
type rejection struct {
	index  int
	id     string
	code   Code
	msg    string
	letter string // name of the dead letter; empty when it is not kept
}
