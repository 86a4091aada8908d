package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// volumes are the folders of a data_dir that the disk round fills. Each is a small file system.
var volumes = []string{"log", "s3", "speed", "clickhouse"}

const volumeBytes = 192 << 20

// mountProblem says why this machine cannot mount small file systems; it is empty where it can.
func mountProblem() string {
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

// diskRound fills the volumes of a running server, one after the other. While a volume is full
// the server may refuse events, but must not acknowledge events that it loses. Once there is
// space again it continues, by itself or after a restart.
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
	if err := s.start(ctx); err != nil {
		return err
	}
	w.load.start(ctx)
	n := len(volumes)
	if w.h.short {
		n = 1
	}
	for range n {
		if err := w.fill(ctx, s, w.h.volumes.draw()); err != nil {
			return err
		}
	}
	return w.finish(ctx)
}

// mount mounts a small file system at dir until the world is closed.
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

// fill fills a volume for a few seconds and checks how the server continues.
func (w *world) fill(ctx context.Context, s *server, volume string) error {
	if err := sleep(ctx, w.randomDuration(500*time.Millisecond, 1500*time.Millisecond)); err != nil {
		return err
	}
	ballast := filepath.Join(s.dir, volume, "ballast")
	if err := fillWith(ballast); err != nil {
		return err
	}
	w.h.report.fault("disk full: " + volume)
	ackedBefore := w.acked()
	retriedBefore := w.retried()
	if err := sleep(ctx, w.randomDuration(3*time.Second, 4*time.Second)); err != nil {
		return err
	}
	acked := w.acked() - ackedBefore
	retried := w.retried() - retriedBefore
	ready := s.ready(ctx)
	for end := time.Now().Add(answerLimit); volume == "log" && ready == nil &&
		time.Now().Before(end); ready = s.ready(ctx) {
		if err := sleep(ctx, 100*time.Millisecond); err != nil { // The server notices at the next write.
			return err
		}
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if volume == "log" && ready == nil {
		return errors.New("the log's volume is full, but /readyz answers 200")
	}
	how := "by itself"
	if !w.acknowledgesWithin(ctx, 8*time.Second) {
		how = "after a restart"
		if err := s.healthy(ctx); err == nil {
			return fmt.Errorf("volume %s has space again, but the server accepts no events, and /healthz asks for no "+
				"restart", volume)
		}
		s.kill()
		if err := s.start(ctx); err != nil {
			return fmt.Errorf("restart after volume %s had been full: %w", volume, err)
		}
		if !w.acknowledgesWithin(ctx, answerLimit) {
			return fmt.Errorf("volume %s has space again, but the restarted server accepts no events", volume)
		}
	}
	answer := "ready"
	if ready != nil {
		answer = ready.Error()
	}
	w.say("volume %s was full: %d events acknowledged, %d requests refused, /readyz: %s; it continued %s",
		volume, acked, retried, answer, how)
	return nil
}

// fillWith writes a file until its volume is full.
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

// ready returns the problem that /readyz reports, or nil.
func (s *server) ready(ctx context.Context) error { return s.asker.Ready(ctx) }

// healthy returns why /healthz does not answer 200, or nil.
func (s *server) healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// acknowledgesWithin reports whether events are acknowledged again within the given time.
func (w *world) acknowledgesWithin(ctx context.Context, within time.Duration) bool {
	before := w.acked()
	return eventually(ctx, within, func() error {
		if w.acked()-before < 10*loadBatch {
			return errors.New("too few events were acknowledged")
		}
		return nil
	}) == nil
}
