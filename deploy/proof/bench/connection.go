package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
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
	ended  bool   // ended says that the server closes the connection after the last response.
	// patience is how long a request is repeated that is refused for load, or whose answer lacks an event.
	patience time.Duration
}

func dial(url string) (*connection, error) {
	c := &connection{host: strings.TrimPrefix(url, "http://"), patience: time.Minute}
	return c, c.open()
}

func (c *connection) open() (err error) {
	if c.conn, err = net.Dial("tcp", c.host); err != nil {
		return err
	}
	c.reader = bufio.NewReaderSize(c.conn, 64<<10)
	c.ended = false
	return nil
}

func (c *connection) close() { _ = c.conn.Close() }

// post sends one request and reads its whole response.
func (c *connection) post(path, kind string, body []byte) (status int, err error) {
	b := append(append(c.buffer[:0], "POST "...), path...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), c.host...)
	b = append(append(b, "\r\nContent-Type: "...), kind...)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	if c.key != "" {
		b = append(append(b, "\r\nAuthorization: Bearer "...), c.key...)
	}
	c.buffer = append(append(b, "\r\n\r\n"...), body...)
	if c.ended { // A server that refuses a large body unread closes the connection.
		c.close()
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	if _, err := c.conn.Write(c.buffer); err != nil {
		return 0, err
	}
	return c.receive()
}

// receive reads a response. It does less than package http: what the client uses of the processors, the server lacks.
func (c *connection) receive() (status int, err error) {
	head, err := c.peekHead()
	if err != nil {
		return 0, err
	}
	c.ended = bytes.Contains(head, []byte("\r\nConnection: close\r\n"))
	_, rest, _ := bytes.Cut(head, []byte("\r\nContent-Length: "))
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	length, err := strconv.Atoi(string(digits))
	if err != nil || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return c.receiveAny()
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, fmt.Errorf("read the status of an answer: %w", err)
	}
	if _, err := c.reader.Discard(len(head)); err != nil {
		return 0, err
	}
	c.answer = slices.Grow(c.answer[:0], length)[:length]
	_, err = io.ReadFull(c.reader, c.answer)
	return status, err
}

// peekHead waits for the whole head of a response, and returns it without reading it.
func (c *connection) peekHead() ([]byte, error) {
	for n := 1; ; n = c.reader.Buffered() + 1 {
		if _, err := c.reader.Peek(n); err != nil {
			return nil, err
		}
		got, _ := c.reader.Peek(c.reader.Buffered())
		if i := bytes.Index(got, []byte("\r\n\r\n")); i >= 0 {
			return got[:i+4], nil
		}
	}
}

// receiveAny reads a response of any form.
func (c *connection) receiveAny() (status int, err error) {
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body := bytes.NewBuffer(c.answer[:0])
	_, err = body.ReadFrom(resp.Body)
	c.answer = body.Bytes()
	return resp.StatusCode, err
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
