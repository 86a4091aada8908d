package door

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"recount/schemas/access"
)

// Config is what a door needs.
type Config struct {
	// Authenticate returns the owner of a request whose Authorization header has the key as a bearer token.
	Authenticate func(*http.Request) (access.Principal, error)
	// Run runs a statement for the principal in the request's context, under the limits of queries, and calls answer
	// with the result before they end. Its errors are Exceptions. Any other error cuts the connection: the client is
	// gone.
	Run func(w http.ResponseWriter, r *http.Request, s Statement, answer func(http.ResponseWriter, *Result) error) error
	// Database is the name of the database that clients see.
	Database string
}

// Statement is a statement with what belongs to it.
type Statement struct {
	SQL        string
	Format     string // of the result, if the statement names none
	Revision   uint64 // of the format Native
	Parameters map[string]string
	Settings   map[string]string
}

// Result is the result of a statement.
type Result struct {
	Body      []byte
	Format    string
	MediaType string
}

// Exception is an error with ClickHouse's number and name.
type Exception struct {
	Code int
	Name string
	Text string
}

func (e *Exception) Error() string { return e.Text }

// Numbers of ClickHouse's errors that this package itself makes.
var (
	badArguments    = Exception{Code: 36, Name: "BAD_ARGUMENTS"}
	notImplemented  = Exception{Code: 48, Name: "NOT_IMPLEMENTED"}
	unknownDatabase = Exception{Code: 81, Name: "UNKNOWN_DATABASE"}
	unknownSession  = Exception{Code: 372, Name: "SESSION_NOT_FOUND"}
	accessDenied    = Exception{Code: 497, Name: "ACCESS_DENIED"}
	unknownKey      = Exception{Code: 516, Name: "AUTHENTICATION_FAILED"}
)

// because returns the exception with a text.
func (e Exception) because(text string) error {
	e.Text = text
	return &e
}

// Door answers requests. It is safe for concurrent use.
type Door struct{ cfg Config }

// New returns a door.
func New(cfg Config) (*Door, error) {
	if cfg.Authenticate == nil || cfg.Run == nil || cfg.Database == "" {
		return nil, errors.New("sql door: authentication, what runs statements, and a database are required")
	}
	return &Door{cfg}, nil
}

// ServeHTTP answers a request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Clickhouse-Server-Display-Name", "recount")
	w.Header().Set("X-Clickhouse-Timezone", "UTC")
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, POST")
		writeText(w, http.StatusMethodNotAllowed, "use GET or POST\n")
	case r.URL.Path == "/ping" || r.URL.Path == "/replicas_status":
		writeText(w, http.StatusOK, "Ok.\n")
	case r.URL.Path != "/":
		writeText(w, http.StatusNotFound, "there is nothing at this path; statements are sent to /\n")
	case r.Method != http.MethodPost && !r.URL.Query().Has("query"):
		writeText(w, http.StatusOK, "Ok.\n")
	default:
		if err := d.answer(w, r); err != nil {
			writeException(w, err)
		}
	}
}

// answer answers a request with a statement.
func (d *Door) answer(w http.ResponseWriter, r *http.Request) error {
	p, err := d.principal(r)
	if err != nil {
		return err
	}
	statement, err := d.readStatement(r)
	if err != nil {
		return err
	}
	ctx := access.NewContext(r.Context(), p)
	w.Header().Set("X-Clickhouse-Query-Id", queryID(r))
	return d.cfg.Run(w, r.WithContext(ctx), statement, func(w http.ResponseWriter, a *Result) error {
		h := w.Header()
		h.Set("Content-Type", a.MediaType)
		h.Set("X-Clickhouse-Format", a.Format)
		h.Set("X-Clickhouse-Summary", fmt.Sprintf(summary, len(a.Body)))
		return writeBody(w, r, a.Body)
	})
}

// summary is what clients read about a statement. How many rows were read is not told, because these may also be of
// other tenants.
const summary = `{"read_rows":"0","read_bytes":"0","written_rows":"0","written_bytes":"0","total_rows_to_read":"0",` +
	`"result_rows":"0","result_bytes":"%d","elapsed_ns":"0"}`

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // A client that is gone needs no answer.
}
