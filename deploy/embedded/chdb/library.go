package chdb

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is the C interface of libchdb, bound to Go functions.
type library struct {
	path    string
	connect func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	close   func(conn unsafe.Pointer)
	query   func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	resultBuffer func(result unsafe.Pointer) unsafe.Pointer
	resultLength func(result unsafe.Pointer) uintptr
	resultError  func(result unsafe.Pointer) string
	destroy      func(result unsafe.Pointer)
	sigaction    func(signal int32, act, old unsafe.Pointer) int32
}

func load(path string) (lib *library, err error) {
	// RegisterLibFunc panics when a symbol is missing, which is what another version of the library looks like.
	defer func() {
		if r := recover(); r != nil {
			lib = nil
			err = fmt.Errorf("load %s: %v", path, r)
		}
	}()
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	l := &library{path: path}
	purego.RegisterLibFunc(&l.connect, h, "chdb_connect")
	purego.RegisterLibFunc(&l.close, h, "chdb_close_conn")
	purego.RegisterLibFunc(&l.query, h, "chdb_query_with_params_n")
	purego.RegisterLibFunc(&l.resultBuffer, h, "chdb_result_buffer")
	purego.RegisterLibFunc(&l.resultLength, h, "chdb_result_length")
	purego.RegisterLibFunc(&l.resultError, h, "chdb_result_error")
	purego.RegisterLibFunc(&l.destroy, h, "chdb_destroy_query_result")
	purego.RegisterLibFunc(&l.sigaction, purego.RTLD_DEFAULT, "sigaction")
	return l, nil
}

// session is one connection of the library. It is used by one goroutine at a time.
type session struct {
	lib    *library
	handle unsafe.Pointer // a pointer to the connection, as chdb_connect returns it
}

var errConnect = errors.New("the engine refused the connection")

func (l *library) open(args []string) (*session, error) {
	strs := make([][]byte, len(args))
	ptrs := make([]*byte, len(args)+1)
	for i, a := range args {
		strs[i] = append([]byte(a), 0)
		ptrs[i] = &strs[i][0]
	}
	h := l.connect(int32(len(args)), unsafe.Pointer(&ptrs[0]))
	runtime.KeepAlive(strs)
	runtime.KeepAlive(ptrs)
	if h == nil {
		return nil, errConnect
	}
	return &session{lib: l, handle: h}, nil
}

func (s *session) close() { s.lib.close(s.handle) }

// exec runs one statement for its effect.
func (s *session) exec(sql string) error {
	return s.query(sql, nil, "Null", func([]byte) error { return nil })
}

// query runs one statement and gives use the result, which is C memory and gone when use returns.
func (s *session) query(sql string, params []param, format string, use func(result []byte) error) error {
	q := []byte(sql)
	f := []byte(format)
	names := make([]*byte, len(params))
	nameLens := make([]uintptr, len(params))
	values := make([]*byte, len(params))
	valueLens := make([]uintptr, len(params))
	for i, p := range params {
		names[i], nameLens[i] = cBytes(p.name)
		values[i], valueLens[i] = cBytes(p.value)
	}
	r := s.lib.query(*(*unsafe.Pointer)(s.handle),
		unsafe.Pointer(unsafe.SliceData(q)), uintptr(len(q)), unsafe.Pointer(unsafe.SliceData(f)), uintptr(len(f)),
		unsafe.Pointer(unsafe.SliceData(names)), unsafe.Pointer(unsafe.SliceData(nameLens)),
		unsafe.Pointer(unsafe.SliceData(values)), unsafe.Pointer(unsafe.SliceData(valueLens)), uintptr(len(params)))
	runtime.KeepAlive([]any{q, f, names, nameLens, values, valueLens})
	if r == nil {
		return errors.New("the engine returned no result")
	}
	defer s.lib.destroy(r)
	if text := s.lib.resultError(r); text != "" {
		return newException(text)
	}
	var out []byte
	if n := s.lib.resultLength(r); n > 0 {
		out = unsafe.Slice((*byte)(s.lib.resultBuffer(r)), n)
	}
	return use(out)
}

// param is a server-side parameter; the value is in the escaped text form of TSV, as in a URL.
type param struct{ name, value string }

// cBytes copies s to memory C can read; the length travels beside it.
func cBytes(s string) (*byte, uintptr) {
	b := append([]byte(s), 0)
	return &b[0], uintptr(len(s))
}
