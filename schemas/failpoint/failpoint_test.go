//go:build failpoints

package failpoint

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestScriptKills runs this test again as a child whose script ends it at the second pass.
func TestScriptKills(t *testing.T) {
	if os.Getenv(ScriptEnv) != "" {
		Point("a.b.before")
		Point("a.b.before")
		os.Exit(0)
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestScriptKills$")
	cmd.Env = append(os.Environ(), ScriptEnv+"=a.b.before=kill:2")
	var said bytes.Buffer
	cmd.Stderr = &said
	_ = cmd.Run() // The state below says more than the error.
	if w := cmd.ProcessState.Sys().(syscall.WaitStatus); !w.Signaled() || w.Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v, want SIGKILL", cmd.ProcessState)
	}
	if want := "killed at a.b.before, pass 2"; !strings.Contains(said.String(), want) {
		t.Errorf("said %q, want %q", said.String(), want)
	}
}

func TestScriptRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"a", "a=explode", "a=kill:0", "a=kill:x", "a=delay:1", "a=delay:1:soon"} {
		if Script(s) == nil {
			t.Errorf("%q was accepted", s)
		}
	}
	if err := Script("x.y.after=kill:7,x.z.after=delay:2:1ms"); err != nil {
		t.Error(err)
	}
}

func TestClockFollowsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	t.Setenv(ClockEnv, file)
	for _, want := range []time.Duration{0, 3 * time.Hour, -2 * time.Hour} {
		if err := os.WriteFile(file, []byte(want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		readOffset(file)
		if got := time.Until(Now()).Round(time.Minute); got != want {
			t.Errorf("%s ahead, want %s", got, want)
		}
	}
}
