package eventfile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"recount/deploy/client/eventfile/table"
	"recount/deploy/client/eventfile/timeformat"
	"recount/schemas/catalog"
)

// column is what is known of a column.
type column struct {
	name      string // name is the new name, if the column was renamed.
	member    []byte // member is the name as JSON, with a colon.
	hashed    []byte // hashed is the name in the file as JSON.
	declared  catalog.FieldType
	nulls     []string // nulls are texts that the field takes for a missing value.
	isTime    bool
	isSubject bool
	isID      bool
	sent      bool  // sent means that the column is a member of data.
	wrong     error // wrong refuses rows that have the column.

	filled  int64  // filled is how many rows have a value.
	numbers int64  // numbers is how many of them look like a number or a boolean.
	word    string // word is a text that often stands for a missing value.
}

func (c *column) isAttribute() bool { return c.isID || c.isSubject }
func (c *column) isInstant() bool   { return c.isTime || c.declared == catalog.Timestamp }

// columnsOf returns what is known of the columns with names, from the one with index from on.
func (m Mapping) columnsOf(names []string, from int) (out []column) {
	for _, name := range names[from:] {
		c := column{name: m.NameOf(name), hashed: appendString(nil, name)}
		c.member = append(appendString(nil, c.name), ':')
		c.isTime = c.name == m.Time
		c.isSubject = c.name == m.Subject && m.Subject != ""
		c.isID = slices.Contains(m.ID, c.name)
		if m.Fields != nil {
			c.declared, c.nulls, _ = m.Fields.Member(c.name)
		}
		attribute := c.isTime || c.isAttribute()
		ignored := m.Ignores(name)
		if !attribute && !ignored && m.unknown(c.name) {
			switch m.Extra {
			case IgnoreExtra:
				ignored = true
			case RefuseExtra, "":
				c.wrong = m.explainUnknown([]string{name})
			}
			if err := m.explainSpelling(name, names); err != nil {
				c.wrong = err
			}
		}
		if err := checkName(c.name); err != nil && !ignored && c.wrong == nil {
			c.wrong = fmt.Errorf("a member %w", err)
		}
		c.sent = !ignored && (!attribute || catalog.FieldName(c.name))
		out = append(out, c)
	}
	return out
}

// NameOf returns the new name of a column of the file.
func (m Mapping) NameOf(name string) string {
	if renamed, ok := m.Rename[name]; ok {
		return renamed
	}
	return name
}

// Ignores reports whether a column of the file, or the object that holds it, is not sent.
func (m Mapping) Ignores(name string) bool { return table.Ignored(m.Ignore, name) }

// IsAttribute reports whether a column with a new name is the id, the time or the subject of its event.
func (m Mapping) IsAttribute(name string) bool {
	return name == m.Time || name == m.Subject || slices.Contains(m.ID, name)
}

// unknown reports whether a name is that of no field, when fields are known.
func (m Mapping) unknown(name string) bool {
	if m.Fields == nil || len(m.Fields.Fields) == 0 {
		return false
	}
	_, _, declared := m.Fields.Member(name)
	return !declared
}

// observe remembers what the values of a column look like.
func (c *column) observe(cell table.Cell) {
	switch {
	case cell.Kind != table.Untyped && cell.Kind != table.String:
		c.numbers++
	case catalog.LooksMissing(cell.Text) && !slices.Contains(c.nulls, cell.Text):
		c.word = cell.Text
	case cell.Kind == table.Untyped && looksTyped(cell.Text):
		c.numbers++
	}
}

// suspects fails when a column of numbers holds a text that often stands for a missing value.
func (r *rowReader) suspects() error {
	for i := range r.columns {
		c := &r.columns[i]
		numeric := c.declared.IsNumber() || c.declared == catalog.Bool
		if c.word != "" && c.sent && !c.isAttribute() && (numeric || c.declared == "" && c.numbers > 0) {
			return fmt.Errorf("column %s holds numbers, and also %q; if that means a missing value, say --null %s",
				c.name, c.word, strconv.Quote(c.word))
		}
	}
	return nil
}

func columnError(c *column, cell table.Cell, err error) error {
	return fmt.Errorf("column %s: %q %w", c.name, excerpt(cell.Text), err)
}

// checkColumns fails when a column cannot become a field, when its name is not that of a declared field, or when the
// mapping names a column that the file does not have. An event keeps a column of any other name, so a wrong name would
// be accepted and never counted.
func (m Mapping) checkColumns(names []string) error {
	if err := m.checkRenamed(names); err != nil {
		return err
	}
	columns := make([]string, len(names))
	for i, name := range names {
		columns[i] = m.NameOf(name)
		if m.Ignores(name) {
			continue
		}
		if err := checkName(columns[i]); err != nil {
			return fmt.Errorf("column %d %w", i+1, err)
		}
		if slices.Contains(columns[:i], columns[i]) {
			return fmt.Errorf("two columns are named %s; rename one in the file", columns[i])
		}
	}
	if err := m.checkAttributes(columns); err != nil {
		return err
	}
	return m.checkFields(names)
}

// checkSeen fails when the mapping names a column that no row of a whole file had.
func (m Mapping) checkSeen(names []string) error {
	if len(names) == 0 {
		return nil // The file has no rows.
	}
	columns := make([]string, len(names))
	for i, name := range names {
		columns[i] = m.NameOf(name)
	}
	return errors.Join(m.checkRenamed(names), m.checkAttributes(columns))
}

// checkRenamed fails when Rename has a column that is none of names.
func (m Mapping) checkRenamed(names []string) error {
	for _, old := range slices.Sorted(maps.Keys(m.Rename)) {
		if !slices.Contains(names, old) {
			return noColumn("--rename", old, names)
		}
	}
	return nil
}

// checkAttributes fails when an attribute is made of a column that is none of columns, which have their new names.
func (m Mapping) checkAttributes(columns []string) error {
	for _, name := range m.ID {
		if !slices.Contains(columns, name) {
			return noColumn("--id", name, columns)
		}
	}
	for flag, name := range map[string]string{"--time": m.Time, "--subject": m.Subject} {
		if name != "" && !slices.Contains(columns, name) {
			return noColumn(flag, name, columns)
		}
	}
	return nil
}

// errNoColumn means that the mapping names a column that the file does not have.
var errNoColumn = errors.New("no such column")

func noColumn(flag, name string, columns []string) error {
	return fmt.Errorf("%s %s: %w; the file has %s", flag, name, errNoColumn, strings.Join(columns, ", "))
}

// checkFields fails when columns are no fields.
func (m Mapping) checkFields(names []string) error {
	var wrong []string
	for _, name := range names {
		renamed := m.NameOf(name)
		if !m.IsAttribute(renamed) && !m.Ignores(name) && m.unknown(renamed) {
			wrong = append(wrong, name)
		}
	}
	for _, name := range wrong {
		if err := m.explainSpelling(name, names); err != nil {
			return err
		}
	}
	if len(wrong) == 0 || m.Extra != RefuseExtra && m.Extra != "" {
		return nil
	}
	return m.explainUnknown(wrong)
}

// explainSpelling returns an error when a column is named like a field but for case, spaces and punctuation, and no
// other column of all has the field's name.
func (m Mapping) explainSpelling(name string, all []string) error {
	for _, field := range m.Fields.Fields {
		if letters(name) == letters(field.Name) && !field.IsComputed() && !slices.Contains(all, field.Name) {
			return fmt.Errorf("a column is named %q, and the event type %s has a field %s; say --rename %s, or "+
				"--ignore %s", name, m.Type, field.Name, strconv.Quote(name+"="+field.Name), strconv.Quote(name))
		}
	}
	return nil
}

// explainUnknown says what to do about columns of the file that are no fields.
func (m Mapping) explainUnknown(names []string) error {
	var fields []string
	for _, f := range m.Fields.Fields {
		if !f.IsComputed() {
			fields = append(fields, catalog.PathText(f.Members()))
		}
	}
	subject := "column " + names[0] + " is no field"
	if len(names) > 1 {
		subject = "columns " + strings.Join(names, ", ") + " are no fields"
	}
	return fmt.Errorf("%s of %s, whose known fields are %s; name a field with --rename %s=FIELD, leave columns out "+
		"with --ignore %s, or say --extra keep to send all columns, or --extra ignore to send fields only", subject,
		m.Type, strings.Join(fields, ", "), names[0], strings.Join(names, ","))
}

// checkName fails when a name shows that the file was not read as it was meant. The error continues a sentence.
func checkName(name string) error {
	isTime, _ := timeformat.IsTime(name)
	switch {
	case name == "":
		return errors.New("has no name; name it, because every column becomes a field")
	case !utf8.ValidString(name):
		return fmt.Errorf("has the name %q, which is not UTF-8", name)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("is named %q, with white space that a field's name cannot have; say --rename %s", name,
			strconv.Quote(name+"="+strings.TrimSpace(name)))
	case isTime || looksTyped(name) && name != "true" && name != "false":
		return fmt.Errorf("has the value %q where a name is expected; if the first line is a row, name the columns "+
			"with --columns", name)
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
