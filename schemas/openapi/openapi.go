// Package openapi holds the reference of the HTTP API, an OpenAPI 3.1 document.
package openapi

import _ "embed"

// Document is the OpenAPI document as JSON.
//
//go:embed openapi.json
var Document []byte
