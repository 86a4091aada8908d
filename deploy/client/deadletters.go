package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"recount/schemas/deadletter"
)

// DeadLetters lists rejected events of the key's tenant, newest first. If the page has a cursor, a
// filter with it lists the next page.
func (c *Client) DeadLetters(ctx context.Context, f deadletter.Filter) (page deadletter.Page, err error) {
	err = c.get(ctx, "/v1/dead-letters", filterParameters(f), &page)
	return page, err
}

// DeadLetter returns one rejected event, by its name.
func (c *Client) DeadLetter(ctx context.Context, name string) (l deadletter.Letter, err error) {
	err = c.get(ctx, "/v1/dead-letters/"+url.PathEscape(name), nil, &l)
	return l, err
}

// ReplayDeadLetters sends a page of rejected events to ingest again. With dry it only returns which of them would be
// accepted. An event that is replayed several times counts once.
func (c *Client) ReplayDeadLetters(ctx context.Context, f deadletter.Filter,
	dry bool) (page deadletter.Replay, err error) {
	parameters := filterParameters(f)
	parameters.Set("dry_run", strconv.FormatBool(dry))
	err = c.execute(ctx, &call{method: http.MethodPost, path: "/v1/dead-letters/replays", query: parameters,
		accept: "application/json", policies: &c.reads, into: &page})
	return page, err
}

func filterParameters(f deadletter.Filter) url.Values {
	v := url.Values{}
	for name, text := range map[string]string{"name": f.Name, "code": f.Code, "type": f.Type, "cursor": f.Cursor,
		"from": formatTime(f.From), "to": formatTime(f.To)} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if f.Limit > 0 {
		v.Set("limit", strconv.Itoa(f.Limit))
	}
	return v
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
