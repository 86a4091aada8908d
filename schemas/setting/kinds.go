package setting

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

type integer interface{ ~int | ~int64 }

type number interface{ ~int | ~int64 | ~float64 }

// Bounds are the least and the largest value of a setting that is a number.
type Bounds struct {
	least, most int64
	zero        string // what 0 means, if it is allowed whatever least is
}

// AtLeast has no largest value.
func AtLeast[N integer](least N) Bounds { return Bounds{least: int64(least), most: math.MaxInt64} }

// Range includes both its ends.
func Range[N integer](least, most N) Bounds { return Bounds{least: int64(least), most: int64(most)} }

// OrZero allows 0 too, which means what is said, such as "no limit".
func (b Bounds) OrZero(means string) Bounds {
	b.zero = means
	return b
}

// describe writes the bounds for a person, with values as write writes them.
func (b Bounds) describe(write func(int64) string) string {
	text := write(b.least) + " to " + write(b.most)
	switch {
	case b.zero != "" && b.least <= 1 && b.most == math.MaxInt64:
		return "0 for " + b.zero
	case b.zero != "" && b.least <= 1:
		return fmt.Sprintf("0 for %s, or up to %s", b.zero, write(b.most))
	case b.most == math.MaxInt64:
		text = "at least " + write(b.least)
	}
	if b.zero != "" {
		return fmt.Sprintf("0 for %s, or %s", b.zero, text)
	}
	return text
}

func (b Bounds) include(v float64) bool {
	return v == 0 && b.zero != "" || v >= float64(b.least) && v <= float64(b.most)
}

// Duration is a length of time, such as 30s.
func Duration(key string, b Bounds, help string, field *time.Duration) Setting {
	return numeric(key, "duration", "", b, help, parseDuration, func(v int64) string {
		return FormatDuration(time.Duration(v))
	}, field)
}

// DurationOr is a length of time, or a word that means 0.
func DurationOr(word, key string, help string, field *time.Duration) Setting {
	s := Duration(key, AtLeast(0), help, field)
	s.Type = "duration or " + word
	s.Bounds = "more than 0s, or " + word
	s.set = func(text string) error {
		if text == word {
			*field = 0
			return nil
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is neither a duration such as 720h nor %s", text, word)
		}
		*field = d
		return nil
	}
	s.text = func() string {
		if *field == 0 {
			return word
		}
		return FormatDuration(*field)
	}
	return s
}

// Size is a number of bytes, such as 64MiB. It sets all fields and checks the first.
func Size[N number](key string, b Bounds, help string, fields ...*N) Setting {
	return numeric(key, "size", "bytes", b, help, ParseSize, FormatSize, fields...)
}

// Count is a whole number of what the unit says. It sets all fields and checks the first.
func Count[N integer](key, unit string, b Bounds, help string, fields ...*N) Setting {
	return numeric(key, "whole number", unit, b, help, parseCount, func(v int64) string {
		return strconv.FormatInt(v, 10)
	}, fields...)
}

func numeric[N number](key, kind, unit string, b Bounds, help string, parse func(string) (int64, error),
	write func(int64) string, fields ...*N) Setting {
	s := Setting{Path: strings.Split(key, "."), Type: kind, Unit: unit, Bounds: b.describe(write), Help: help}
	s.set = func(text string) error {
		v, err := parse(text)
		if err != nil {
			return err
		}
		for _, f := range fields {
			*f = N(v)
		}
		return nil
	}
	s.text = func() string { return write(int64(*fields[0])) }
	s.check = func() error {
		if !b.include(float64(*fields[0])) {
			return errors.New("use " + s.Bounds)
		}
		return nil
	}
	return s
}

// Rate is a number of what the unit says, with a fraction.
func Rate(key, unit string, b Bounds, help string, field *float64) Setting {
	s := numeric(key, "number", unit, b, help, nil, func(v int64) string { return strconv.FormatInt(v, 10) }, field)
	s.set = func(text string) error {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) {
			return fmt.Errorf("%q is not a number; write for example 1000 or 0.5", text)
		}
		*field = v
		return nil
	}
	s.text = func() string { return strconv.FormatFloat(*field, 'f', -1, 64) }
	return s
}

// Text is a text in the form that bounds describes. Check may be nil, if every text will do.
func Text(key, bounds string, check func(string) error, help string, field *string) Setting {
	return Setting{
		Path: strings.Split(key, "."), Type: "text", Bounds: bounds, Help: help,
		set: func(text string) error {
			*field = text
			return nil
		},
		text: func() string { return *field },
		check: func() error {
			if check == nil {
				return nil
			}
			return check(*field)
		},
	}
}

// Path is the name of a file or a folder. It is used as it is written, so a beginning that only a shell expands is
// refused: it would name a file called ~. Check may be nil.
func Path(key string, check func(string) error, help string, field *string) Setting {
	return Text(key, "a path without ~ or $ at its beginning", func(path string) error {
		if strings.HasPrefix(path, "~") || strings.HasPrefix(path, "$") {
			return fmt.Errorf("%q begins with what only a shell expands; write the whole path", path)
		}
		if check == nil {
			return nil
		}
		return check(path)
	}, help, field)
}

// Choice is one of some words.
func Choice(key string, words []string, help string, field *string) Setting {
	bounds := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	s := Text(key, bounds, func(text string) error {
		if !slices.Contains(words, text) {
			return errors.New("use " + bounds)
		}
		return nil
	}, help, field)
	s.Type = "word"
	return s
}

// Word is one of some words that a type reads and writes itself. It is written in lower case.
func Word(key, bounds, help string, field interface {
	encoding.TextUnmarshaler
	fmt.Stringer
}) Setting {
	return Setting{
		Path: strings.Split(key, "."), Type: "word", Bounds: bounds, Help: help,
		set: func(text string) error {
			if err := field.UnmarshalText([]byte(text)); err != nil {
				return fmt.Errorf("unknown word %q; use %s", text, bounds)
			}
			return nil
		},
		text:  func() string { return strings.ToLower(field.String()) },
		check: func() error { return nil },
	}
}

func parseDuration(text string) (int64, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write for example 30s, 5m or 24h", text)
	}
	return int64(d), nil
}

// FormatDuration writes a duration without parts that are zero: 24h, not 24h0m0s.
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func parseCount(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return n, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f), nil
	}
	return 0, fmt.Errorf("%q is not a whole number", text)
}

var sizeUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"TB", 1e12}, {"B", 1}, {"", 1}}

// ParseSize reads a number of bytes, followed by KiB, MiB, GiB, TiB, KB, MB, GB, TB, B or nothing.
func ParseSize(text string) (int64, error) {
	trimmed := strings.TrimSpace(text)
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(trimmed, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(n >= 0) || n*float64(u.factor) > math.MaxInt64/2 {
			break
		}
		return int64(n * float64(u.factor)), nil
	}
	return 0, fmt.Errorf("%q is not a size; write for example 64MiB", trimmed)
}

// FormatSize is the reverse of ParseSize.
func FormatSize(bytes int64) string {
	for _, u := range slices.Backward(sizeUnits[:4]) {
		if bytes != 0 && bytes%u.factor == 0 {
			return strconv.FormatInt(bytes/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(bytes, 10)
}
