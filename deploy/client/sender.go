package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Rejected is an event the server refused for what it is.
type Rejected struct {
	Index   int    `json:"index"`
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// SenderAnswer is what the server said of a request.
type SenderAnswer struct {
	Accepted int        `json:"accepted"`
	Rejected []Rejected `json:"rejected"`
	Receipt  string     `json:"receipt"`
	Code     string     `json:"code"` // of a problem; empty when an event was accepted
}

// allRejected is the code of a refusal that is an answer for each event.
const allRejected = "all_rejected"

// Sender posts requests to one server. Its fields may be set before first use.
type Sender struct {
	URL     string // http://127.0.0.1:8080
	Key     string // the API key to show; empty shows none
	Client  *http.Client
	Backoff time.Duration // before the first retry; doubled up to MaxBackoff

	// Retries is told of every failure that is followed by another try, unless it returns an error,
	// which then ends Send. It may be nil.
	Retries func(failure error) error
}

// MaxBackoff bounds the wait between two tries.
const MaxBackoff = 2 * time.Second

// NewSender returns a sender for the server at url with as many idle connections as requests in flight.
func NewSender(url string, inFlight int) *Sender {
	return &Sender{
		URL: strings.TrimSuffix(url, "/"),
		Client: &http.Client{Timeout: time.Minute,
			Transport: &http.Transport{MaxIdleConnsPerHost: inFlight, DisableCompression: true}},
		Backoff: 20 * time.Millisecond,
	}
}

// retryableStatus is a status after which the same request may succeed.
func retryableStatus(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}

// errRefused is a final refusal of a whole request.
var errRefused = errors.New("the server refused the request")

// Send posts newline-delimited CloudEvents until the server acknowledges them. It
// returns an error only when ctx ends, the server refuses the whole request, or Retries wants no more.
func (s *Sender) Send(ctx context.Context, ndjson []byte) (SenderAnswer, error) {
	for try := 0; ; try++ {
		answer, wait, err := s.try(ctx, ndjson)
		if err == nil || errors.Is(err, errRefused) {
			return answer, err
		}
		if s.Retries != nil {
			if err := s.Retries(err); err != nil {
				return answer, fmt.Errorf("send events: %w", err)
			}
		}
		backoff := min(s.Backoff<<min(try, 16), MaxBackoff)
		wait = max(wait, backoff/2+rand.N(backoff/2+1))
		select {
		case <-ctx.Done():
			return answer, fmt.Errorf("send events: %w (last failure: %w)", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

func (s *Sender) try(ctx context.Context, body []byte) (SenderAnswer, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return SenderAnswer{}, 0, fmt.Errorf("%w: %w", errRefused, err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if s.Key != "" {
		req.Header.Set("Authorization", "Bearer "+s.Key)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return SenderAnswer{}, 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return SenderAnswer{}, 0, err
	}
	var a SenderAnswer
	if err := json.Unmarshal(raw, &a); resp.StatusCode == http.StatusOK && err != nil {
		return SenderAnswer{}, 0, fmt.Errorf("read the server's answer: %w", err)
	}
	if resp.StatusCode == http.StatusOK || a.Code == allRejected {
		return a, 0, nil
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	err = fmt.Errorf("status %d: %s", resp.StatusCode, bytes.TrimSpace(raw[:min(len(raw), 500)]))
	if !retryableStatus(resp.StatusCode) {
		err = fmt.Errorf("%w: %w", errRefused, err)
	}
	return SenderAnswer{}, time.Duration(seconds) * time.Second, err
}
