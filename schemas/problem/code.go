package problem

// Code is the stable name of the reason for which a request or an event was refused.
// Programs branch on the code and never on the detail.
type Code string

// Codes of any request.
const (
	InvalidRequest          Code = "invalid_request"
	NotFound                Code = "not_found"
	MethodNotAllowed        Code = "method_not_allowed"
	NotAcceptable           Code = "not_acceptable"
	UnsupportedMediaType    Code = "unsupported_media_type"
	UnsupportedEncoding     Code = "unsupported_encoding"
	BodyTooLarge            Code = "body_too_large"
	UnreadableBody          Code = "unreadable_body" // the client stopped sending, or was too slow
	Unauthorized            Code = "unauthorized"    // no valid key
	Forbidden               Code = "forbidden"       // a valid key without the scope
	CrossOrigin             Code = "cross_origin"    // a page of another origin asks in a browser
	RateLimited             Code = "rate_limited"    // this tenant is beyond its rate; other tenants may not be
	TooManyConnections      Code = "too_many_connections"
	HTTPVersionNotSupported Code = "http_version_not_supported"
	NotReady                Code = "not_ready"
	RestartNeeded           Code = "restart_needed" // the process does not recover by itself
	ShuttingDown            Code = "shutting_down"
	Internal                Code = "internal"
)

// Codes of queries, views and publications.
const (
	InvalidQuery            Code = "invalid_query"
	UnknownView             Code = "unknown_view"
	UnknownPublication      Code = "unknown_publication"
	PublicationCollected    Code = "publication_collected"
	ViewNotPublished        Code = "view_not_published"
	PinExpired              Code = "pin_expired"
	RowsMissing             Code = "rows_missing"
	LiveUnavailable         Code = "live_unavailable"
	BatchUnavailable        Code = "batch_unavailable"
	PublicationsUnavailable Code = "publications_unavailable"
	QueryTooLarge           Code = "query_too_large"
	TooManyQueries          Code = "too_many_queries"
	QueryTimeout            Code = "query_timeout"
	NotReached              Code = "not_reached"       // no answer had what min_through asks for in time
	TooStale                Code = "too_stale"         // no answer was as new as max_staleness asks in time
	StatementRefused        Code = "statement_refused" // SQL that no statement may have
	SQLUnavailable          Code = "sql_unavailable"   // this server's configuration has no place to run SQL
)

// Codes of event types and of changes of what is declared. Nothing was changed.
const (
	UnknownEventType   Code = "unknown_event_type"
	InvalidDeclaration Code = "invalid_declaration" // field has the place of the first mistake, reasons has all
	CatalogConflict    Code = "catalog_conflict"    // other declarations do not go with the change; see reasons
	PreconditionFailed Code = "precondition_failed" // If-Match or If-None-Match
	CatalogUnavailable Code = "catalog_unavailable" // the outcome may be unknown: the same request may be sent again
)

// Codes of a whole request of events. Nothing of such a request was kept.
const (
	InvalidEncoding Code = "invalid_encoding" // the body is not the gzip or zstd it claims to be
	TooManyEvents   Code = "too_many_events"
	TooManyBuckets  Code = "too_many_buckets" // the event times of a request are too far apart
	AllRejected     Code = "all_rejected"     // every event was refused; each has its own code
	Overloaded      Code = "overloaded"
	ShareUsed       Code = "share_used" // this tenant holds its share of memory; other tenants may not
)

// Codes of single events. All but the last two are final: sending the event again gives the same answer.
const (
	InvalidJSON        Code = "invalid_json"
	InvalidUTF8        Code = "invalid_utf8" // bytes that are not UTF-8, or half of a surrogate pair
	DuplicateKey       Code = "duplicate_key"
	TooDeep            Code = "too_deep"
	TooManyFields      Code = "too_many_fields"
	EventTooLarge      Code = "event_too_large"
	InvalidEvent       Code = "invalid_event" // not a JSON object
	InvalidSpecVersion Code = "invalid_specversion"
	MissingID          Code = "missing_id"
	IDTooLong          Code = "id_too_long"
	MissingType        Code = "missing_type"
	UnknownType        Code = "unknown_type" // not declared under events
	MissingSource      Code = "missing_source"
	InvalidAttribute   Code = "invalid_attribute"
	InvalidTime        Code = "invalid_time"
	TimeTooOld         Code = "time_too_old"
	TimeInFuture       Code = "time_in_future"
	InvalidField       Code = "invalid_field" // a declared field holds a value of another type
	NumberOutOfRange   Code = "number_out_of_range"
	InvalidData        Code = "invalid_data"     // data is not an object
	UnsupportedData    Code = "unsupported_data" // data is not JSON
	LogUnavailable     Code = "log_unavailable"  // outcome unknown: send it again with the same id
	LogFull            Code = "log_full"         // not stored: send it again later
)

// Codes of jobs, audits, scores, verification and dead letters.
const (
	UnknownJob        Code = "unknown_job"
	JobRunning        Code = "job_running"
	NoAudit           Code = "no_audit"
	NoScores          Code = "no_scores"
	VerifyRunning     Code = "verify_running"
	UnknownDeadLetter Code = "unknown_dead_letter"
	ExpiredDeadLetter Code = "expired_dead_letter"
	ReplayUnavailable Code = "replay_unavailable"
)

// Codes lists every code, in the order of the OpenAPI document.
var Codes = []Code{
	InvalidQuery, InvalidRequest, UnknownView, UnknownPublication, PublicationCollected, ViewNotPublished,
	PinExpired, RowsMissing, LiveUnavailable, BatchUnavailable, PublicationsUnavailable, QueryTooLarge,
	TooManyQueries, QueryTimeout, NotAcceptable, UnsupportedMediaType, BodyTooLarge, MethodNotAllowed,
	NotFound, NotReady, RestartNeeded, Internal, InvalidJSON, InvalidUTF8, DuplicateKey, TooDeep, TooManyFields,
	EventTooLarge,
	InvalidEvent, InvalidSpecVersion, MissingID, IDTooLong, MissingType, UnknownType, MissingSource,
	InvalidAttribute, InvalidTime, TimeTooOld, TimeInFuture, InvalidField, NumberOutOfRange, InvalidData,
	UnsupportedData, LogUnavailable, LogFull, UnsupportedEncoding, InvalidEncoding, TooManyEvents, TooManyBuckets,
	UnreadableBody, AllRejected, Overloaded, ShareUsed, ShuttingDown, UnknownJob, JobRunning, NoAudit, NoScores,
	VerifyRunning,
	Unauthorized, Forbidden, RateLimited, UnknownDeadLetter, ExpiredDeadLetter, ReplayUnavailable, CrossOrigin,
	TooManyConnections, HTTPVersionNotSupported, UnknownEventType, InvalidDeclaration, CatalogConflict,
	PreconditionFailed, CatalogUnavailable, StatementRefused, SQLUnavailable, NotReached, TooStale,
}

// RetryEvent reports whether an event that was rejected with the code may be accepted
// when it is sent again with the same id.
func (c Code) RetryEvent() bool { return c == LogUnavailable || c == LogFull }
