package eventfile

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
)

var pageViewed = &catalog.EventType{Name: "page.viewed", Fields: []catalog.Field{
	{Name: "at", Type: catalog.Timestamp}, {Name: "ms", Type: catalog.Int64}, {Name: "page", Type: catalog.String},
}}

// TestCSV reads a file with guessed and with declared types.
func TestCSV(t *testing.T) {
	t.Parallel()
	const text = "\ufeffid,when,page,ms,ok,note\n7,2024-05-01T10:00:00Z,404,12,true,\"a, \"\"b\"\"\"\n" +
		"8,2024-05-01T11:00:00z,/,,,007\n"
	path := writeFile(t, "views.csv", []byte(text))
	m := Mapping{Type: "page.viewed", ID: []string{"id"}, Time: "when"}
	const guessed = `{"specversion":"1.0","type":"page.viewed","id":"7",` +
		`"time":"2024-05-01T10:00:00Z","data":{"when":"2024-05-01T10:00:00Z",` +
		`"page":404,"ms":12,"ok":true,"note":"a, \"b\""}}`
	const second = `{"specversion":"1.0","type":"page.viewed","id":"8",` +
		`"time":"2024-05-01T11:00:00z","data":{"when":"2024-05-01T11:00:00z","page":"/","note":"007"}}`
	got, err := readAll(t, path, m)
	if diff := cmp.Diff([]string{guessed, second}, got); err != nil || diff != "" {
		t.Errorf("guessed types: %v\n%s", err, diff)
	}
	m.Fields = pageViewed
	m.Extra = KeepExtra
	got, err = readAll(t, path, m)
	if diff := cmp.Diff([]string{strings.Replace(guessed, "404", `"404"`, 1), second}, got); err != nil || diff != "" {
		t.Errorf("declared types: %v\n%s", err, diff)
	}
}

// FuzzCSV checks that every row is either refused or one JSON object on one line.
func FuzzCSV(f *testing.F) {
	f.Add("id,page\n1,/\n", "id")
	f.Add("a\n\"x\ny\"\n1e999\n-0\n0x1p-2\nNaN\n", "")
	f.Fuzz(func(t *testing.T, text, id string) {
		got, _ := readAll(t, writeFile(t, "a.csv", []byte(text)), Mapping{Type: "t", ID: idColumns(id)})
		for _, line := range got {
			var e struct {
				Specversion, Type, Source, ID string
				Data                          map[string]any
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Type != "t" || strings.Contains(line, "\n") {
				t.Fatalf("%s: %v", line, err)
			}
		}
	})
}
