package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"recount/deploy/client"
)

// verifyRate is the rate, in events a second, at which BenchmarkVerify produces its events.
const verifyRate = 40_000

// BenchmarkVerify measures the time and the peak memory of recount verify over a stopped server's
// data and a client's acknowledgement log. About 250 MiB of the memory are the embedded
// ClickHouse's.
func BenchmarkVerify(b *testing.B) {
	for _, seconds := range []int{5, 25, 75} {
		b.Run(fmt.Sprintf("%dk", verifyRate*seconds/1000), func(b *testing.B) {
			dir := b.TempDir()
			acks := filepath.Join(dir, "acks")
			p := startTestServer(b, dir, strings.Replace(shapes()[0].configuration(), `recompute: {schedule: ""}`,
				`recompute: {schedule: "@every 5s"}`, 1))
			out, err := recountCommand(b, "load", "--url", p.url, "--rate", fmt.Sprint(verifyRate), "--duration",
				fmt.Sprint(seconds, "s"),
				"--retry", "--duplicates", "0.05", "--late", "0.1", "--malformed", "0.001", "--answers", "0.3",
				"--ack-log", acks).CombinedOutput()
			if err != nil {
				p.kill()
				b.Fatalf("recount load: %v\n%s", err, out)
			}
			publishAll(b, p)
			must(b, p.stop())
			peak := int64(0)
			b.ResetTimer()
			for range b.N {
				cmd := recountCommand(b, "verify", "--config", filepath.Join(dir, "recount.yaml"), "--data-dir",
					filepath.Join(dir, "data"), "--ack-log", acks)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("recount verify: %v\n%s", err, out)
				}
				peak = max(peak, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
			}
			b.ReportMetric(float64(peak)/1024, "peakMiB")
		})
	}
}

// recountCommand returns a command of the program that is not started yet.
func recountCommand(b *testing.B, args ...string) *exec.Cmd {
	b.Helper()
	program, err := built()
	must(b, err)
	return command(b.Context(), program.root, program.path, args...)
}

// publishAll runs the job recompute several times, so that all events have time to land before the
// last run.
func publishAll(b *testing.B, p *server) {
	b.Helper()
	for range 3 {
		time.Sleep(2 * time.Second)
		_, err := connect(b, client.Config{URL: p.url}).RunJob(context.Background(), "recompute")
		var refused *client.Problem
		if err != nil && !errors.As(err, &refused) { // A run that is running already is as good.
			b.Fatal(err)
		}
	}
}
