package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"recount/deploy/client"
)

type watchCmd struct {
	queryCmd
	Every time.Duration `default:"2s" help:"Time between two answers, from 1s to 1h."`
	Times int           `placeholder:"N" help:"End after so many answers; else with Ctrl-C."`
	Wait  time.Duration `default:"2m" help:"How long to wait for a server that does not answer, up to 1h."`
}

// Help is the second part of the command's help.
func (c *watchCmd) Help() string {
	return "On a terminal each answer replaces the one before. Elsewhere answers follow each other, in the format " +
		"table with a line of the time before each. Ctrl-C ends with exit code 0. A server that restarts is waited for."
}

// Run asks again and again until Ctrl-C.
func (c *watchCmd) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	server, err := c.connect(client.Config{OnRetry: func(failure error) error { return failure }})
	if err != nil {
		return err
	}
	defer server.Close()
	w := &watch{cmd: c, server: server, std: std, screen: newScreen(std.out), began: time.Now()}
	err = w.run(ctx)
	fmt.Fprintf(std.err, "watched for %s: %s\n", time.Since(w.began).Round(time.Second), w.summary())
	return err
}

func (c *watchCmd) check() error {
	switch _, err := c.parameters(); {
	case err != nil:
		return err
	case c.Every < time.Second || c.Every > time.Hour:
		return fmt.Errorf("--every %s: use 1s to 1h", c.Every)
	case c.Wait < 0 || c.Wait > time.Hour:
		return fmt.Errorf("--wait %s: use 0s to 1h", c.Wait)
	case c.Times < 0:
		return errors.New("--times must be at least 1")
	}
	return nil
}

// watch is the state of the command.
type watch struct {
	cmd     *watchCmd
	server  *client.Client
	std     streams
	screen  *screen
	began   time.Time
	answers int
	failed  int
	// since is when the server did not answer for the first time after its last answer. It is zero while it answers.
	since time.Time
}

func (w *watch) summary() string {
	text := count(w.answers, "answer")
	if w.failed > 0 {
		text += fmt.Sprintf(", and no answer to %d further questions", w.failed)
	}
	return text
}

// run returns nil when ctx ends, because a person ends a watch so.
func (w *watch) run(ctx context.Context) error {
	ticks := time.NewTicker(w.cmd.Every)
	defer ticks.Stop()
	for {
		err := w.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case w.cmd.Times > 0 && w.answers >= w.cmd.Times:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		case <-w.timeout():
		}
	}
}

// timeout returns a channel for the end of --wait, or nil while the server answers. The last question is asked then,
// so the command does not wait for a later tick.
func (w *watch) timeout() <-chan time.Time {
	if w.since.IsZero() {
		return nil
	}
	return time.After(w.cmd.Wait - time.Since(w.since))
}

// ask asks once. A failure that may pass is shown, until it lasts for too long.
func (w *watch) ask(ctx context.Context) error {
	values, err := w.cmd.parameters()
	if err != nil {
		return usageError{err}
	}
	w.screen.fit()
	var text bytes.Buffer
	var remarks bytes.Buffer
	answer, err := w.server.QueryParameters(ctx, values, w.cmd.accept())
	if err == nil {
		err = w.cmd.print(&text, w.screen.canvas, answer)
		printAccuracy(&remarks, &answer.Accuracy)
		_ = answer.Close() // It was read, or the error says why not.
	}
	switch {
	case err == nil:
		w.answers++
		w.since = time.Time{}
		return w.show(text.Bytes(), remarks.String())
	case ctx.Err() != nil || !mayPass(err):
		return explain(err)
	}
	w.failed++
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	silent := now.Sub(w.since)
	if silent >= w.cmd.Wait {
		return fmt.Errorf("the server did not answer for %s (--wait): %w", silent.Round(time.Second), explain(err))
	}
	fmt.Fprintf(w.std.err, "waiting for the server, at most %s more: %v\n",
		(w.cmd.Wait - silent).Round(time.Second), explain(err))
	w.screen.forget()
	return nil
}

// mayPass reports whether a later question may be answered: the server restarts, is busy or not ready, or the next
// recompute fills the view. Only then a refusal with 409 says when to ask again: as_of names a publication for ever.
func mayPass(err error) bool {
	var problem *client.Problem
	var usage usageError
	if errors.As(err, &problem) {
		return problem.Status >= http.StatusInternalServerError || problem.Status == http.StatusTooManyRequests ||
			problem.Status == http.StatusConflict && problem.RetryAfter > 0
	}
	return !errors.As(err, &usage)
}

func (w *watch) show(text []byte, remarks string) error {
	head := time.Now().UTC().Format(time.DateTime) + " UTC, every " + w.cmd.Every.String() + ", Ctrl-C ends\n"
	if w.screen.height > 0 {
		if !w.cmd.Plot {
			text = []byte(escape(string(text), "\n\t"))
		}
		return w.screen.draw(head + string(text) + remarks)
	}
	if w.cmd.Format != "table" {
		head = ""
	}
	if _, err := io.WriteString(w.std.out, head+string(text)); err != nil || w.cmd.Format == "json" {
		return err // The JSON answer contains its accuracy.
	}
	_, err := io.WriteString(w.std.err, remarks)
	return err
}

// screen replaces what it has drawn, by moving the cursor up. A screen that is no terminal has no height.
type screen struct {
	*canvas
	lines int // that were drawn, and are above the cursor
}

func newScreen(out io.Writer) *screen { return &screen{canvas: newCanvas(out)} }

// forget leaves what was drawn where it is, because something else was printed below it.
func (s *screen) forget() { s.lines = 0 }

// fit takes the present size of the terminal. A change may have wrapped the lines that were drawn, so they stay.
func (s *screen) fit() {
	width := s.width
	if s.measure() && s.width != width {
		s.forget()
	}
}

// draw draws lines in place of those before. Lines that do not fit are cut off, because a line that wraps is two.
func (s *screen) draw(text string) error {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if most := max(s.height-1, 2); len(lines) > most {
		left := len(lines) - most + 1
		lines = append(lines[:most-1], fmt.Sprintf("… and %s", count(left, "further line")))
	}
	var out strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&out, "\x1b[%dA\r", s.lines)
	}
	out.WriteString("\x1b[J")
	for _, line := range lines {
		out.WriteString(cutLine(line, s.width) + "\n")
	}
	s.lines = len(lines)
	_, err := io.WriteString(s.out, out.String())
	return err
}

var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// cutLine cuts a line to the width of a terminal. Escapes of colours have none, and all of them stay.
func cutLine(line string, width int) string {
	escapes := colours.FindAllString(line, -1)
	if utf8.RuneCountInString(colours.ReplaceAllString(line, "")) <= width {
		return line
	}
	var out strings.Builder
	room := width - 1
	for i, text := range colours.Split(line, -1) {
		signs := []rune(text)
		signs = signs[:min(len(signs), room)]
		room -= len(signs)
		out.WriteString(string(signs))
		if i < len(escapes) {
			out.WriteString(escapes[i])
		}
	}
	return out.String() + "…"
}
