package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// guardTerminal returns out, or if out is a terminal, a writer that shows what the terminal would obey. Events choose
// texts that commands print, and a terminal obeys the escapes in them. A file or a pipe gets the bytes unchanged.
func guardTerminal(out *os.File) io.Writer {
	if info, err := out.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return out
	}
	return &terminal{out: out}
}

// unguarded returns what guardTerminal was given, for a command that draws and prints no text of others.
func unguarded(out io.Writer) io.Writer {
	if t, ok := out.(*terminal); ok {
		return t.out
	}
	return out
}

// terminal escapes control characters in what is written to it, except those of the layout: newline and tab.
type terminal struct {
	out  io.Writer
	rest []byte // rest is what wholeLength leaves out.
}

func (t *terminal) Write(p []byte) (int, error) {
	text := append(t.rest, p...)
	end := wholeLength(text)
	lines := strings.ReplaceAll(string(text[:end]), "\r\n", "\n")
	_, err := io.WriteString(t.out, escape(lines, "\n\t"))
	t.rest = append(t.rest[:0], text[end:]...)
	return len(p), err
}

// wholeLength returns the length of text without the begin of a character or of a line end of two bytes.
func wholeLength(text []byte) int {
	for back := 1; back <= min(len(text), utf8.UTFMax); back++ {
		end := len(text) - back
		if last := text[end:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) && last[0] != '\r' {
				return len(text)
			}
			return end
		}
	}
	return len(text)
}

// escapeControls escapes the characters that a terminal would obey instead of show.
func escapeControls(text string) string { return escape(text, "") }

// escape escapes control characters, except those in kept.
func escape(text, kept string) string {
	var out strings.Builder
	for _, r := range text {
		if strconv.IsGraphic(r) || strings.ContainsRune(kept, r) {
			out.WriteRune(r)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return out.String()
}
