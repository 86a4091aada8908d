package door

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/zstd"

	"recount/serving/sql/guard"
)

// transport are the URL parameters that say how a request is sent and answered. Other ones are settings.
var transport = map[string]bool{
	"query": true, "database": true, "default_format": true, "user": true, "password": true, "quota_key": true,
	"query_id": true, "session_id": true, "session_timeout": true, "compress": true, "decompress": true,
	"client_protocol_version": true, "enable_http_compression": true, "stacktrace": true, "close_session": true,
	"http_version": true, "network_compression_method": true, "network_zstd_compression_level": true,
}

// maxParameters bounds the parameters of a URL.
const maxParameters = 1000

// readStatement reads the statement and what belongs to it.
func (d *Door) readStatement(r *http.Request) (Statement, error) {
	q := r.URL.Query()
	if len(q) > maxParameters {
		return Statement{}, badArguments.because("the URL has too many parameters")
	}
	req := Statement{Format: cmp.Or(q.Get("default_format"), r.Header.Get("X-Clickhouse-Format"), "TabSeparated"),
		Parameters: map[string]string{}, Settings: map[string]string{}}
	if err := d.checkDatabase(q, r.Header); err != nil {
		return req, err
	}
	if err := checkSession(q); err != nil {
		return req, err
	}
	if v := q.Get("client_protocol_version"); v != "" {
		revision, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return req, badArguments.because("client_protocol_version must be a number")
		}
		req.Revision = revision
	}
	for name, values := range q {
		value := values[len(values)-1]
		parameter, isParameter := strings.CutPrefix(name, "param_")
		switch {
		case isParameter:
			req.Parameters[parameter] = value
		case !transport[name] && !mute[name]:
			req.Settings[name] = value
		}
	}
	body, err := readBody(r, q)
	if err != nil {
		return req, err
	}
	req.SQL = q.Get("query")
	if req.SQL != "" && body != "" {
		req.SQL += "\n"
	}
	req.SQL += body
	return req, nil
}

// checkDatabase refuses databases that no name of a table may be left out of: those that nobody sees, and system.
func (d *Door) checkDatabase(q url.Values, h http.Header) error {
	for _, database := range []string{q.Get("database"), h.Get("X-Clickhouse-Database")} {
		switch database {
		case "", "default", d.cfg.Database:
		default:
			return unknownDatabase.because(fmt.Sprintf("a client cannot have the database %.64q; use %s, and name "+
				"the tables of system as system.NAME", database, d.cfg.Database))
		}
	}
	return nil
}

// checkSession refuses what a session cannot give.
func checkSession(q url.Values) error {
	if check := q.Get("session_check"); check != "" && check != "0" {
		return unknownSession.because("sessions keep nothing here, so none can be found; leave session_check out")
	}
	delete(q, "session_check")
	if q.Get("role") != "" {
		return accessDenied.because("there are no roles; leave role out")
	}
	delete(q, "role")
	return nil
}

// readBody returns the body of a POST, which is a part of the statement.
func readBody(r *http.Request, q url.Values) (string, error) {
	if r.Method != http.MethodPost || r.Body == nil {
		return "", nil
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return "", notImplemented.because("external tables and multipart bodies are not supported; send the " +
			"statement as the body, and its parameters in the URL")
	}
	plain, err := decoded(r, q)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(plain, guard.MaxStatement+1))
	switch {
	case err != nil:
		return "", badArguments.because("the body cannot be read: it is cut, or not compressed as it says")
	case len(body) > guard.MaxStatement:
		return "", badArguments.because(fmt.Sprintf("the body has more than %d bytes", guard.MaxStatement))
	}
	return string(body), nil
}

// decoded returns the body without its compression.
func decoded(r *http.Request, q url.Values) (io.Reader, error) {
	var body io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, badArguments.because("the body is not gzip")
		}
		body = z
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderMaxMemory(16<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, badArguments.because("the body is not zstd")
		}
		body = z.IOReadCloser()
	default:
		return nil, notImplemented.because("Content-Encoding must be gzip or zstd")
	}
	if v := q.Get("decompress"); v != "" && v != "0" {
		return readBlocks(body)
	}
	return body, nil
}

// A block of ClickHouse's compression has a checksum of 16 bytes, its method, the bytes from the method on, and the
// bytes that it holds.
const (
	blockSizeAt = 17
	blockDataAt = 21
	blockHeader = 25
)

// maxBlocks bounds the compressed blocks of a body, because one that holds nothing costs time too. Clients send blocks
// of a mebibyte, or of what they have written at once.
const maxBlocks = 4096

// readBlocks returns what ClickHouse's compressed blocks hold. All together may hold what a statement may have, and no
// memory is taken for more.
func readBlocks(body io.Reader) (io.Reader, error) {
	sent, err := io.ReadAll(io.LimitReader(body, 2*guard.MaxStatement))
	if err != nil {
		return nil, badArguments.because("the body cannot be read")
	}
	var out []byte
	blocks := 0
	for rest := sent; len(rest) > 0; {
		if blocks++; blocks > maxBlocks {
			return nil, badArguments.because(fmt.Sprintf("the body has more than %d compressed blocks",
				maxBlocks))
		}
		if len(rest) < blockHeader {
			return nil, badArguments.because("a compressed block is cut")
		}
		size := int64(binary.LittleEndian.Uint32(rest[blockSizeAt:])) + blockSizeAt - 1
		data := int64(binary.LittleEndian.Uint32(rest[blockDataAt:]))
		if size < blockHeader || size > int64(len(rest)) {
			return nil, badArguments.because("a compressed block is cut")
		}
		// A block of spaces is ten thousand times as large as what was sent, so the sum counts and not the block alone.
		if int64(len(out))+data > guard.MaxStatement {
			return nil, badArguments.because(fmt.Sprintf("the body has more than %d bytes", guard.MaxStatement))
		}
		plain := make([]byte, data)
		if _, err := io.ReadFull(compress.NewReader(bytes.NewReader(rest[:size])), plain); err != nil {
			return nil, badArguments.because("a compressed block is damaged")
		}
		out = append(out, plain...)
		rest = rest[size:]
	}
	return bytes.NewReader(out), nil
}

var idText = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// queryID returns the id that the client gave the statement, or a new one.
func queryID(r *http.Request) string {
	if id := r.URL.Query().Get("query_id"); idText.MatchString(id) {
		return id
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails.
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
