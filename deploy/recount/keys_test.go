package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeysCommands creates, lists and revokes keys. A key is printed once, alone on standard output, and neither
// another command nor the file shows it.
func TestKeysCommands(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	file := "--keys-file=" + path
	code, acme, stderr := command(t, "keys", "create", file, "--tenant=acme", "--scope=ingest,query", "--expires=1h")
	id := strings.Split(acme, "_")[1]
	if code != exitOK || len(acme) != 65 || !strings.Contains(stderr, id+" of tenant acme may ingest,query") {
		t.Fatalf("create a key: exit code %d, output %q, %q", code, acme, stderr)
	}
	if code, _, stderr := command(t, "keys", "create", file, "--tenant=b", "--scope=admin"); code != exitOK {
		t.Fatal(stderr)
	}
	code, list, stderr := command(t, "keys", "list", file)
	if code != exitOK || strings.Count(list, "\n") != 3 || !strings.Contains(list, id+"  acme    ingest,query") {
		t.Errorf("list keys: exit code %d\n%s%s", code, list, stderr)
	}
	raw, err := os.ReadFile(path)
	if secret := strings.TrimSpace(acme)[21:]; err != nil || strings.Contains(list+stderr+string(raw), secret) {
		t.Error("the secret is in the list or the file, or the file cannot be read:", err)
	}
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{"revoke " + id + " nobody", exitFailed, `no key has the id "nobody"`},
		// The line before did not revoke the known id.
		{"revoke " + id, exitOK, "revoked " + id + " of tenant acme"},
		{"revoke " + id, exitFailed, "nothing to revoke"},
		{"revoke --tenant=b --scope=query", exitFailed, "nothing to revoke"},
		{"revoke --tenant=b", exitOK, "of tenant b"},
		{"revoke", exitUsage, "name ids of keys, or --tenant"},
		{"revoke --scope=query", exitUsage, "name ids of keys, or --tenant"},
		{"create --tenant=A --scope=query", exitUsage, "use a-z"},
		{"create --tenant=a --scope=root", exitUsage, `scope "root"`},
		{"create --tenant=a --scope=query --expires=-1s", exitUsage, "--expires"},
		{"create --tenant=a", exitUsage, "--scope"},
		{"create --tenant=a --scope=collect --type=t --origin=https://a.example", exitOK, "may collect"},
		{"create --tenant=a --scope=collect,query --type=t --origin=*", exitUsage, "make two keys"},
		{"create --tenant=a --scope=collect --origin=*", exitUsage, "event types"},
		{"create --tenant=a --scope=collect --type=t", exitUsage, "origins of the pages"},
		{"create --tenant=a --scope=collect --type=t --origin=a.example", exitUsage, "as browsers send it"},
		{"create --tenant=a --scope=collect --type=t --origin=* --rate=0", exitUsage, "more than 0"},
		{"create --tenant=a --scope=query --type=t", exitUsage, "--scope collect alone"},
		{"list", exitOK, "t from https://a.example, 100/s"},
	} {
		code, stdout, stderr := command(t, append(append([]string{"keys"}, strings.Fields(c.line)...), file)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("keys %s: exit code %d, want %d saying %q:\n%s%s", c.line, code, c.code, c.says, stdout, stderr)
		}
	}
	if code, _, stderr := command(t, "keys", "revoke", "--keys-file=nothing.json", id); code != exitFailed ||
		!strings.Contains(stderr, "nothing.json: no such file") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, _, stderr := command(t, "keys", "list"); code != exitUsage ||
		!strings.Contains(stderr, "which keys file?") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, _, stderr := command(t, "jobs", "list", "--server=http://127.0.0.1:1",
		"--key-file="+path); code != exitUsage || !strings.Contains(stderr, "is it the right file?") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
