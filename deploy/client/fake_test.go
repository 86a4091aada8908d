package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
)

const address = "https://counts.example.com"

// fake is a server that accepts one event and has one view.
type fake struct{}

func (fake) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	switch r.URL.Path {
	case "/v1/events":
		fmt.Fprint(w, `{"accepted":1,"rejected":[],"receipt":"r"}`)
	case "/v1/query":
		fmt.Fprint(w, `{"rows":[{"page":"/","views":3}],"accuracy":{"exact":true}}`)
	case "/v1/queries":
		fmt.Fprint(w, `{"answers":[{"rows":[{"page":"/","views":3}],"accuracy":{"publication":7}},`+
			`{"problem":{"status":404,"code":"unknown_view"}}]}`)
	}
	return w.Result(), r.Body.Close()
}
