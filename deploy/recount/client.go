package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"recount/deploy/client"
	"recount/schemas/instant"
)

// serverFlag names the server that a client command calls, and the API key for it.
type serverFlag struct {
	Server string `default:"${default_server}" env:"RECOUNT_SERVER" placeholder:"URL" help:"Or $$${env} or ${default}."`
	keyFlag
}

// keyFlag finds the API key, in the same way for every command. There is no flag with the key itself, because every
// user of a machine can read the arguments of its processes.
type keyFlag struct {
	KeyFile string `env:"RECOUNT_KEY_FILE" placeholder:"FILE" help:"Or $$${env}, or key in $$RECOUNT_KEY."`
}

// maxKey is how many bytes of a key file are read at most.
const maxKey = 1024

// key returns the API key, or the empty string when none is given.
func (f keyFlag) key() (string, error) {
	text := os.Getenv("RECOUNT_KEY")
	if f.KeyFile != "" {
		file, err := os.Open(f.KeyFile)
		if err != nil {
			return "", fmt.Errorf("--key-file: %w", err)
		}
		defer file.Close()
		raw, err := io.ReadAll(io.LimitReader(file, maxKey))
		if err != nil {
			return "", fmt.Errorf("--key-file: %w", err)
		}
		text = string(raw)
	}
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usageError{errors.New("the API key holds characters that no key has; is it the right file?")}
	}
	return text, nil
}

// defaultServer is the server that a command without flags calls.
func defaultServer() serverFlag {
	address := cmp.Or(os.Getenv("RECOUNT_SERVER"), defaultAddress)
	return serverFlag{address, keyFlag{os.Getenv("RECOUNT_KEY_FILE")}}
}

// differs returns the flag that a command needs to call this server, or nothing if it does so without one.
func (f serverFlag) differs() string {
	if f.Server == defaultServer().Server {
		return ""
	}
	return " --server " + f.Server
}

// defaultAddress is that of recount up.
const defaultAddress = "http://127.0.0.1:8080"

// timeFlag is a time on the command line.
type timeFlag struct{ time.Time }

// UnmarshalText reads RFC 3339.
func (f *timeFlag) UnmarshalText(text []byte) (err error) {
	if f.Time, err = instant.Time(string(text)); err != nil {
		return fmt.Errorf("%q %w", text, err)
	}
	return nil
}

// narrowing is a text that makes a command apply to less. An empty one is refused, because it is mostly a variable of
// the shell that is not set, and the command would apply to everything.
type narrowing string

// UnmarshalText reads a text that is not empty.
func (n *narrowing) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("it is empty; give a value, or leave the flag out")
	}
	*n = narrowing(text)
	return nil
}

// connect returns a client for the server.
func (f serverFlag) connect(cfg client.Config) (*client.Client, error) {
	key, err := f.key()
	if err != nil {
		return nil, err
	}
	cfg.URL = f.Server
	cfg.Key = key
	cfg.UserAgent = "recount"
	c, err := client.New(cfg)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// fetch returns the answer to a call. Its error is worded for the user.
func fetch[T any](f serverFlag, call func(*client.Client) (T, error)) (answer T, err error) {
	return fetchAloud(f, io.Discard, call)
}

// fetchAloud is fetch that says once what it waits for if the server cannot answer yet.
func fetchAloud[T any](f serverFlag, errw io.Writer, call func(*client.Client) (T, error)) (answer T, err error) {
	said := false
	c, err := f.connect(client.Config{OnRetry: func(failure error) error {
		var problem *client.Problem
		if !said && errors.As(failure, &problem) && problem.Status == http.StatusConflict {
			fmt.Fprintf(errw, "waiting: %s\n", escape(problem.Detail, ""))
			said = true
		}
		return impatient(failure)
	}})
	if err != nil {
		return answer, err
	}
	defer c.Close()
	answer, err = call(c)
	return answer, explain(err)
}

// maxPause is the longest Retry-After that a user waits for without being asked.
const maxPause = 10 * time.Second

// impatient ends a call when another try would not help, or when the server asks for a longer wait than maxPause.
func impatient(failure error) error {
	var problem *client.Problem
	if errors.Is(failure, syscall.ECONNREFUSED) || errors.As(failure, &problem) && problem.RetryAfter > maxPause {
		return failure
	}
	return nil
}

// explain words the error of a call for the user. A refusal becomes its detail. An error of the network gets a hint.
func explain(err error) error {
	var problem *client.Problem
	var network *net.OpError
	switch {
	case errors.As(err, &problem) && len(problem.Reasons) > 0:
		return fmt.Errorf("%s (status %d, code %q)\n\t%s", problem.Detail, problem.Status, problem.Code,
			strings.Join(problem.Reasons, "\n\t"))
	case errors.As(err, &problem) && problem.Field != "":
		return fmt.Errorf("%s: %s (status %d, code %q)", problem.Field, problem.Detail, problem.Status, problem.Code)
	case errors.As(err, &problem):
		return fmt.Errorf("%s (status %d, code %q)", problem.Detail, problem.Status, problem.Code)
	case errors.As(err, &network):
		return noServer(err)
	}
	return err
}

// noServer adds a hint to the error of a request that reached no server.
func noServer(err error) error { return fmt.Errorf("%w (is a server running? try: recount up)", err) }
