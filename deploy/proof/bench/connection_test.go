package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestDeliverAfterClose delivers to a server that refuses the first request and closes its connection.
func TestDeliverAfterClose(t *testing.T) {
	t.Parallel()
	var requests, refused atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"accepted":1,"rejected":[]}`)
	}))
	defer s.Close()
	c, err := dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { c.close() }()
	for range 2 {
		if err := c.deliver([]byte("{}"), &refused); err != nil {
			t.Fatal(err)
		}
	}
	if refused.Load() != 1 || requests.Load() != 3 {
		t.Errorf("%d of %d requests were refused, want 1 of 3", refused.Load(), requests.Load())
	}
}
