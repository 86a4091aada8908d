package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestShop runs the demonstration of make demo-web, with a stand-in for the desktop's opener of pages, and uses it in a
// browser. An interrupt ends it, and it leaves no file.
func TestShop(t *testing.T) {
	t.Parallel()
	chromium := findBrowser(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "shop")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../shop")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	opened := filepath.Join(dir, "opened")
	writeFile(t, filepath.Join(dir, "xdg-open"), fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$1\" >>%s\n", opened))
	if err := os.Chmod(filepath.Join(dir, "xdg-open"), 0o700); err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(dir, "temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	logs := output(filepath.Join(dir, "log"))
	stop := startShop(t, program, logs, "PATH="+dir+":"+os.Getenv("PATH"), "TMPDIR="+temp)

	var counts, shop string
	if err := eventually(t.Context(), func() error {
		raw, err := os.ReadFile(opened)
		for url := range strings.FieldsSeq(string(raw)) {
			if strings.Contains(url, "#") {
				counts = url
			} else {
				shop = url
			}
		}
		if counts == "" || shop == "" {
			return errors.Join(err, fmt.Errorf("it opened %q", raw))
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	node := exec.CommandContext(t.Context(), "node", "--test", filepath.Join("browser", "shop.mjs"))
	node.Dir = pageSources
	node.Env = append(os.Environ(), "RECOUNT_CHROMIUM="+chromium, "RECOUNT_SHOP="+shop, "RECOUNT_SHOP_COUNTS="+counts)
	if out, err := node.CombinedOutput(); err != nil {
		t.Errorf("node: %v\n%s", err, out)
	}
	if err := stop(); err != nil {
		t.Errorf("after an interrupt: %v\n%s", err, logs)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

// startShop starts the demonstration. The function that it returns interrupts it as a terminal does, and waits.
func startShop(t *testing.T, program string, logs output, env ...string) (stop func() error) {
	t.Helper()
	log, err := os.Create(string(logs))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, binary)
	cmd.Dir = filepath.Join("..", "..", "..") // the checkout, in which recount finds its engine
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout = log
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // It has ended, unless the test failed.
	return func() error {
		return errors.Join(syscall.Kill(-cmd.Process.Pid, syscall.SIGINT), <-done)
	}
}
