package eventfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkColumns fails when a column cannot become a field, when its name was probably meant as that of a declared field,
// when no column is a declared field, or when the mapping names a column that the file does not have. An event keeps a
// column of any other name, so a wrong name would be accepted and never counted.
func (m Mapping) checkColumns(columns []string) error {
	if len(columns) == 1 && strings.ContainsAny(columns[0], "\t;|") {
		return fmt.Errorf("the names %q are separated by something else; separate the columns with commas", columns[0])
	}
	for i, name := range columns {
		if err := checkName(name); err != nil {
			return fmt.Errorf("column %d %w", i+1, err)
		}
		if slices.Contains(columns[:i], name) {
			return fmt.Errorf("two columns are named %s; rename one", name)
		}
	}
	for flag, name := range map[string]string{"--id": m.ID, "--time": m.Time, "--subject": m.Subject} {
		if name != "" && !slices.Contains(columns, name) {
			return fmt.Errorf("%s %s: no such column; the file has %s", flag, name, strings.Join(columns, ", "))
		}
	}
	if err := m.checkSpelling(columns); err != nil {
		return err
	}
	return m.checkFields(columns)
}

// checkFields fails when no column is a declared field. The file is probably of another type then.
func (m Mapping) checkFields(columns []string) error {
	if m.Fields == nil || len(m.Fields.Fields) == 0 {
		return nil
	}
	var others []string // columns that are nothing but fields
	for _, name := range columns {
		if _, declared := m.Fields.Column(name); declared {
			return nil
		}
		if !slices.Contains([]string{m.ID, m.Time, m.Subject}, name) {
			others = append(others, name)
		}
	}
	if len(others) == 0 { // The rows are meant to be counted and no more.
		return nil
	}
	var fields []string
	for _, f := range m.Fields.Fields {
		fields = append(fields, f.Name)
	}
	return fmt.Errorf("none of the columns %s is a field of %s, which has %s; rename columns, or name the right type "+
		"with --type", strings.Join(others, ", "), m.Type, strings.Join(fields, ", "))
}

// checkName fails when a name shows that the file was not read as it was meant. The error continues a sentence.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("has no name; name it, because every column becomes a field")
	case !utf8.ValidString(name):
		return fmt.Errorf("has the name %q, which %w", name, errNotUTF8)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("is named %q, with white space that a field's name cannot have; remove it there, and after "+
			"the commas of all rows", name)
	}
	return nil
}

// checkSpelling fails when a column is named like a declared field but for case, spaces and punctuation, and no other
// column has the field's name.
func (m Mapping) checkSpelling(columns []string) error {
	if m.Fields == nil {
		return nil
	}
	for _, field := range m.Fields.Fields {
		if slices.Contains(columns, field.Name) {
			continue
		}
		for i, name := range columns {
			if letters(name) == letters(field.Name) {
				return fmt.Errorf("column %d is named %q, and the event type %s has a field %s; rename the column to "+
					"%s", i+1, name, m.Type, field.Name, field.Name)
			}
		}
	}
	return nil
}

// letters returns the letters and digits of a name in lower case.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}
