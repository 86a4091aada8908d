package client

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"recount/jobs/conservation"
	"recount/schemas/openapi"
)

// get reads the JSON of a GET.
func (c *Client) get(ctx context.Context, path string, parameters url.Values, into any) error {
	return c.execute(ctx, &call{method: http.MethodGet, path: path, query: parameters, accept: "application/json",
		policies: &c.reads, into: into})
}

// Views lists the views, by name.
func (c *Client) Views(ctx context.Context) ([]openapi.View, error) {
	var answer struct{ Views []openapi.View }
	err := c.get(ctx, "/v1/views", nil, &answer)
	return answer.Views, err
}

// View returns one view.
func (c *Client) View(ctx context.Context, name string) (v openapi.View, err error) {
	err = c.get(ctx, viewPath(name), nil, &v)
	return v, err
}

// Publications lists the publications that a query can name in AsOf, newest first.
func (c *Client) Publications(ctx context.Context) ([]openapi.Publication, error) {
	var answer struct{ Publications []openapi.Publication }
	err := c.get(ctx, "/v1/publications", nil, &answer)
	return answer.Publications, err
}

// Publication returns one publication. With buckets it includes the lists of its buckets.
func (c *Client) Publication(ctx context.Context, n uint64, buckets bool) (p openapi.Publication, err error) {
	parameters := url.Values{"buckets": {strconv.FormatBool(buckets)}}
	err = c.get(ctx, fmt.Sprintf("/v1/publications/%d", n), parameters, &p)
	return p, err
}

// PinPublication keeps a publication for ever. It may be repeated.
func (c *Client) PinPublication(ctx context.Context, n uint64) (p openapi.Publication, err error) {
	err = c.execute(ctx, &call{method: http.MethodPut, path: fmt.Sprintf("/v1/publications/%d/pin", n),
		accept: "application/json", policies: &c.reads, into: &p})
	return p, err
}

// Scores returns the newest grade of the speed layer.
func (c *Client) Scores(ctx context.Context) (s openapi.Scores, err error) {
	err = c.get(ctx, "/v1/scores", nil, &s)
	return s, err
}

// Audit returns the newest audit of conservation. An empty tenant means all tenants if the key has
// the scope admin, and otherwise the key's tenant. Another tenant needs the scope admin.
func (c *Client) Audit(ctx context.Context, tenant string) (a conservation.AuditRun, err error) {
	parameters := url.Values{}
	if tenant != "" {
		parameters.Set("tenant", tenant)
	}
	err = c.get(ctx, "/v1/audit", parameters, &a)
	return a, err
}

// Jobs lists the jobs with their latest runs.
func (c *Client) Jobs(ctx context.Context) ([]openapi.Job, error) {
	var answer struct{ Jobs []openapi.Job }
	err := c.get(ctx, "/v1/jobs", nil, &answer)
	return answer.Jobs, err
}

// RunJob runs a job and waits for its end. If the run fails, RunJob returns the run and an error
// with its reason. The call is tried once, so that a run is not started a second time.
func (c *Client) RunJob(ctx context.Context, name string) (run openapi.Run, err error) {
	err = c.execute(ctx, &call{
		method: http.MethodPost, path: "/v1/jobs/" + url.PathEscape(name) + "/runs", accept: "application/json",
		untimed: true,
		decode: func(status int, header http.Header, raw []byte) error {
			err := json.Unmarshal(raw, &run)
			switch {
			case err == nil && run.Error != "":
				return fmt.Errorf("the run of job %s failed: %s", name, run.Error)
			case status != http.StatusOK:
				return decodeProblem(status, header, raw)
			case err != nil:
				return fmt.Errorf("read the answer: %w", err)
			}
			return nil
		},
	})
	return run, err
}

// Health returns nil if the server answers. It tries once.
func (c *Client) Health(ctx context.Context) error { return c.probe(ctx, "/healthz") }

// Ready returns nil if the server can answer queries, and otherwise a *Problem with reasons. It
// tries once.
func (c *Client) Ready(ctx context.Context) error { return c.probe(ctx, "/readyz") }

// probe sends one request, because the caller wants to know the state at this moment.
func (c *Client) probe(ctx context.Context, path string) error {
	return c.execute(ctx, &call{method: http.MethodGet, path: path, accept: "application/json"})
}

// maxReportLine bounds a line of a verification's answer, in bytes.
const maxReportLine = 64 << 20

// Verify makes the server verify itself and waits for the report. acks is an acknowledgement log,
// or nil. progress is called while the server works; it may be nil. The call is tried once.
func (c *Client) Verify(ctx context.Context, acks io.Reader,
	progress func(openapi.VerifyProgress)) (report openapi.VerifyReport, err error) {
	if acks == nil {
		acks = http.NoBody
	}
	if progress == nil {
		progress = func(openapi.VerifyProgress) {}
	}
	err = c.execute(ctx, &call{
		method: http.MethodPost, path: "/v1/verify", stream: acks, contentType: "application/x-ndjson",
		accept: "application/x-ndjson", untimed: true,
		open: func(_ http.Header, body io.ReadCloser) (err error) {
			defer body.Close()
			report, err = readReport(body, progress)
			return err
		},
	})
	return report, err
}

// readReport reads the lines of a verification's answer to their end, because the server accepts
// no other verification before that.
func readReport(body io.Reader, progress func(openapi.VerifyProgress)) (openapi.VerifyReport, error) {
	var report *openapi.VerifyReport
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxReportLine)
	for lines.Scan() {
		var l openapi.VerifyLine
		switch err := json.Unmarshal(lines.Bytes(), &l); {
		case err != nil:
			return openapi.VerifyReport{}, fmt.Errorf("read the answer: %w", err)
		case l.Error != "":
			return openapi.VerifyReport{}, errors.New(l.Error)
		case l.Report != nil:
			report = l.Report
		case l.Progress != nil:
			progress(*l.Progress)
		}
	}
	if report == nil {
		return openapi.VerifyReport{}, fmt.Errorf("the answer ended without a report: %w",
			cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
	}
	return *report, nil
}
