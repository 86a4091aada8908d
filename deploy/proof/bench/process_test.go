package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
)

// programDir is the folder of the built program; it is empty before program is called.
var programDir string

// program builds recount once and returns its path. Benchmarks that kill or overload a server need
// it as a separate process.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "recount-bench-")
	if err != nil {
		return "", err
	}
	programDir = dir
	path := filepath.Join(dir, "recount")
	if out, err := exec.Command("go", "build", "-o", path, "recount/deploy/recount").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build recount: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir) // The folder is temporary.
	}
	os.Exit(code)
}

// process is a server that runs as a separate process.
type process struct {
	url  string
	cmd  *exec.Cmd
	logs bytes.Buffer
	out  io.ReadCloser
}

var urlLine = regexp.MustCompile(`on (http://[^ ,]+)`)

func startProcess(b *testing.B, dir, config string) *process {
	b.Helper()
	path, err := program()
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(dir, "recount.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, "up", "--config", file, "--data-dir", filepath.Join(dir, "data"), "--listen",
		"127.0.0.1:0", "--log-level", "error")}
	p.cmd.Dir = filepath.Join("..", "..", "..")
	p.cmd.Stderr = &p.logs
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(p.out).ReadString('\n')
	m := urlLine.FindStringSubmatch(line)
	if m == nil {
		p.kill()
		b.Fatalf("recount up printed %q and no address, %v: %s", line, err, &p.logs)
	}
	p.url = m[1]
	return p
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended already.
	_ = p.cmd.Wait()
}

// residentMiB returns the resident memory of the process in MiB, or 0 where it is not known.
func (p *process) residentMiB() float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(raw)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseFloat(string(fields[1]), 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}
