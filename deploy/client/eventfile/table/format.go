package table

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// extensions lists the extensions of names, without those of compression.
var extensions = map[string]Format{
	".csv": CSV, ".tsv": CSV, ".tab": CSV, ".ndjson": JSON, ".jsonl": JSON, ".json": JSON, ".parquet": Parquet,
}

// packed lists the extensions that may follow those.
var packed = []string{".gz", ".gzip", ".zst", ".zstd", ".bz2"}

// Known reports whether the extension of a name says what the file holds.
func Known(name string) bool {
	_, known := extensions[extensionOf(name)]
	return known
}

// extensionOf returns the extension of a name in lower case, without that of a compression.
func extensionOf(name string) string {
	extension := strings.ToLower(filepath.Ext(name))
	if slices.Contains(packed, extension) {
		return strings.ToLower(filepath.Ext(name[:len(name)-len(extension)]))
	}
	return extension
}

// foreign lists how files of other kinds begin, and what to do with them.
var foreign = []struct{ begin, is string }{
	{"PARE", "an encrypted Parquet file; write it without encryption"},
	{"\x1f\x8b", "compressed twice; decompress it with gunzip"},
	{"\x28\xb5\x2f\xfd", "compressed twice; decompress it with unzstd"},
	{"BZh9", "compressed twice; decompress it with bunzip2"},
	{"\xfd7zXZ\x00", "compressed with xz; decompress it with unxz"},
	{"PK\x03\x04", "a zip archive, as .xlsx files are; unpack it, or save the sheet as CSV"},
	{"\xd0\xcf\x11\xe0", "an Office file; save the sheet as CSV"},
	{"ARROW1", "an Arrow file; write it as Parquet"},
	{"Obj\x01", "an Avro file; write it as Parquet or NDJSON"},
	{"ORC", "an ORC file; write it as Parquet"},
	{"SQLite format 3\x00", "a database of SQLite; export a table as CSV"},
}

// formatOf returns the format of a file that begins with head. Given is the format that the user names, or empty. It
// fails when the content begins like a file of another kind than its extension says.
func formatOf(extension string, head []byte, given Format) (Format, error) {
	for _, k := range foreign {
		if bytes.HasPrefix(head, []byte(k.begin)) {
			return "", errors.New("the file is " + k.is)
		}
	}
	said, known := extensions[extension]
	if given != "" {
		said = given
		known = true
	}
	found := formatOfContent(head)
	text := bytes.TrimSpace(bytes.TrimPrefix(head, byteOrderMark))
	switch {
	case !known:
		return found, nil
	case said == Parquet && found != Parquet:
		return "", errors.New("the file is no Parquet file, because it does not begin with PAR1; check what wrote it")
	case said != Parquet && found == Parquet:
		return "", errors.New("the file is a Parquet file; give it a name that ends with .parquet, or say " +
			"--format parquet")
	case said == CSV && found == JSON && given == "":
		return "", errors.New("the file holds JSON; give it a name that ends with .json, or say --format json")
	case said == CSV && len(text) > 0 && text[0] == '<':
		return "", errors.New("the file holds HTML or XML instead of CSV; check what wrote it")
	case said == JSON && found != JSON && len(text) > 0 && !isUTF16(head):
		return "", fmt.Errorf("the file begins with %q, which is no JSON object or array; give a file of rows a name "+
			"that ends with .csv, or say --format csv", string(text[0]))
	}
	return said, nil
}

// formatOfContent guesses the format from the first bytes.
func formatOfContent(head []byte) Format {
	text := bytes.TrimSpace(bytes.TrimPrefix(head, byteOrderMark))
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return Parquet
	case len(text) > 0 && (text[0] == '{' || text[0] == '['):
		return JSON
	}
	return CSV
}
