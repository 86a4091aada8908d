package chdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// transport is the http.RoundTripper of an engine. It keeps no state of its own.
type transport struct{ core *core }

// RoundTrip answers req as a ClickHouse server would: 200 with the result, or 500 with the exception's text
// and X-ClickHouse-Exception-Code. A result is complete when it is answered, so a failure after partial output
// is a 500 as well. The error is non-nil only when req's context ended or the engine is closed.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
		// A read of data that does not come ends with the request, like one of net/http's transport.
		defer context.AfterFunc(req.Context(), func() { _ = req.Body.Close() })()
	}
	out, err := t.answer(req)
	var ex *exception
	switch {
	case err == nil:
		return response(req, http.StatusOK, http.Header{}, out), nil
	case errors.As(err, &ex):
		h := http.Header{}
		h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(ex.code))
		return response(req, http.StatusInternalServerError, h, []byte(ex.text)), nil
	default:
		return nil, err
	}
}

func (t *transport) answer(req *http.Request) ([]byte, error) {
	r, err := readRequest(req)
	if err != nil {
		return nil, err
	}
	data, err := t.core.stage(r)
	if err != nil {
		return nil, err
	}
	var out []byte
	err = t.core.run(req.Context(), data.remove, func(s *session, id string) error {
		if err := s.prepare(r, id); err != nil {
			return err
		}
		err := s.query(data.sql, r.params, r.format, func(result []byte) (err error) {
			out, err = r.result(result)
			return err
		})
		return data.end(err)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// prepare gives a new session the request's settings and database.
func (s *session) prepare(r *request, id string) error {
	if err := s.exec(r.setStatement(id)); err != nil {
		return err
	}
	if r.database == "" {
		return nil
	}
	return s.exec("USE " + quoteIdentifier(r.database))
}

func (r *request) result(raw []byte) ([]byte, error) {
	if r.format != "Native" {
		return bytes.Clone(raw), nil
	}
	out, err := recode(raw, r.revision)
	if err != nil {
		return nil, refuse(codeNotImplemented, "The client cannot represent the result ("+err.Error()+")")
	}
	return out, nil
}

func response(req *http.Request, status int, h http.Header, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		// The driver takes a length of 0 for "no result", so it must be the true one.
		Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}
}

// errClosed reports a request to an engine that is closed or closing.
var errClosed = fmt.Errorf("embedded ClickHouse is closed: %w", context.Canceled)
