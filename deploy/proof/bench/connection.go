package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// connection is one HTTP connection with as little work for each request as possible, because the client shares the
// processors with the server that it measures.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader
	host   string
	key    string // key is the API key. It may be empty.
	buffer []byte
	answer []byte // answer is the body of the last response.
	// patience is how long a request is repeated that is refused for load, or whose answer lacks an event.
	patience time.Duration
}

func dial(url string) (*connection, error) {
	host := strings.TrimPrefix(url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), host: host, patience: time.Minute}, nil
}

func (c *connection) close() { _ = c.conn.Close() }

// post sends one request and reads its whole response.
func (c *connection) post(path, kind string, body []byte) (status int, err error) {
	c.buffer = fmt.Appendf(c.buffer[:0], "POST %s HTTP/1.1\r\nHost: %s\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n", path, c.host, kind, len(body))
	if c.key != "" {
		c.buffer = fmt.Appendf(c.buffer, "Authorization: Bearer %s\r\n", c.key)
	}
	c.buffer = append(c.buffer, "\r\n"...)
	c.buffer = append(c.buffer, body...)
	if _, err := c.conn.Write(c.buffer); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, err
	}
	c.answer = c.answer[:0]
	for {
		if len(c.answer) == cap(c.answer) {
			c.answer = append(c.answer, 0)[:len(c.answer)]
		}
		n, err := resp.Body.Read(c.answer[len(c.answer):cap(c.answer)])
		c.answer = c.answer[:len(c.answer)+n]
		if err == io.EOF {
			return resp.StatusCode, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// events sends a body of events.
func (c *connection) events(body []byte) (status int, err error) {
	return c.post("/v1/events", "application/x-ndjson", body)
}

// query asks a question.
func (c *connection) query(body []byte) (status int, err error) {
	return c.post("/v1/query", "application/json", body)
}

// deliver sends a body of events until it is accepted, and counts how often it was refused for load.
func (c *connection) deliver(body []byte, refused *atomic.Int64) error {
	began := time.Now()
	for {
		status, err := c.events(body)
		if err != nil {
			return err
		}
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			refused.Add(1)
			if time.Since(began) > c.patience {
				return fmt.Errorf("events were refused for load for %s, the last time with %d: %.500s", c.patience,
					status, c.answer)
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		var result struct {
			Accepted int
			Rejected []any
		}
		if err := json.Unmarshal(c.answer, &result); err != nil {
			return fmt.Errorf("events answered %d: %w: %.500s", status, err, c.answer)
		}
		if status != http.StatusOK || len(result.Rejected) > 0 {
			return fmt.Errorf("events answered %d: %.500s", status, c.answer)
		}
		return nil
	}
}
