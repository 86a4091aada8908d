package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestComplete asks what can stand in place of the last word. A hidden command is not offered.
func TestComplete(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/views" && r.Header.Get("Authorization") == "Bearer k":
			_, _ = w.Write([]byte(`{"views":[{"name":"secrets"}]}`))
		case r.URL.Path == "/v1/views":
			_, _ = w.Write([]byte(`{"views":[{"name":"visits"},{"name":"orders"}]}`))
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("RECOUNT_SERVER", server.URL)
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte("k\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inBash := strings.ReplaceAll(server.URL, ":", " : ")
	for line, want := range map[string]string{
		"qu":                                 "query",
		"vers":                               "",
		"jobs ":                              "list run",
		"query ":                             "orders visits",
		"query vi":                           "visits",
		"views show o":                       "orders",
		"query visits ":                      "",
		"query visits --mo":                  "--mode",
		"query visits --mode ":               "exact live merged",
		"query visits --mode e":              "exact",
		"query visits --mode=l":              "--mode=live",
		"query visits --mode = l":            "live",
		"query visits --mode =":              "exact live merged",
		"query -g page visits --last ":       "",
		"query -g page ":                     "orders visits",
		"query --plot ":                      "orders visits",
		"query --server http://127.0.0.1:1 ": "",
		"query --server=http://127.0.0.1:1 ": "",
		"query --server = http : //127.0.0.1 : 1 ":      "",
		"query --server = " + inBash + " vi":            "visits",
		"query --server " + inBash + " visits --mode e": "exact",
		"query --key-file " + keyFile + " ":             "secrets",
		"completion z":                                  "zsh",
		"nonsense ":                                     strings.Join(strings.Fields(completed(t, "")), " "),
	} {
		if got := strings.Join(strings.Fields(completed(t, strings.Split(line, " ")...)), " "); got != want {
			t.Errorf("%q: got %s, want %s", line, got, want)
		}
	}
	server.Close()
	if got := completed(t, "query", ""); got != "" {
		t.Errorf("without a server: got %s", got)
	}
}

func completed(t *testing.T, words ...string) string {
	t.Helper()
	code, stdout, stderr := command(t, append([]string{"complete", "--"}, words...)...)
	if code != exitOK || stderr != "" {
		t.Errorf("%q: exit code %d: %s", words, code, stderr)
	}
	return stdout
}

// TestCompletionInBash lets bash call the function, as it does for a person.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	_, script, _ := command(t, "completion", "bash")
	script += `
recount() { printf '%s\n' "$@" > /dev/stderr; printf 'one\ntwo words\n'; }
COMP_WORDS=(recount query "")
COMP_CWORD=2
exec 2>/dev/null
_recount
printf '%s;' "${COMPREPLY[@]}"
complete -p recount`
	out, err := exec.CommandContext(t.Context(), bash, "--norc", "-c", script).Output()
	if got := string(out); err != nil || got != "one;two words;complete -o default -F _recount recount\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if code, _, _ := command(t, "completion", "tcsh"); code != exitUsage {
		t.Errorf("a shell that is not known: exit code %d", code)
	}
}

// TestCompletionInZsh lets zsh call the function. compadd is that of the test, because the real one needs a terminal.
func TestCompletionInZsh(t *testing.T) {
	t.Parallel()
	zsh, err := exec.LookPath("zsh")
	if err != nil {
		t.Skip("zsh is not installed")
	}
	_, script, _ := command(t, "completion", "zsh")
	script = `compdef() { print -r -- "compdef $*" }
compadd() { print -rl -- "$1" "${(@P)2}" }
_files() { print files }
recount() { [[ "$*" == "complete -- query " ]] && printf 'one\ntwo words\n' }
` + script + `
words=(recount query "")
CURRENT=3
_recount
words=(recount nothing)
CURRENT=2
_recount`
	out, err := exec.CommandContext(t.Context(), zsh, "-f", "-c", script).CombinedOutput()
	if got := string(out); err != nil || got != "compdef _recount recount\n-a\none\ntwo words\nfiles\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestCompletionInFish asks fish itself what it would offer.
func TestCompletionInFish(t *testing.T) {
	t.Parallel()
	fish, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("fish is not installed")
	}
	_, script, _ := command(t, "completion", "fish")
	script = `function recount
  if test "$argv" = "complete -- query --mode "; printf 'one\ntwo words\n'; end
end
` + script + `
complete -C 'recount query --mode '
complete -C 'recount ingest '`
	shell := exec.CommandContext(t.Context(), fish, "--no-config", "-c", script)
	shell.Dir = t.TempDir()
	file(t, filepath.Join(shell.Dir, "rows.csv"), nil)
	out, err := shell.CombinedOutput()
	if got := string(out); err != nil || got != "one\ntwo words\nrows.csv\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
