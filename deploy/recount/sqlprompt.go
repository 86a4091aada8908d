package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"
)

const (
	prompt     = "recount> "
	morePrompt = "      -> "
)

// sqlHelp is what .help prints.
const sqlHelp = `.tables         list the tables
.schema TABLE   list the columns of a table
.format FORMAT  table, csv, json, ndjson, tsv, or a name of ClickHouse's
.help           this list
.quit           leave; so does Ctrl-D
A statement ends with a semicolon. Ctrl-C ends recount while a statement runs.
`

// interact asks for statements at a terminal until the user leaves. An error of one is printed, and the next is asked
// for.
func (c *sqlCmd) interact(ctx context.Context, std streams, keyboard *os.File) error {
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keyboard, unguarded(std.out)}, prompt)
	history := openHistory()
	defer history.close()
	t.History = history
	fmt.Fprintln(std.err, "SQL over the views; .help lists commands")
	for ctx.Err() == nil {
		statement, err := readStatement(keyboard, t)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the terminal: %w", err)
		case statement == ".quit" || statement == ".exit":
			return nil
		}
		if err := c.obey(ctx, std, statement); err != nil {
			fmt.Fprintln(std.err, "recount:", err)
		}
	}
	return nil
}

// readStatement reads lines until one ends a statement. Only meanwhile the terminal has no signals and no line ends of
// its own.
func readStatement(keyboard *os.File, t *term.Terminal) (string, error) {
	state, err := term.MakeRaw(int(keyboard.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(int(keyboard.Fd()), state) }()
	t.SetPrompt(prompt)
	var lines []string
	for {
		line, err := t.ReadLine()
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			return "", err
		}
		lines = append(lines, line)
		statement := strings.TrimSpace(strings.Join(lines, "\n"))
		switch {
		case statement == "":
			lines = nil
		case strings.HasSuffix(statement, ";") || strings.HasPrefix(statement, "."):
			return statement, nil
		default:
			t.SetPrompt(morePrompt)
		}
	}
}

// obey runs a statement, or a command that begins with a dot.
func (c *sqlCmd) obey(ctx context.Context, std streams, statement string) error {
	if !strings.HasPrefix(statement, ".") {
		return c.run(ctx, std, statement)
	}
	word, argument, _ := strings.Cut(strings.TrimSuffix(statement, ";"), " ")
	argument = strings.TrimSpace(argument)
	asTable := *c
	asTable.Format = "table"
	switch {
	case word == ".tables":
		return asTable.run(ctx, std, "SHOW TABLES")
	case word == ".schema" && argument != "":
		return asTable.run(ctx, std, "SELECT name, type, nullIf(comment, '') AS comment FROM system.columns "+
			"WHERE table = '"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(argument)+"' ORDER BY position")
	case word == ".format" && argument != "":
		c.Format = argument
		return nil
	}
	_, err := io.WriteString(std.out, sqlHelp)
	return err
}

// maxHistory is how many lines are remembered, and maxHistoryFile how many the file may have when a prompt begins. Then
// the latest are written again, without the others.
const (
	maxHistory     = 1000
	maxHistoryFile = 10_000
)

// history is the lines that were typed, oldest first. It is kept in a file of the user, unless there is no place for
// one: a history that is lost is no reason not to answer.
type history struct {
	entries []string
	file    *os.File
}

func openHistory() *history {
	h := &history{}
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return h
		}
		dir = filepath.Join(home, ".local", "state")
	}
	dir = filepath.Join(dir, "recount")
	if os.MkdirAll(dir, 0o700) != nil {
		return h
	}
	path := filepath.Join(dir, "sql_history")
	h.read(path)
	h.file, _ = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return h
}

// read reads the file, and shortens it if it is too long. Another file replaces it whole, so that a prompt that ends in
// the middle loses nothing.
func (h *history) read(path string) {
	f, err := os.Open(path)
	if err != nil {
		return // There is none yet.
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxStatement)
	n := 0
	for ; lines.Scan(); n++ {
		h.add(lines.Text())
	}
	if n <= maxHistoryFile && lines.Err() == nil {
		return
	}
	shorter := path + ".new"
	text := strings.Join(append(slices.Clone(h.entries), ""), "\n")
	if os.WriteFile(shorter, []byte(text), 0o600) == nil {
		_ = os.Rename(shorter, path)
	}
}

func (h *history) add(entry string) {
	if n := len(h.entries); n > 0 && h.entries[n-1] == entry {
		return
	}
	h.entries = append(h.entries, entry)
	h.entries = h.entries[max(0, len(h.entries)-maxHistory):]
}

// Add remembers a line, and appends it to the file.
func (h *history) Add(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	h.add(line)
	if h.file != nil {
		_, _ = fmt.Fprintln(h.file, line)
	}
}

// Len returns how many lines there are.
func (h *history) Len() int { return len(h.entries) }

// At returns a line; number 0 is the latest.
func (h *history) At(i int) string { return h.entries[len(h.entries)-1-i] }

func (h *history) close() {
	if h.file != nil {
		_ = h.file.Close()
	}
}
