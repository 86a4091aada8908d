// Package client is the Go client of recount's HTTP API: it sends events, asks queries and
// operates a server.
//
//	c, err := client.New(client.Config{URL: "https://counts.example.com", Key: key})
//	result, err := c.Send(ctx, []client.Event{{Type: "page.viewed", Data: map[string]any{"page": "/"}}})
//	accuracy, err := c.Query(ctx, &query.Query{View: "page_views", From: from, To: to}, &rows)
//
// # Events
//
// Send and SendLines send one request. A Batcher gathers single events into requests and reports
// the outcome of each. An event is accepted, which means durable, or rejected for good, or not
// acknowledged. In the last case the server may have stored it or not.
//
// A request is repeated with the same bytes, so its events have the same ids and times, and the
// server counts each once however often it came. The client draws a missing id and sets a
// missing time before the first try.
//
// # Failures
//
// A call that fails is tried again after these outcomes of a try, and after no other:
//
//   - there is no answer, or it is cut off; a certificate that is not trusted is final
//   - the status is 408, 429, or 500 and more, but not 501, 505 or the codes query_timeout, not_reached, too_stale
//   - the status is 409 with Retry-After: the next recompute fills the view
//   - the answer to a request of events cannot be read
//
// Retry and Breaker say how often, and after which wait. RunJob, Verify, Health and Ready are tried
// once. A refusal by the server is a *Problem, which errors.As finds in the error of any call.
// Every call ends soon after its context does.
package client
