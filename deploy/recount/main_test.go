package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recount/deploy/verify"
	"recount/schemas/query"
)

// command runs the program and returns its exit code and what it printed.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return commandWith(t, "", args...)
}

// commandWith is command with a text on the standard input.
func commandWith(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errw bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errw)
	return code, out.String(), errw.String()
}

// TestExitCodes checks the exit code and the message of right and wrong command lines.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	const day = "--from=2024-05-01T00:00:00Z --to=2024-05-02T00:00:00Z "
	const nobody = "--server=http://127.0.0.1:1"
	for line, c := range map[string]struct {
		code int
		says string
	}{
		"":                             {exitOK, "Counts you can watch now"},
		"--help":                       {exitOK, "Check a configuration file"},
		"query --help":                 {exitOK, "--group-by"},
		"version":                      {exitOK, "engine chdb "},
		"--version":                    {exitOK, "(commit "},
		"querry":                       {exitUsage, "unexpected argument querry"},
		"query":                        {exitUsage, "Usage: recount query <view> [flags]"},
		"query v --from=soon":          {exitUsage, `--from: "soon" is no time`},
		"query v --from=soon --to=now": {exitUsage, "--from: \"soon\" is no time: write 2024-05-01T10:00:00Z"},
		"query v --last=24h --to=now":  {exitUsage, "--last is instead of --from and --to"},
		"query v --last=long":          {exitUsage, "--last \"long\" is no length"},
		"query v --from=":              {exitUsage, "--from: it is empty; give a value, or leave the flag out"},
		"query v --to=":                {exitUsage, "--to: it is empty"},
		"watch v --wait=0s --last=":    {exitUsage, "--last: it is empty"},
		"dead-letters replay --code=":  {exitUsage, "--code: it is empty"},
		"dead-letters replay --type=":  {exitUsage, "--type: it is empty"},
		"dead-letters replay --name=":  {exitUsage, "--name: it is empty"},
		"ingest main.go --time=":       {exitUsage, "--time: it is empty"},
		"query v --plot --granularity=1h -g page -o page": {exitUsage, "leave --order-by out"},
		"query v --last=7d " + nobody:                     {exitFailed, "is a server running?"},
		"query v --from=2024-05 --to=now " + nobody:       {exitFailed, "is a server running?"},
		"query v --from=2024-05-01T00:00:00z --to=2024-05-01t01:00:00+01:00 " + nobody: {exitFailed,
			"is a server running?"},
		"query v --form=2024-05-01":                    {exitUsage, "Try: recount query --help"},
		"query v --landing.cut-rows=1 " + day + nobody: {exitUsage, "unknown flag --landing.cut-rows"},
		"up --data-dri=x":                              {exitUsage, "Try: recount up --help"},
		"config chekc":                                 {exitUsage, "Try: recount config --help"},
		"dead-letters list --from=2024-05-01 " +
			nobody: {exitUsage, "--from: \"2024-05-01\" is not an RFC 3339 time"},
		"dead-letters replay --help":      {exitOK, "--name=NAME"},
		"query v -w page=a,b " + day:      {exitUsage, "--where: at character 7, before \",b\": write and or or"},
		"query v --having=hits==5 " + day: {exitUsage, "--having: at character 6, before \"=5\": write one of ="},
		"query v --mode=best " + day:      {exitUsage, `must be one of "merged","exact","live"`},
		"query v --server=:// " + day:     {exitUsage, "://"},
		"query v " + day + nobody:         {exitFailed, "is a server running? try: recount up"},
		"health " + nobody:                {exitFailed, "is a server running? try: recount up"},
		"jobs list " + nobody:             {exitFailed, "is a server running? try: recount up"},
		"verify --ack-log=nothing":        {exitUsage, "nothing"},
		"verify --data-dir=nothing":       {exitFailed, "nothing holds no data"},
		"verify " + nobody:                {exitFailed, "is a server running? try: recount up"},
		"verify -c main.go " + nobody:     {exitUsage, "give one of them"},
		"serve":                           {exitUsage, "--role"},
		"serve --role=cook":               {exitUsage, "cook"},
		"ingest nothing.csv":              {exitUsage, "nothing.csv"},
		"ingest main.go --batch=0":        {exitUsage, "--batch and --in-flight must be at least 1"},
		"up --config=nothing.yaml":        {exitFailed, "recount: configuration: open "},
		"up --log.partitions=0":           {exitFailed, "log.partitions: use 1 to 256"},
		"up --log.partitions=many":        {exitFailed, "RECOUNT_LOG_PARTITIONS"},
		"up --log-format=xml":             {exitFailed, "log_format: use text or json"},
		"demo --log-level=loud":           {exitFailed, "(or RECOUNT_LOG_LEVEL): unknown word \"loud\""},
		"up --listen=0.0.0.0:80":          {exitFailed, "not a loopback address"},
		"up --listen=:80": {exitFailed,
			"without auth.keys_file recount listens on 127.0.0.1, [::1] or localhost only"},
		"up --listen=[::]:80":         {exitFailed, "not a loopback address"},
		"up --listen=example.org:80":  {exitFailed, "not a loopback address"},
		"up --admin.listen=0.0.0.0:1": {exitFailed, "not a loopback address"},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := command(t, strings.Fields(line)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("exit code %d, want %d and output with %q:\n%s%s", code, c.code, c.says, stdout, stderr)
			}
		})
	}
}

// TestHelp checks that help is short, and that only commands which use settings list them.
func TestHelp(t *testing.T) {
	t.Parallel()
	for line, limit := range map[string]int{"--help": 32, "jobs list --help": 20, "query --help": 40,
		"keys create --help": 24, "load --help": 51, "help": 32, "help query": 40} {
		if _, stdout, _ := command(t, strings.Fields(line)...); strings.Count(stdout, "\n") > limit ||
			strings.Contains(stdout, "--landing.cut-rows") {
			t.Errorf("recount %s prints more than %d lines, or lists settings:\n%s", line, limit, stdout)
		}
	}
	if code, _, stderr := command(t, "help", "querry"); code != exitUsage || !strings.Contains(stderr, `"query"`) {
		t.Errorf("recount help querry: exit code %d: %s", code, stderr)
	}
	for _, line := range []string{"up --help", "serve --help", "demo --help", "verify --help", "config check --help"} {
		if _, stdout, _ := command(t, strings.Fields(line)...); !strings.Contains(stdout, "--landing.cut-rows=VALUE") {
			t.Errorf("recount %s does not list the settings:\n%s", line, stdout)
		}
	}
}

// TestSettingsReach checks that the flag of a setting wins over its environment variable, and that commands without the
// flag read the variable.
func TestSettingsReach(t *testing.T) {
	t.Setenv("RECOUNT_LOG_PARTITIONS", "0")
	if code, _, stderr := command(t, "config", "check", "example.yaml", "--data-dir",
		t.TempDir()); code != exitFailed || !strings.Contains(stderr, "log.partitions: use 1 to 256") {
		t.Errorf("variable: exit code %d: %s", code, stderr)
	}
	if code, _, stderr := command(t, "config", "check", "example.yaml", "--log.partitions=4", "--data-dir",
		t.TempDir()); code != exitOK {
		t.Errorf("flag: exit code %d: %s", code, stderr)
	}
	t.Setenv("RECOUNT_LOG_PARTITIONS", "4")
	t.Setenv("RECOUNT_AUTH_KEYS_FILE", "there.json")
	if _, _, stderr := command(t, "keys", "list"); !strings.Contains(stderr, "there.json") {
		t.Errorf("a command without the flag: %s", stderr)
	}
}

// TestLogFormat starts a server whose object store is a file. It logs one warning in the chosen format and fails.
func TestLogFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s3"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for format, says := range map[string]string{"text": "level=WARN msg=\"no view is declared",
		"json": `"level":"WARN","msg":"no view is declared`} {
		code, _, stderr := command(t, "up", "--data-dir", dir, "--listen=127.0.0.1:0", "--events.discover=false",
			"--log-format", format)
		if code != exitFailed || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, want a log line with %s:\n%s", format, code, says, stderr)
		}
	}
}

// TestPrecedence checks that a flag wins over the environment, the environment over the file, and
// the file over the default.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "a.yaml")
	example, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	inFile := append(example, []byte("data_dir: "+dir+"/file\n")...)
	for _, c := range []struct {
		file       []byte
		env, flag  string
		wantFolder string
	}{
		{example, "", "", "./recount-data"},
		{inFile, "", "", dir + "/file"},
		{inFile, dir + "/variable", "", dir + "/variable"},
		{inFile, dir + "/variable", dir + "/flag", dir + "/flag"},
		{example, "", dir + "/flag", dir + "/flag"},
	} {
		if err := os.WriteFile(config, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("RECOUNT_DATA_DIR", "")
		if c.env == "" {
			os.Unsetenv("RECOUNT_DATA_DIR") // The call of Setenv restores the variable at the end of the test.
		} else {
			t.Setenv("RECOUNT_DATA_DIR", c.env)
		}
		args := []string{"config", "check", config}
		if c.flag != "" {
			args = append(args, "--data-dir", c.flag)
		}
		code, stdout, stderr := command(t, args...)
		if code != exitOK || !strings.Contains(stdout, "there is no data in "+c.wantFolder+" yet\n") {
			t.Errorf("want %s: exit code %d\n%s%s", c.wantFolder, code, stdout, stderr)
		}
	}
}

// TestPlaceOfMistakes checks that an error names the file and line, or the flag and variable, with the mistake.
func TestPlaceOfMistakes(t *testing.T) {
	t.Setenv("RECOUNT_LANDING_CUT_ROWS", "many")
	code, _, stderr := command(t, "config", "check", "example.yaml")
	if code != exitFailed || stderr != "recount: configuration: --landing.cut-rows (or RECOUNT_LANDING_CUT_ROWS): "+
		"\"many\" is not a whole number\n" {
		t.Errorf("variable: exit code %d: %s", code, stderr)
	}
	path := filepath.Join(t.TempDir(), "a.yaml")
	text := "landing:\n  cut_rows: 0\n  cut_bytes: 1GB\nlog: {max_bytes: 1GiB}\nspeed: fast\nquery: {timeout: [1s]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string][]string{
		"": {path + ":5: speed: write keys and values below it: memory, dedup_window, dedup_entries, snapshot_interval",
			path + ":6: query.timeout: write one value, a duration"},
		"--landing.cut-rows=0": {path + ":5: speed: "},
	} {
		_, _, stderr := command(t, append([]string{"config", "check", path}, strings.Fields(args)...)...)
		for _, line := range want {
			if !strings.Contains(stderr, line) {
				t.Errorf("%s: %q is not in:\n%s", args, line, stderr)
			}
		}
	}
	text = text[:strings.Index(text, "speed:")]
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RECOUNT_LANDING_CUT_ROWS", "0")
	for args, want := range map[string]string{
		"": "recount: configuration: " + path + ":4: log.max_bytes: use at least twice landing.cut_bytes: an open " +
			"segment that fills the log could never end, for that takes a message (C1)\nlanding.cut_rows: use 1 to " +
			"16000000\n",
		"--landing.cut-rows=1 --log.max-bytes=2GiB": "",
	} {
		code, _, stderr := command(t, append([]string{"config", "check", path, "--data-dir", t.TempDir() + "/data"},
			strings.Fields(args)...)...)
		if (code == exitFailed) != (want != "") || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, want %q:\n%s", args, code, want, stderr)
		}
	}
}

// TestConfigCheck checks the message for valid and wrong files, and that a check creates no data folder.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	const valid = "events:\n  hit: {fields: {page: string, ms: int64}}\nviews:\n  hits:\n    event: hit\n    " +
		"dimensions: [page]\n    measures: {hits: {count: {}}}\n"
	for name, c := range map[string]struct {
		yaml, says string
		code       int
	}{
		"valid": {valid, "a.yaml is valid: 1 event type, 1 view\n", exitOK},
		"no view": {"events: {hit: {fields: {page: string}}}\n",
			"no view is declared, so nothing would be counted", exitOK},
		"alike": {strings.Replace(valid, "ms: int64", "Page: string", 1), "event type hit: the columns Page and page " +
			"differ only in case", exitOK},
		"empty":    {"", "will be declared from its first events", exitOK},
		"discover": {valid + "events.discover: true\n", "unknown key", exitFailed},
		"discover and types": {strings.Replace(valid, "events:", "events:\n  discover: true", 1),
			"1 event type, 1 view\n", exitOK},
		"discover not": {"events: {discover: false}\n", "no view is declared, so nothing would be counted", exitOK},
		"discover so": {"events: {discover: maybe}\n", "a.yaml:1: events.discover: use auto, true or false",
			exitFailed},
		"a type discover": {"events: {discover: {fields: {page: string}}}\n", "1 event type, 0 views", exitOK},
		"empty section":   {"events:\n", "0 event types, 0 views", exitOK},
		"bad port":        {valid + "listen: 127.0.0.1:99999\n", "a.yaml:8: listen: ", exitFailed},
		"no schedule":     {valid + "jobs: {collect: {schedule: '@every 0s'}}\n", "use whole seconds", exitFailed},
		"impossible day":  {valid + "jobs: {collect: {schedule: '0 0 31 2 *'}}\n", "no such day", exitFailed},
		"unknown key": {valid + "landng: {}\n", "a.yaml:8: landng: unknown key; remove it or correct its " +
			"spelling", exitFailed},
		"unknown field": {strings.Replace(valid, "[page]", "[pages]", 1), "a.yaml:6: views.hits.dimensions",
			exitFailed},
		"unknown measure": {strings.Replace(valid, "count: {}", "median: ms", 1), "a.yaml:7: ", exitFailed},
		"no size": {valid + "batch: {memory: lots}\n", `"lots" is not a size; write for example 64MiB`,
			exitFailed},
		"unknown schedule": {valid + "jobs: {recompute: {schedule: sometimes}}\n", "a.yaml:8: jobs.recompute.schedule",
			exitFailed},
		"unknown job": {valid + "jobs: {lunch: {schedule: '@daily'}}\n",
			"a.yaml:8: jobs.lunch: unknown key; remove it or correct its spelling; jobs has recompute, collect, " +
				"expire", exitFailed},
	} {
		if err := os.WriteFile(path, []byte(c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := command(t, "config", "check", path, "--data-dir", filepath.Join(dir, "data"))
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%s: exit code %d, want %d and output with %q:\n%s%s", name, code, c.code, c.says, stdout, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("the check created the data folder")
	}
}

// TestExample checks that the file which the README starts from is valid.
func TestExample(t *testing.T) {
	t.Parallel()
	if code, stdout, stderr := command(t, "config", "check", "example.yaml", "--data-dir",
		t.TempDir()); code != exitOK {
		t.Errorf("%s%s", stdout, stderr)
	}
}

func TestPrintTable(t *testing.T) {
	t.Parallel()
	const csv = "page,views,users,views__live,users__live,users__low,users__high\r\n" +
		"/,3,2,1,,,\r\n\"a,b\",1,,,,,\r\n,1,1,,,,\r\n"
	const want = "page  views  users  views__live\n/     3      2      1\na,b   1      -      -\n-     1      1     " +
		" -\n"
	var out bytes.Buffer
	if err := printTable(&out, strings.NewReader(csv)); err != nil || out.String() != want {
		t.Errorf("error %v, output:\n%s\nwant:\n%s", err, out.String(), want)
	}
	if err := printTable(&out, strings.NewReader("")); err == nil {
		t.Error("an empty answer was printed as a table")
	}
}

func TestPrintAccuracy(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`{"publication":3,"exact":true,"complete":true}`: "publication 3, exact\n",
		`{"publication":3,"complete":true,"pending_events":4,"truncated":true}`: "there are more rows; raise --limit " +
			"to see them\npublication 3 and 4 events since\n",
		`{"publication":3,"exact":true,"complete":false,"stale_partitions":[1],"pending_events":2}`: "publication 3 " +
			"and 2 events since, exact; INCOMPLETE: newer events of partitions [1] are missing\n",
		`{"publication":3,"complete":true,"overflow":{"events":5,"left_out":2}}`: "publication 3\ncounted as " +
			"~overflow, because a dimension has too many values: 5 events, of which 2 in no row, but may belong to " +
			"one\n",
		`{"publication":3,"complete":true,"pending_events":1,"unconverted_events":1}`: "publication 3 and 1 event " +
			"since\nwithout a value, because it was sent while its field had another type and does not fit the " +
			"present one: 1 event\n",
		`{"publication":3,"complete":false,"filled_from":"2024-01-01T02:00:00Z"}`: "publication 3; INCOMPLETE: the " +
			"view is filled from 2024-01-01T02:00:00Z on, and earlier events are missing\n",
		`{"publication":3,"complete":true,"retired_events":70}`: "publication 3\nmissing, because " +
			"retention had removed them, or others of their buckets, when the view was computed: up to 70 events\n",
		`{"publication":3,"complete":true,"out_of_range":[{"measure":"cost","count":2,"rows":[0,4]}]}`: "" +
			"publication 3\ncost is missing in 2 rows, because its value there does not fit its type\n",
	} {
		var out bytes.Buffer
		var a query.Accuracy
		if err := json.Unmarshal([]byte(header), &a); err != nil {
			t.Fatal(err)
		}
		printAccuracy(&out, &a)
		if out.String() != want {
			t.Errorf("%s: got:\n%s\nwant:\n%s", header, out.String(), want)
		}
	}
}

// TestUnknownCode checks the hint for a code that no dead letter has.
func TestUnknownCode(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}")
	}))
	defer srv.Close()
	for _, verb := range []string{"list", "replay"} {
		code, _, stderr := command(t, "dead-letters", verb, "--server", srv.URL, "--code=bogus")
		if code != exitOK || !strings.Contains(stderr, `nothing was rejected for the code "bogus"`) {
			t.Errorf("%s: exit code %d: %s", verb, code, stderr)
		}
	}
}

// TestOutcome checks the words for each outcome; a check that examined nothing is not "ok".
func TestOutcome(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]verify.Check{"ok": {Examined: 1}, "nothing to check": {},
		"skipped: why": {Skipped: "why"}, "2 FOUND": {Findings: 2}, "NOT CHECKED": {Failed: "why"}} {
		if got := outcome(c); got != want {
			t.Errorf("%+v: got %s, want %s", c, got, want)
		}
	}
}
