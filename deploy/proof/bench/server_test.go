package main

import (
	"context"
	"os"
	"sync"
	"testing"

	"recount/deploy/client"
)

// programDir is the folder of the built program; it is empty before built is called.
var programDir string

// built builds recount once and returns its path and the checkout.
var built = sync.OnceValues(func() (program struct{ path, root string }, err error) {
	if program.root, err = checkout(); err != nil {
		return program, err
	}
	if programDir, err = os.MkdirTemp("", "recount-bench-"); err != nil {
		return program, err
	}
	program.path, err = build(context.Background(), program.root, programDir)
	return program, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir) // The folder is temporary.
	}
	os.Exit(code)
}

// must ends the benchmark if a step failed.
func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func startTestServer(b *testing.B, dir, configuration string) *server {
	b.Helper()
	program, err := built()
	must(b, err)
	s, err := startServer(b.Context(), program.root, program.path, dir, configuration)
	must(b, err)
	return s
}

// send sends every body and ends the benchmark if one is not accepted.
func send(b *testing.B, s *server, bodies [][]byte) {
	b.Helper()
	_, err := s.sendAll(bodies)
	must(b, err)
}

// connect returns a client that is closed when the benchmark ends.
func connect(b *testing.B, cfg client.Config) *client.Client {
	b.Helper()
	c, err := client.New(cfg)
	must(b, err)
	b.Cleanup(c.Close)
	return c
}
