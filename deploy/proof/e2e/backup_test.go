package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"recount/deploy/embedded/chdb"
)

// backupConfig publishes on request only, so that a backup holds events in every stage: published, landed, in the log.
const backupConfig = `
data_dir: ./recount-data
log: {partitions: 2}
landing: {cut_interval: 200ms}
` + hitsByUser + `jobs:
  recompute: {schedule: ""}
`

// TestBackup plays the steps that OPERATIONS.md gives for the embedded engines, as they stand there: a backup, and
// its restore after the original has gone on and was then damaged.
func TestBackup(t *testing.T) {
	t.Parallel()
	backup, restore := documentedSteps(t)
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), backupConfig)
	data := filepath.Join(dir, "recount-data")
	up := func() *server {
		s, err := launch(dir, config, "127.0.0.1:0", "--data-dir", data)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.kill)
		return s
	}
	srv := up()
	sendHits(t, srv, 0, 1000)
	expectHits(t, srv, "merged", 1000)
	if err := runJob(t.Context(), srv.url, "recompute"); err != nil {
		t.Fatal(err)
	}
	sendHits(t, srv, 1000, 1500)
	expectHits(t, srv, "merged", 1500)
	play(t, dir, srv.cmd.Process.Pid, backup)

	srv = up()
	sendHits(t, srv, 1500, 2000)
	expectHits(t, srv, "merged", 2000)
	srv.kill()
	if err := os.RemoveAll(filepath.Join(data, "s3")); err != nil {
		t.Fatal(err)
	}
	play(t, dir, 0, restore)
	srv = up()
	expectHits(t, srv, "merged", 1500)
	sendHits(t, srv, 1500, 2000) // Clients send again what was not acknowledged for them.
	expectHits(t, srv, "merged", 2000)
}

// documentedSteps returns the commands of a backup and of a restore in OPERATIONS.md.
func documentedSteps(t *testing.T) (backup, restore string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## How do I back it up and restore it?")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, 2)
	if len(blocks) != 2 || !strings.Contains(blocks[0][1], "backup") || !strings.Contains(blocks[1][1], "backup") {
		t.Fatal("OPERATIONS.md does not give the commands of a backup and of a restore")
	}
	return blocks[0][1], blocks[1][1]
}

// play runs commands in dir, where recount is the program under test and pid is the running server.
func play(t *testing.T, dir string, pid int, commands string) {
	t.Helper()
	library, err := chdb.Find("")
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-euc", commands)
	shell.Dir = dir
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "pid="+strconv.Itoa(pid),
		"RECOUNT_CLICKHOUSE_LIBRARY="+library)
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, commands, out)
	}
}
