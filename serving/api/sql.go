package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"recount/schemas/access"
	"recount/schemas/problem"
	"recount/schemas/query"
	"recount/serving/batchview"
	"recount/serving/sql"
	"recount/serving/sql/guard"
)

// SQL runs statements. *sql.Statements implements it.
type SQL interface {
	Run(ctx context.Context, tenant string, r sql.Request) (*sql.Answer, error)
}

// The media types of a request with a statement: JSON with members, or the statement alone. The last one is what curl
// sends if it is told nothing.
var statementMedia = []string{"application/json", "application/sql", "text/plain", formMedia}

func (a *API) postSQL(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	err := a.runSQL(w, r)
	a.metrics.observe(modeSQL, statusOf(r, err), began)
	return err
}

// statusOf returns the status with which an error is answered, for metrics.
func statusOf(r *http.Request, err error) int {
	switch {
	case errors.Is(err, errClientGone) || r.Context().Err() != nil:
		return statusClientGone
	case err != nil:
		return problemOf(err).Status
	}
	return http.StatusOK
}

// modeSQL is the mode of statements in the metrics of queries.
const modeSQL query.Mode = "sql"

func (a *API) runSQL(w http.ResponseWriter, r *http.Request) error {
	principal, ok := access.FromContext(r.Context())
	if !ok {
		return errNoPrincipal
	}
	if a.parts.SQL == nil {
		return problem.New(http.StatusNotImplemented, problem.SQLUnavailable, a.parts.NoSQL)
	}
	statement, err := a.readStatement(w, r)
	if err != nil {
		return err
	}
	return a.gated(func(w http.ResponseWriter, r *http.Request) error {
		answer, err := a.parts.SQL.Run(r.Context(), principal.Tenant, *statement)
		if err != nil {
			return err
		}
		defer answer.Close()
		return writeTable(w, answer, principal)
	})(w, r)
}

// writeTable sends the result of a statement. What it covers is in a header, because a result has no place for it.
func writeTable(w http.ResponseWriter, answer *sql.Answer, principal access.Principal) error {
	accuracy, err := accuracyFor(principal, &answer.Accuracy)
	if err != nil {
		return fmt.Errorf("encode accuracy: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", sql.MediaType(answer.Format))
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	h.Set("X-ClickHouse-Format", answer.Format)
	if answer.Accuracy.Cut != nil { // Otherwise the statement has read no view.
		h.Set("Recount-Accuracy", string(accuracy))
	}
	_, err = w.Write(answer.Body)
	return clientGone(err)
}

// accuracyFor returns an accuracy as JSON. The pending events are those of all tenants, so only administrators see how
// many there are.
func accuracyFor(principal access.Principal, accuracy *query.Accuracy) ([]byte, error) {
	if principal.Scopes.Has(access.Admin) {
		return json.Marshal(accuracy)
	}
	return json.Marshal(struct {
		*query.Accuracy
		PendingEvents *uint64 `json:"pending_events,omitempty"` // It hides the member of Accuracy.
	}{Accuracy: accuracy})
}

// readStatement reads the statement of a request.
func (a *API) readStatement(w http.ResponseWriter, r *http.Request) (*sql.Request, error) {
	body, media, done, err := a.readBody(w, r, "the statement", statementMedia...)
	if err != nil {
		return nil, err
	}
	defer done()
	statement := &sql.Request{SQL: string(body)}
	if media == statementMedia[0] {
		if statement, err = parseStatement(body); err != nil {
			return nil, err
		}
	}
	if statement.Format == "" {
		statement.Format = acceptedFormat(r)
	}
	return statement, addURL(statement, r.URL)
}

// addURL adds the parameters of the URL: param_NAME is the value of {NAME:Type}.
func addURL(s *sql.Request, u *url.URL) error {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return invalid("query", "the URL's parameters cannot be read")
	}
	for name, v := range values {
		parameter, found := strings.CutPrefix(name, "param_")
		switch {
		case !found:
			return invalid("query", "unknown parameter %q; param_NAME gives the value of {NAME:Type}", name)
		case len(v) > 1 || s.Parameters[parameter] != "":
			return invalid("parameters", "%q is given twice", parameter)
		}
		if s.Parameters == nil {
			s.Parameters = map[string]string{}
		}
		s.Parameters[parameter] = v[0]
	}
	return nil
}

// acceptedFormat returns the format that the header Accept asks for. A client that takes anything gets the default.
func acceptedFormat(r *http.Request) string {
	header := strings.Join(r.Header.Values("Accept"), ",")
	best := ""
	weight := 0.0
	for _, media := range sql.MediaTypes() {
		if q := quality(header, media); q > weight && strings.Contains(strings.ToLower(header), media) {
			best = media
			weight = q
		}
	}
	return best
}

// parseStatement reads the JSON of a request: query, format, parameters and settings.
func parseStatement(body []byte) (*sql.Request, error) {
	s := &sql.Request{}
	if !utf8.Valid(body) {
		return nil, invalid("query", "not valid UTF-8")
	}
	members, err := readMembers(body, "query")
	if err != nil {
		return nil, err
	}
	for name, raw := range members {
		switch name {
		case "query":
			s.SQL, err = memberText(name, raw)
		case "format":
			s.Format, err = memberText(name, raw)
		case "parameters":
			s.Parameters, err = parameterTexts(raw)
		case "settings":
			s.Settings, err = settingTexts(raw)
		default:
			err = invalid(name, "unknown field %q; a statement has query, format, parameters and settings", name)
		}
		if err != nil {
			return nil, err
		}
	}
	if s.SQL == "" {
		return nil, invalid("query", "the statement is missing")
	}
	return s, nil
}

// memberText returns a member that is a string.
func memberText(name string, raw []byte) (text string, err error) {
	if json.Unmarshal(raw, &text) != nil || string(raw) == "null" {
		return "", invalid(name, "write a string")
	}
	return text, nil
}

// readMembers returns the members of a JSON object. A name that comes twice is an error.
func readMembers(body []byte, field string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	open, err := d.Token()
	if err != nil || open != json.Delim('{') {
		return nil, invalid(field, "write a JSON object")
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		name, isName := token.(string)
		var raw json.RawMessage
		if err == nil && isName {
			err = d.Decode(&raw)
		}
		switch {
		case err != nil:
			return nil, invalid(field, "%s", strings.TrimPrefix(err.Error(), "json: "))
		case members[name] != nil:
			return nil, invalid(field, "%q comes twice", name)
		}
		members[name] = raw
	}
	if _, err := d.Token(); err != nil {
		return nil, invalid(field, "the JSON ends too early")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid(field, "more than one JSON value")
	}
	return members, nil
}

// parameterTexts returns values of parameters as ClickHouse reads them: in the escaped form of the format TabSeparated.
func parameterTexts(raw []byte) (map[string]string, error) {
	members, err := readMembers(raw, "parameters")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, raw := range members {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, invalid("parameters", "%q cannot be read", name)
		}
		text, ok := parameterText(v)
		if !ok {
			return nil, invalid("parameters", "the value of %q must be a string, a number, true, false, null "+
				"or a list of these", name)
		}
		out[name] = text
	}
	return out, nil
}

func parameterText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return `\N`, true
	case string:
		return escapeTab.Replace(v), true
	case []any:
		var list []string
		for _, element := range v {
			text, ok := elementText(element)
			if !ok {
				return "", false
			}
			list = append(list, text)
		}
		return "[" + strings.Join(list, ",") + "]", true // ClickHouse reads no escapes around a list.
	}
	return elementText(v)
}

// elementText returns an element of a list.
func elementText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "NULL", true
	case string:
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'", true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// escapeTab escapes a value for the format TabSeparated.
var escapeTab = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`, "\b", `\b`, "\f", `\f`)

func settingTexts(raw []byte) (map[string]string, error) {
	members, err := readMembers(raw, "settings")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, raw := range members {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, invalid("settings", "%q cannot be read", name)
		}
		switch v := v.(type) {
		case string:
			out[name] = v
		case bool:
			out[name] = map[bool]string{false: "0", true: "1"}[v]
		case float64:
			out[name] = string(raw)
		default:
			return nil, invalid("settings", "the value of %q must be a string, a number, true or false", name)
		}
	}
	return out, nil
}

// problemOfSQL returns the problem of a statement, or nil for other errors.
func problemOfSQL(err error) *problem.Problem {
	var refused *guard.Refusal
	var failed *sql.Failure
	switch {
	case errors.As(err, &refused):
		return &problem.Problem{Status: http.StatusBadRequest, Code: problem.StatementRefused, Detail: refused.Error(),
			Field: "query"}
	case errors.Is(err, batchview.ErrChanging):
		return &problem.Problem{Status: http.StatusServiceUnavailable, Code: problem.BatchUnavailable,
			Detail: batchview.ErrChanging.Error(), RetryAfter: time.Second}
	case !errors.As(err, &failed):
		return nil
	}
	p := &problem.Problem{Status: http.StatusBadRequest, Code: problem.InvalidQuery, Detail: failed.Text,
		Field: "query"}
	switch failed.Kind {
	case sql.Refused:
		p.Code = problem.StatementRefused
	case sql.BadFormat:
		p.Field = "format"
	case sql.TooLarge:
		p.Status = http.StatusUnprocessableEntity
		p.Code = problem.QueryTooLarge
	case sql.TooSlow:
		p.Status = http.StatusGatewayTimeout
		p.Code = problem.QueryTimeout
	}
	return p
}
