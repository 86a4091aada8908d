// Package setting describes what an operator may set.
//
// Each component lists its settings beside the Config whose fields they are: the key in the YAML file, the bounds,
// the meaning. The file, environment variables, flags and their help, the reference and Validate all read that
// list, so that no default, bound or meaning is written twice. The default of a setting is the value that the
// component's DefaultConfig gives its field.
package setting

import (
	"errors"
	"strings"
)

// Setting is one value that an operator may set. It points to the field of a Config that holds the value.
type Setting struct {
	// Path is the place in the YAML file, such as speed, dedup_window.
	Path []string
	// Type says what is written: a duration, a size, a whole number, a number, a text or one of some words.
	Type string
	// Unit is what the value counts; it may be empty.
	Unit string
	// Bounds says which values are allowed; it is empty where every value is.
	Bounds string
	// Help is the meaning, one plain sentence.
	Help string

	derived string
	set     func(text string) error
	text    func() string
	check   func() error
}

// Key is the setting's name: speed.dedup_window.
func (s Setting) Key() string { return strings.Join(s.Path, ".") }

// Flag is the name of the setting's flag, without dashes: speed.dedup-window.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Key(), "_", "-") }

// Env is the name of the setting's environment variable: RECOUNT_SPEED_DEDUP_WINDOW.
func (s Setting) Env() string { return "RECOUNT_" + strings.ToUpper(strings.Join(s.Path, "_")) }

// Set reads the value from a text, as the YAML file, a flag and an environment variable hold it.
func (s Setting) Set(text string) error { return s.set(text) }

// Text is the value as the YAML file would hold it.
func (s Setting) Text() string { return s.text() }

// Default is Text for a setting that nobody has set. Where the value depends on the machine, it says how.
func (s Setting) Default() string {
	if s.derived != "" {
		return s.derived
	}
	return s.text()
}

// DefaultIs says how the default depends on the machine, for Default.
func (s Setting) DefaultIs(how string) Setting {
	s.derived = how
	return s
}

// Where narrows the bounds of a number: the rule says how, and holds reports whether the value fits.
func (s Setting) Where(rule string, holds func() bool) Setting {
	within := s.check
	s.Bounds += ", " + rule
	wrong := errors.New("use " + s.Bounds)
	s.check = func() error {
		if within() != nil || !holds() {
			return wrong
		}
		return nil
	}
	return s
}

// Check returns an *Error if the value is out of bounds.
func (s Setting) Check() error {
	if err := s.check(); err != nil {
		return &Error{Path: s.Path, Msg: err.Error()}
	}
	return nil
}

// Check checks all settings of a list and joins what is wrong with them.
func Check(list []Setting) error {
	var errs []error
	for _, s := range list {
		errs = append(errs, s.Check())
	}
	return errors.Join(errs...)
}

// Error is one mistake in a configuration. Path is the place in the YAML file, so that a caller can find its line.
type Error struct {
	Path []string
	Msg  string
}

func (e *Error) Error() string { return strings.Join(e.Path, ".") + ": " + e.Msg }
