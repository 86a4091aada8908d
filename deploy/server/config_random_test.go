package server

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recount/batch/cells"
	"recount/schemas/catalog"
	"recount/schemas/sqlschema"
)

// randomDeclarations begins every generated file.
const randomDeclarations = `events:
  hit:
    fields: {s: string, i: int64, f: float64, b: bool, t: timestamp}
`

// goodValues and badValues are values of a filter in YAML, by the type of its field.
var (
	goodValues = map[string][]string{
		"s":       {"a", `""`, `"2030-01-01T00:00:00Z"`, `".inf"`, `"é\n"`},
		"i":       {"0", "-1", "9223372036854775807", "1.0", "0x10"},
		"f":       {"0", "-0.5", "1e300", "5"},
		"b":       {"true", "false"},
		"t":       {"2030-01-01T00:00:00Z", `"2030-01-01T00:00:00.5+01:00"`, "2001-01-01"},
		"subject": {"a"},
	}
	badValues = map[string][]string{
		"s":       {"1", "true", "2030-01-01"},
		"i":       {".inf", ".nan", "0.5", "9223372036854775808", "a"},
		"f":       {".inf", "-.inf", ".nan", "a", "true"},
		"b":       {"1", "a"},
		"t":       {".nan", "1", "soon", `"2030-01-01"`},
		"subject": {"7"},
	}
)

// randomView writes one view and returns the beginnings of the mistakes in it.
func randomView(t *rapid.T, number int) (text string, mistakes []string) {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	rarely := func(label string) bool { return rapid.IntRange(0, 29).Draw(t, label) == 7 }
	name := fmt.Sprint(pick("name", "v", "cells_", "recount", "select"), number)
	wrong := func(place string) { mistakes = append(mistakes, "views."+name+place+": ") }
	if rarely("reserved name") {
		name = pick("reserved", sqlschema.Published, cells.MigrationsTable, "recount_", "cells_v_0123456789abcdef") +
			strings.Repeat("0", number)
		if strings.HasPrefix(name, "cells_") {
			name = fmt.Sprintf("cells_v%d_0123456789abcdef", number)
		}
		wrong("")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n    event: hit\n    measures: {n: {%s: {}}", name, "count")
	if rarely("measure") {
		b.WriteString(", m: {sum: s}")
		wrong(".measures.m")
	}
	b.WriteString("}\n")
	if rarely("dimension") {
		b.WriteString("    dimensions: [t]\n")
		wrong(".dimensions.t")
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "filters") {
		if i == 0 {
			b.WriteString("    where:\n")
		}
		field := pick("field", "s", "i", "f", "b", "t", "subject")
		place := fmt.Sprintf(".where.%d", i)
		values := goodValues[field]
		if rarely("value") {
			values = badValues[field]
			wrong(place + ": value")
		}
		op := pick("op", "eq", "ne", "in", "not_in")
		if rarely("op") {
			op = "like"
			wrong(place + ": op")
		}
		if op == "in" || op == "not_in" {
			list := rapid.SliceOfN(rapid.SampledFrom(values), 1, 3).Draw(t, "values")
			fmt.Fprintf(&b, "      - {field: %s, op: %s, values: [%s]}\n", field, op, strings.Join(list, ", "))
		} else {
			fmt.Fprintf(&b, "      - {field: %s, op: %s, value: %s}\n", field, op, pick("value", values...))
		}
	}
	return b.String(), mistakes
}

// randomConfig writes a configuration and returns the beginnings of the mistakes in it.
func randomConfig(t *rapid.T, dir string) (text string, mistakes []string) {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	rarely := func(label string) bool { return rapid.IntRange(0, 29).Draw(t, label) == 7 }
	var b strings.Builder
	for _, section := range []struct{ good, bad, mistake string }{
		{"landing: {cut_interval: 5s}", "landing: {cut_interval: soon}", "landing.cut_interval: "},
		{"query: {timeout: 1s}", "query: {timeout: 0s}", "query.timeout: "},
		{"object_store: {url: embedded}", "object_store: {url: \"s3://bucket?endpont=x\"}", "object_store.url: "},
		{"tenants: {acme: {}}", "tenants: {acme: {speed: 1}}", "tenants.acme.speed: "},
		{"log: {partitions: 2}", "lgo: {partitions: 2}", "lgo: "},
		{"jobs: {collect: {schedule: \"" + pick("good schedule", "@daily", "0 0 * * 7", "5 4 * * fri-sun") + "\"}}",
			"jobs: {collect: {schedule: \"" + pick("schedule", "now", "@every 0s", "@every -1s", "@every 1500ms",
				"0 0 31 2 *", "0 0 31 4,6 *", "0 0 * * 8") + "\"}}",
			"jobs.collect.schedule: "},
		{"clickhouse: {library: \"\"}", "clickhouse: {library: \"" + pick("library", "~/libchdb.so",
			"$HOME/libchdb.so") + "\"}", "clickhouse.library: "},
		{"admin: {listen: " + pick("admin", "\"\"", "127.0.0.1:0", "\"[::1]:18431\"", "localhost:18432") + "}",
			"admin: {listen: " + pick("other door", "127.0.0.1", "localhost:x", "192.0.2.1:1") + "}", "admin.listen: "},
		{"listen: 127.0.0.1:0", "listen: " + pick("listen", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1",
			"127.0.0.1:x y", "192.0.2.1:8080"), "listen: "},
	} {
		line := section.good
		if rarely(section.good) {
			line = section.bad
			mistakes = append(mistakes, section.mistake)
		}
		b.WriteString(line + "\n")
	}
	b.WriteString(randomDeclarations)
	n := rapid.IntRange(0, 3).Draw(t, "views")
	if n > 0 {
		b.WriteString("views:\n")
	}
	for i := range n {
		view, wrong := randomView(t, i)
		b.WriteString(view)
		mistakes = append(mistakes, wrong...)
	}
	if n > 0 && rarely("shape") {
		b.WriteString("  odd: {event: hit, measures: {m: {sum: i, min: i}}}\n")
		mistakes = append(mistakes, "views.odd.measures.m: ")
	}
	if n > 0 && rarely("unknown key") {
		b.WriteString("  other: {event: hit, measure: {m: {sum: i}}, measures: {n: {count: {}}}}\n")
		mistakes = append(mistakes, "views.other.measure: ")
	}
	text, wrong := randomPlaces(t, dir, len(mistakes) == 0)
	return b.String() + text, append(mistakes, wrong...)
}

// randomPlaces writes the names of files and folders, and returns the beginnings of the mistakes. A check of the
// values finds some of them. It comes before that of the files, so those are missing and damaged only in a file that
// has no other mistake.
func randomPlaces(t *rapid.T, dir string, valid bool) (text string, mistakes []string) {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	rarely := func(label string) bool { return rapid.IntRange(0, 29).Draw(t, label) == 7 }
	folder := dir + pick("folder", "", "/new", "/new/deeper", "/a b'c", "/[x]$1")
	if rarely("unwritten folder") {
		folder = pick("wrong folder", "~/data", "~", "$HOME/data", `a\\b`, "a*b")
		mistakes = append(mistakes, "data_dir: ")
		valid = false
	}
	if valid && rarely("missing folder") {
		folder = pick("bad folder", "config.go", "config.go/data", "/dev/null/data", "/proc/nope",
			dir+"/"+strings.Repeat("x", 256))
		mistakes = append(mistakes, "data_dir: ")
	}
	text = "data_dir: \"" + folder + "\"\n"
	missing := dir + "/none"
	if valid && rarely("keys") {
		text += "auth: {keys_file: " + pick("keys file", missing, dir, "config.go") + "}\n"
		mistakes = append(mistakes, "auth.keys_file: ")
	}
	if valid && rarely("tls") {
		text += "tls: {cert_file: " + pick("certificate", missing, dir, "config.go") + ", key_file: config.go}\n"
		mistakes = append(mistakes, "tls: ")
	}
	return text, mistakes
}

// TestRandomConfigurations checks that every mistake of a file is named, that nothing else is, and that a file without
// mistakes passes what a start does before it changes anything, as often as it is asked.
func TestRandomConfigurations(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "recount.yaml")
	dir := t.TempDir()
	defer wantEmpty(t, dir)
	rapid.Check(t, func(t *rapid.T) {
		text, mistakes := randomConfig(t, dir)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(file, nil)
		if err == nil {
			_, err = cfg.CheckStart() // what a start does too
		}
		if err != nil {
			wantMistakes(t, text, err.Error(), mistakes)
			return
		}
		if len(mistakes) > 0 {
			t.Fatalf("%s\nis valid, want %q", text, mistakes)
		}
		first, err := cfg.CheckStart()
		if err != nil {
			t.Fatalf("%s\nis valid, and does not start: %v", text, err)
		}
		second, err := cfg.CheckStart()
		if d := cmp.Diff(first, second); err != nil || d != "" {
			t.Fatalf("%s\ndiffers when it is read again: %v %s", text, err, d)
		}
	})
}

// wantEmpty fails if something is in a folder.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("checks have left %v, %v", left, err)
	}
}

// wantMistakes checks that each line of a message is one of the mistakes, and that each mistake is a line.
func wantMistakes(t *rapid.T, text, message string, mistakes []string) {
	found := map[string]bool{}
	for line := range strings.SplitSeq(message, "\n") {
		known := false
		for _, m := range mistakes {
			if strings.Contains(line, m[:len(m)-2]) {
				found[m] = true
				known = true
			}
		}
		if !known {
			t.Fatalf("%s\nhas no such mistake: %s", text, line)
		}
	}
	for _, m := range mistakes {
		if !found[m] {
			t.Fatalf("%s\nis refused without %q: %s", text, m, message)
		}
	}
}

// TestValidConfigurationsStart starts a server on many generated views at once. It is not parallel: a process has one
// embedded ClickHouse.
func TestValidConfigurationsStart(t *testing.T) {
	var text strings.Builder
	text.WriteString(randomDeclarations + "views:\n")
	count := 0
	for i := range 60 {
		view := rapid.Custom(func(t *rapid.T) string {
			view, mistakes := randomView(t, i)
			if len(mistakes) > 0 {
				return ""
			}
			return view
		}).Example(i)
		if view != "" {
			count++
			text.WriteString(view)
		}
	}
	if count < 10 {
		t.Fatalf("only %d views are valid", count)
	}
	cfg, err := load(t, text.String(), map[string]string{"listen": "127.0.0.1:0", "data-dir": t.TempDir() + "/data"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckStored(cfg); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, Options{Roles: AllRoles})
	if err != nil {
		t.Fatalf("%s\nis valid, and does not start: %v", text.String(), err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// TestCheckAndStartRefuseTheSame names files that are missing or damaged. The check and a start say the same, and the
// start leaves nothing on the disk.
func TestCheckAndStartRefuseTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	damaged := filepath.Join(dir, "damaged")
	if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"auth.keys_file: .*no such file": func(c *Config) { c.Auth.KeysFile = filepath.Join(dir, "none") },
		"auth.keys_file: .*not a keys":   func(c *Config) { c.Auth.KeysFile = damaged },
		"tls: .*no such file":            func(c *Config) { c.TLS = TLSConfig{damaged, filepath.Join(dir, "none")} },
		"tls: .*PEM":                     func(c *Config) { c.TLS = TLSConfig{damaged, damaged} },
		"unknown type": func(c *Config) {
			c.Events = map[string]*catalog.EventType{"hit": {Fields: []catalog.Field{{Name: "a", Type: "text"}}}}
		},
		"data_dir: .*damaged: not a directory": func(c *Config) { c.DataDir = filepath.Join(damaged, "data") },
		"data_dir: .*/proc/nope":               func(c *Config) { c.DataDir = "/proc/nope" },
		"clickhouse.library: .*none":           func(c *Config) { c.ClickHouse.Library = filepath.Join(dir, "none") },
		"clickhouse.library: .*no library":     func(c *Config) { c.ClickHouse.Library = damaged },
	} {
		cfg := DefaultConfig()
		cfg.Listen = "127.0.0.1:0"
		cfg.DataDir = filepath.Join(dir, "data")
		change(&cfg)
		_, checked := CheckStored(cfg)
		s, started := Open(t.Context(), cfg, Options{Roles: AllRoles})
		if started == nil {
			t.Errorf("%s: it started", name)
			_ = s.close()
			continue
		}
		if checked == nil || checked.Error() != started.Error() ||
			!regexp.MustCompile(name).MatchString(started.Error()) {
			t.Errorf("%s: the check says %v, and the start says %v", name, checked, started)
		}
		if _, err := os.Stat(cfg.DataDir); err == nil {
			t.Errorf("%s: the start has created %s", name, cfg.DataDir)
		}
	}
}
