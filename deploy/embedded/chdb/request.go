package chdb

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxStatementBytes bounds the SQL of one request. The data of an INSERT … FORMAT is not part of it.
const maxStatementBytes = 64 << 20

// request is one HTTP request of the driver, understood.
type request struct {
	statement
	database string
	set      []param // settings, sorted by name
	params   []param
	revision uint64    // of the Native format that the client reads
	data     io.Reader // of an INSERT … FORMAT
	body     io.Closer // of the HTTP request; nil if it has none
}

// httpOnly are URL parameters that are no settings: read elsewhere or without meaning here. log_comment is a
// setting, but this package marks queries with it so that it can kill them.
var httpOnly = map[string]bool{
	"query": true, "database": true, "default_format": true, "client_protocol_version": true, "query_id": true,
	"quota_key": true, "wait_end_of_query": true, "buffer_size": true, "user": true, "password": true,
	"log_comment": true,
}

// refused are URL parameters that this engine cannot honour, with what to do instead.
var refused = map[string]string{
	"compress":   "leave clickhouse.Options.Compression nil: the data never leaves the process",
	"decompress": "leave clickhouse.Options.Compression nil: the data never leaves the process",
	"session_id": "sessions are not supported: each request has its own",
	"role":       "roles are not supported",
}

// readRequest reads the URL and the SQL of req. Its errors are the caller's fault.
func readRequest(req *http.Request) (*request, error) {
	q := req.URL.Query()
	r := &request{database: q.Get("database")}
	if err := r.readParameters(q); err != nil {
		return nil, err
	}
	if strings.HasPrefix(req.Header.Get("Content-Type"), "multipart/") {
		return nil, refuse(codeNotImplemented, "External tables are not supported by the embedded engine")
	}
	if v := q.Get("client_protocol_version"); v != "" {
		var err error
		if r.revision, err = strconv.ParseUint(v, 10, 64); err != nil {
			return nil, refuse(codeBadArguments, "client_protocol_version is no number: "+v)
		}
	}
	if req.Body != nil {
		r.body = req.Body
	}
	body, err := requestBody(req)
	if err != nil {
		return nil, err
	}
	if err := r.readStatement(q.Get("query"), body); err != nil {
		return nil, err
	}
	if r.format == "" || r.takesData() {
		r.format = q.Get("default_format")
	}
	if r.format == "" {
		r.format = "TabSeparated"
	}
	return r, r.checkAccess()
}

func (r *request) readParameters(q url.Values) error {
	for name, values := range q {
		value := values[len(values)-1]
		switch p, isParam := strings.CutPrefix(name, "param_"); {
		case isParam:
			r.params = append(r.params, param{p, value})
		case refused[name] != "":
			if value != "" && value != "0" {
				return refuse(codeNotImplemented, "Parameter "+name+": "+refused[name])
			}
		case httpOnly[name]:
		case !isIdentifier(name):
			return refuse(codeUnknownSetting, "Unknown setting "+quote(name))
		default:
			r.set = append(r.set, param{name, value})
		}
	}
	slices.SortFunc(r.set, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return nil
}

// readStatement joins the query parameter and the body. When the parameter is an INSERT … FORMAT the body is
// its data and is not read here, whatever its size.
func (r *request) readStatement(query string, body io.Reader) (err error) {
	if query != "" {
		if r.statement, err = parseStatement(query); err != nil {
			return err
		}
		if r.takesData() {
			r.data = io.MultiReader(strings.NewReader(r.inline), body)
			return nil
		}
		query += "\n"
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxStatementBytes+1))
	if err != nil {
		return fmt.Errorf("read request body: %w", err)
	}
	if len(rest) > maxStatementBytes {
		return refuse(codeSyntax, fmt.Sprintf("The statement is longer than %d bytes", maxStatementBytes))
	}
	r.statement, err = parseStatement(query + string(rest))
	if r.takesData() {
		r.data = strings.NewReader(r.inline)
	}
	return err
}

func (r *request) checkAccess() error {
	i := slices.IndexFunc(r.set, func(p param) bool { return p.name == "readonly" })
	if i < 0 || r.set[i].value == "0" {
		return nil
	}
	return r.checkReadonly()
}

// setStatement is the SET of all settings, which also marks the query with id so that it can be killed.
func (r *request) setStatement(id string) string {
	var b strings.Builder
	b.WriteString("SET log_comment = " + quote(id))
	for _, p := range r.set {
		b.WriteString(", " + p.name + " = " + quote(p.value))
	}
	return b.String()
}

func requestBody(req *http.Request) (io.Reader, error) {
	switch enc := req.Header.Get("Content-Encoding"); {
	case req.Body == nil:
		return strings.NewReader(""), nil
	case enc == "":
		return req.Body, nil
	case enc == "gzip":
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			return nil, errors.Join(refuse(codeBadArguments, "The body is not gzip"), err)
		}
		return z, nil
	default:
		return nil, refuse(codeNotImplemented, "Content-Encoding "+enc+": "+refused["compress"])
	}
}
