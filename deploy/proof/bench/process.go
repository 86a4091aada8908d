package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a process that is measured.
type process struct {
	cmd  *exec.Cmd
	logs bytes.Buffer
}

// command returns a command that runs in a folder. The end of the context kills it.
func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd
}

// stop ends the process with SIGTERM and waits for its end.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // It may have ended already.
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", p.cmd.Path, err, &p.logs)
	}
	return nil
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended already.
	_ = p.cmd.Wait()
}

// clockTick is the unit of processor time in /proc, on every platform of Linux.
const clockTick = 10 * time.Millisecond

// cpu returns the processor time that the process has used so far.
func (p *process) cpu() time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(user+system) * clockTick
}

// resetPeak lets peakMiB begin again. Where the kernel does not allow it, the peak is that of the whole life.
func (p *process) resetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}

// peakMiB is the largest resident memory since resetPeak, and residentMiB is that of now.
func (p *process) peakMiB() float64     { return p.statusMiB("VmHWM:") }
func (p *process) residentMiB() float64 { return p.statusMiB("VmRSS:") }

// statusMiB returns a line of the process's status in MiB, or 0 where it is not known.
func (p *process) statusMiB(name string) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}
