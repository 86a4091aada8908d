package eventfile

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"pgregory.net/rapid"

	"recount/schemas/catalog"
)

// damage is something that tools do to a CSV file on its way. A harmless one changes nothing that is counted.
type damage struct {
	name     string
	harmless bool
	apply    func(header []string, rows [][]string, text func(separator rune) string) string
}

// plainText is the file as it was meant.
func plainText(_ []string, _ [][]string, text func(rune) string) string { return text(',') }

var damages = []damage{
	{"none", true, plainText},
	{"byte order mark", true, func(_ []string, _ [][]string, text func(rune) string) string {
		return "\ufeff" + text(',')
	}},
	{"line ends of two bytes", true, func(_ []string, _ [][]string, text func(rune) string) string {
		return strings.ReplaceAll(text(','), "\n", "\r\n")
	}},
	{"another column", true, func(header []string, _ [][]string, text func(rune) string) string {
		header[len(header)-1] = "Notes (internal)"
		return text(',')
	}},
	{"carriage returns", false, func(_ []string, _ [][]string, text func(rune) string) string {
		return strings.ReplaceAll(text(','), "\n", "\r")
	}},
	{"tabs", true, func(_ []string, _ [][]string, text func(rune) string) string { return text('\t') }},
	{"semicolons", true, func(_ []string, _ [][]string, text func(rune) string) string { return text(';') }},
	{"upper case", false, func(header []string, _ [][]string, text func(rune) string) string {
		header[0] = strings.ToUpper(header[0])
		return text(',')
	}},
	{"title case and space", false, func(header []string, _ [][]string, text func(rune) string) string {
		header[0] = strings.ToUpper(header[0][:1]) + " " + header[0][1:]
		return text(',')
	}},
	{"spaces after commas", false, func(header []string, rows [][]string, text func(rune) string) string {
		for _, row := range append([][]string{header}, rows...) {
			for i := 1; i < len(row); i++ {
				row[i] = " " + row[i]
			}
		}
		return text(',')
	}},
	{"latin-1", true, func(header []string, _ [][]string, text func(rune) string) string {
		header[len(header)-1] = "größe"
		latin, err := charmap.Windows1252.NewEncoder().String(text(','))
		if err != nil {
			panic(err)
		}
		return latin
	}},
	{"a missing time", false, func(header []string, rows [][]string, text func(rune) string) string {
		rows[len(rows)-1][slices.Index(header, "at")] = ""
		return text(',')
	}},
	{"a missing cell", false, func(_ []string, rows [][]string, text func(rune) string) string {
		rows[len(rows)-1] = rows[len(rows)-1][1:]
		return text(',')
	}},
}

// TestNothingIsLost draws tables, mappings and damages. A file is refused, or each event has the time of its row and a
// value for every cell of a declared field. A file without damage is never refused.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	fields := []catalog.Field{{Name: "at", Type: catalog.Timestamp}, {Name: "ms", Type: catalog.Int64},
		{Name: "page", Type: catalog.String}, {Name: "user_name", Type: catalog.String}}
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		header := rapid.Permutation([]string{"at", "ms", "page", "user_name"}).Draw(r, "columns")
		header = append(header, "more")
		extra := rapid.SampledFrom([]Extra{KeepExtra, IgnoreExtra}).Draw(r, "extra")
		rows := rapid.SliceOfN(row(header), 1, 4).Draw(r, "rows")
		attribute := rapid.SampledFrom([]string{"", "page", "user_name"})
		m := Mapping{Type: "t", Time: "at", ID: idColumns(attribute.Draw(r, "id")), Subject: attribute.Draw(r,
			"subject"),
			Extra: extra, Fields: &catalog.EventType{Name: "t", Fields: fields}}
		meant := make([]map[string]string, len(rows))
		for i, row := range rows {
			meant[i] = map[string]string{}
			for k, name := range header {
				meant[i][name] = row[k]
			}
		}
		d := rapid.SampledFrom(damages).Draw(r, "damage")
		text := d.apply(header, rows, func(separator rune) string {
			var out strings.Builder
			w := csv.NewWriter(&out)
			w.Comma = separator
			if err := w.WriteAll(append([][]string{header}, rows...)); err != nil {
				r.Fatal(err)
			}
			return out.String()
		})
		got, err := readAll(t, writeFileIn(t, dir, "a.csv", []byte(text)), m)
		if err != nil {
			if d.harmless {
				r.Fatalf("%s: %v\n%s", d.name, err, text)
			}
			return
		}
		if len(got) != len(meant) {
			r.Fatalf("%s: %d events of %d rows\n%s", d.name, len(got), len(meant), text)
		}
		for i, line := range got {
			var e struct {
				Time string
				Data map[string]any
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time == "" {
				r.Fatalf("%s: row %d: %s, %v", d.name, i+1, line, err)
			}
			for _, f := range fields {
				if v := e.Data[f.Name]; fmt.Sprint(v) != meant[i][f.Name] && v != asNumber(meant[i][f.Name]) {
					r.Fatalf("%s: %s of row %d is %v, want %q\n%s", d.name, f.Name, i+1, v, meant[i][f.Name], text)
				}
			}
		}
	})
}

// row draws a row for a header.
func row(header []string) *rapid.Generator[[]string] {
	return rapid.Custom(func(r *rapid.T) []string {
		cells := map[string]string{
			"at":        fmt.Sprintf("2024-05-%02dT10:00:00Z", rapid.IntRange(1, 31).Draw(r, "day")),
			"ms":        fmt.Sprint(rapid.Int32().Draw(r, "ms")),
			"page":      rapid.SampledFrom([]string{"/", "404", "true", "a,b", "\"q\"", "two\nlines"}).Draw(r, "page"),
			"user_name": rapid.SampledFrom([]string{"ann", "1e3", "ü;x", "\tb"}).Draw(r, "user"),
		}
		out := make([]string, len(header))
		for i, name := range header {
			out[i] = cells[name]
		}
		return out
	})
}

// asNumber returns what encoding/json makes of a number.
func asNumber(text string) any {
	var v float64
	if json.Unmarshal([]byte(text), &v) != nil {
		return nil
	}
	return v
}
