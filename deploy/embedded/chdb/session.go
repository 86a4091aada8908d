package chdb

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// Session runs statements one after another in one session of the engine, so that they see its temporary tables.
type Session struct {
	core *core
	s    *session
	id   string
}

// Session gives f a new session, which ends with f. When ctx ends first, it returns ctx's error at once, and f goes on
// until the engine has killed its statement. So nobody may read what f has written then.
func (e *Engine) Session(ctx context.Context, f func(*Session) error) error {
	return e.core.run(ctx, func() {}, func(s *session, id string) error {
		marked := &request{}
		if err := s.exec(marked.setStatement(id)); err != nil {
			return err
		}
		return f(&Session{e.core, s, id})
	})
}

// Exec runs a statement for its effect. data is what an INSERT … FORMAT reads; it is nil for other statements.
func (s *Session) Exec(sql string, data []byte) error {
	if data == nil {
		return s.s.exec(sql)
	}
	st, err := parseStatement(sql)
	if err != nil {
		return err
	}
	staged, err := s.core.stage(&request{statement: st, data: bytes.NewReader(data)})
	if err != nil {
		return err
	}
	defer staged.remove()
	return staged.end(s.s.exec(staged.sql))
}

// Set gives the session settings. They hold until its end, because readonly cannot be lifted again.
func (s *Session) Set(settings map[string]string) error {
	r := &request{}
	for name, value := range settings {
		if !isIdentifier(name) {
			return refuse(codeUnknownSetting, "Unknown setting "+quote(name))
		}
		r.set = append(r.set, param{name, value})
	}
	slices.SortFunc(r.set, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return s.s.exec(r.setStatement(s.id))
}

// Query runs a statement that only reads, with server-side parameters, and returns its result in a format. It refuses
// what the transport refuses of a request with the setting readonly. revision is that of the format Native.
//
// Rejected: the library's results in chunks (chdb_stream_query_n). Each chunk of about 65,000 rows is a document of its
// own, with the names of CSVWithNames, the frame of JSON or the footer of Parquet, so chunks of these formats are no
// result when they are joined.
func (s *Session) Query(sql string, params map[string]string, format string, revision uint64) ([]byte, error) {
	st, err := parseStatement(sql)
	if err != nil {
		return nil, err
	}
	if err := st.checkReadonly(); err != nil {
		return nil, err
	}
	r := &request{statement: st, revision: revision}
	r.format = format
	for name, value := range params {
		r.params = append(r.params, param{name, value})
	}
	var out []byte
	err = s.s.query(st.text, r.params, format, func(result []byte) (err error) {
		out, err = r.result(result)
		return err
	})
	return out, err
}
