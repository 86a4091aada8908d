// Package api is the HTTP side of serving: it reads a request strictly, lets the reader
// answer it within bounds, and writes JSON, CSV or Arrow, or a problem (RFC 9457) with
// a stable code.
package api
