// Package openapi holds the OpenAPI 3.1 document of recount's HTTP API, which is its reference,
// and the Go types of answers that both handlers and clients need. Tests beside each handler
// compare the document with the routes and the Go types.
package openapi

import _ "embed"

//go:embed openapi.json
var document []byte

// Document returns the document's bytes, which the caller must not change.
func Document() []byte { return document }
