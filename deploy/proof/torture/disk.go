package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// volumes are the folders of a data_dir that are filled, each on a small file system of its own.
var volumes = []string{"log", "s3", "speed", "clickhouse"}

const volumeBytes = 192 << 20

// cannotMount says why this machine has no small file systems for us.
func cannotMount() string {
	dir, err := os.MkdirTemp("", "recount-mount-")
	if err != nil {
		return err.Error()
	}
	defer os.Remove(dir)
	if err := syscall.Mount("torture", dir, "tmpfs", 0, "size=64k"); err != nil {
		return fmt.Sprintf("no tmpfs can be mounted here: %v", err)
	}
	if err := syscall.Unmount(dir, 0); err != nil {
		return err.Error()
	}
	return ""
}

// diskRound fills volumes of a running server, one after the other. Meanwhile it may refuse
// events but must not promise what it cannot keep; with space again it goes on, by itself
// or after a restart.
func diskRound(ctx context.Context, w *world) error {
	if err := w.open(ctx, 1, false); err != nil {
		return err
	}
	s := w.servers[0]
	for _, v := range volumes {
		if err := w.mount(filepath.Join(s.dir, v)); err != nil {
			return err
		}
	}
	if err := s.up(ctx); err != nil {
		return err
	}
	w.load.start(ctx)
	n := len(volumes)
	if w.h.short {
		n = 1
	}
	for range n {
		if err := w.fill(ctx, s, w.h.volumes.take()); err != nil {
			return err
		}
	}
	return w.end(ctx)
}

func (w *world) mount(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := syscall.Mount("torture", dir, "tmpfs", 0, fmt.Sprintf("size=%d", volumeBytes)); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	w.onClose = append(w.onClose, func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			w.say("unmount %s: %v", dir, errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)))
		}
	})
	return nil
}

// fill fills a volume for a while.
func (w *world) fill(ctx context.Context, s *server, volume string) error {
	if err := pause(ctx, w.between(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
		return err
	}
	ballast := filepath.Join(s.dir, volume, "ballast")
	if err := fillWith(ballast); err != nil {
		return err
	}
	w.h.report.fault("disk full: " + volume)
	acked := w.acked()
	retried := w.retried()
	if err := pause(ctx, w.between(3*time.Second, 4*time.Second)); err != nil {
		return err
	}
	took := w.acked() - acked
	again := w.retried() - retried
	ready := s.ready(ctx)
	for end := time.Now().Add(answerLimit); volume == "log" && ready == nil &&
		time.Now().Before(end); ready = s.ready(ctx) {
		if err := pause(ctx, 100*time.Millisecond); err != nil { // Somebody has to write before it is known.
			return err
		}
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if volume == "log" && ready == nil {
		return errors.New("the log's disk is full and /readyz says that all is well")
	}
	how := "by itself"
	if !w.goesOn(ctx, 8*time.Second) {
		how = "after a restart"
		s.kill()
		if err := s.up(ctx); err != nil {
			return fmt.Errorf("restart with space on %s again: %w", volume, err)
		}
		if !w.goesOn(ctx, answerLimit) {
			return fmt.Errorf("nothing is accepted after a restart with space on %s again", volume)
		}
	}
	w.say("%s full: %d events acknowledged, %d requests refused, readyz %v; went on %s", volume, took, again, ready,
		how)
	return nil
}

// fillWith writes a file until the disk is full.
func fillWith(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0 && err == nil; {
		if _, err = f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size = size / 4
			err = nil
		}
	}
	return errors.Join(err, f.Close())
}

// ready is what /readyz has to complain of.
func (s *server) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := askClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // The status says it.
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", resp.StatusCode, raw)
	}
	return nil
}

// goesOn reports whether events are acknowledged again within the time.
func (w *world) goesOn(ctx context.Context, within time.Duration) bool {
	before := w.acked()
	return eventually(ctx, within, func() error {
		if w.acked()-before < 10*loadBatch {
			return errors.New("no acknowledgements")
		}
		return nil
	}) == nil
}
