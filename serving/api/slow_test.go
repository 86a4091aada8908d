package api

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"recount/schemas/deadletter"
	"recount/schemas/record"
)

// stuck is a store that answers only when the request has ended.
type stuck struct{ *layers }

func (stuck) StateAt(ctx context.Context, _ uint64) (*record.State, error) {
	return nil, waitForEnd(ctx)
}
func (stuck) Pin(ctx context.Context, _ uint64) error { return waitForEnd(ctx) }

func (stuck) List(ctx context.Context, _ string, _ deadletter.Filter) (deadletter.Page, error) {
	return deadletter.Page{}, waitForEnd(ctx)
}

func (stuck) Get(ctx context.Context, _, _ string) (deadletter.Letter, error) {
	return deadletter.Letter{}, waitForEnd(ctx)
}

func (stuck) Replay(ctx context.Context, _ string, _ deadletter.Filter, _ bool) (deadletter.Replay, error) {
	return deadletter.Replay{}, waitForEnd(ctx)
}

func waitForEnd(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestNothingHoldsAPlaceLongerThanAQuery checks that each request that needs a query's place ends
// after a query's time. There is one place, so a request without a limit would block all later ones.
func TestNothingHoldsAPlaceLongerThanAQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLayers()
		a := newAPI(t, l, func(c *Config, p *Parts) {
			c.MaxConcurrent = 1
			p.Publications = stuck{l}
			p.DeadLetters = stuck{l}
		})
		for _, asked := range []struct{ method, target string }{
			{http.MethodGet, "/v1/publications"},
			{http.MethodGet, "/v1/publications/17"},
			{http.MethodPut, "/v1/publications/17/pin"},
			{http.MethodGet, "/v1/dead-letters"},
			{http.MethodGet, "/v1/dead-letters/0-1-0"},
			{http.MethodPost, "/v1/dead-letters/replays"},
		} {
			res, body := call(a, asked.method, asked.target, "")
			if p := decodeProblem(t, res, body); p.Status != http.StatusGatewayTimeout || p.Code != "query_timeout" {
				t.Errorf("%s %s: got %s", asked.method, asked.target, body)
			}
		}
	})
}
