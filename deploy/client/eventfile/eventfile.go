// Package eventfile reads files of events (NDJSON, CSV or Parquet) as CloudEvents, one at a time, in bounded memory.
package eventfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"recount/schemas/catalog"
)

// Mapping says how the rows of CSV and Parquet files become events. NDJSON files hold CloudEvents and need no mapping.
type Mapping struct {
	Type    string // Type is the event type of every row.
	Source  string // Source is the CloudEvents source of every row. Empty means what newEvent says.
	ID      string // ID names the column of the id. Empty means that event.identify makes the ids.
	Time    string // Time names the column of the event time in RFC 3339. Empty means the server's time.
	Subject string // Subject names the column of the subject. Empty means that events have none.

	// Fields are the declared fields of the event type, or those of them that are known. CSV text is read as their
	// types, and the types of other columns are guessed from the text.
	Fields *catalog.EventType
}

// Reader reads one file.
type Reader interface {
	// Next returns one CloudEvent as JSON without a newline, valid until the next call. It returns io.EOF at the end.
	Next() ([]byte, error)
	// Progress returns how much of the file has been read, and the file's size in the same unit.
	Progress() (done, total int64)
	Close() error
}

// kind returns a file's extension in lower case, and whether the file holds rows that need a mapping.
func kind(path string) (ext string, rows bool) {
	ext = strings.ToLower(filepath.Ext(path))
	return ext, ext == ".csv" || ext == ".parquet"
}

// Check looks at the names of files without opening them. It fails when a name has an unknown extension, when rows
// have no event type, when a mapping is given for files without rows, or when rows of two files would get the same id.
func Check(paths []string, m Mapping) error {
	named := map[string]string{}
	for _, path := range paths {
		ext, rows := kind(path)
		if !rows && !slices.Contains([]string{".ndjson", ".jsonl", ".json"}, ext) {
			return fmt.Errorf("%s: unknown kind of file; use .ndjson, .jsonl, .csv or .parquet", path)
		}
		if !rows {
			continue
		}
		if m.Type == "" {
			return fmt.Errorf("%s: name the event type of its rows with --type", path)
		}
		name := filepath.Base(path)
		if other, ok := named[name]; ok && m.ID == "" {
			return fmt.Errorf("%s and %s have the same name, which identifies their rows: a row that is equal in "+
				"both would count once. Name the column of the id with --id, or send each file with its own --source",
				other, path)
		}
		named[name] = path
	}
	if len(named) == 0 && (m.Type != "" || m.Source != "" || m.ID != "" || m.Time != "" || m.Subject != "") {
		return errors.New("--type, --source, --id, --time and --subject are for the rows of CSV and Parquet files; " +
			"the lines of NDJSON files are whole events, so leave them out")
	}
	return nil
}

// Open opens a file by its extension: .ndjson, .jsonl, .json, .csv or .parquet. Check has accepted the file and the
// mapping. Errors about the file's content do not name the file.
func Open(path string, m Mapping) (Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := open(f, m)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func open(f *os.File, m Mapping) (Reader, error) {
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	ext, _ := kind(f.Name())
	if err := checkKind(f, ext); err != nil {
		return nil, err
	}
	e := newEvent(m, filepath.Base(f.Name()))
	switch ext {
	case ".csv":
		return newCSV(f, stat.Size(), e)
	case ".parquet":
		return newParquet(f, stat.Size(), e)
	}
	return newNDJSON(f, stat.Size()), nil
}
