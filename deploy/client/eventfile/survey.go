package eventfile

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"recount/deploy/client/eventfile/input"
	"recount/deploy/client/eventfile/table"
	"recount/deploy/client/eventfile/timeformat"
	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/instant"
	"recount/schemas/window"
)

// Survey is what the rows of files hold, found out by reading all of them.
type Survey struct {
	Columns []*Surveyed // Columns are those of all files, in the order in which they were found.
	Rows    int64       // Rows is how many rows could be read.
	Found   []string    // Found says of each file that is not plain what was found out about its form.

	mapping Mapping
	times   *timeformat.Format
}

// Surveyed is what the values of a column are.
type Surveyed struct {
	Name  string    // Name is that in the files.
	First time.Time // First is the earliest time, if all values are times, or the column is that of the event time.
	Last  time.Time // Last is the latest of them.

	integers int64
	numbers  int64 // numbers are those that are no int64.
	decimals int64 // decimals are the numbers that a file marks as decimals, and that are no integers for it.
	plain    int64 // plain are the numbers without an exponent.
	whole    int   // whole is the most digits before the point of decimals, integers and plain numbers.
	scale    int   // scale is the most digits after the point, with zeros at the end.
	needed   int   // needed is the most without zeros at the end.
	booleans int64
	stamps   int64 // stamps are the values that are times.
	texts    int64 // texts are all other values, and the times that follow one of them.
	quoted   int64 // quoted are the texts that a typed file marks as texts.
	others   int64 // others are arrays.
	bare     int64 // bare are the values that a typed file marks as numbers or booleans.
	local    bool  // local means that a time has no zone.
	word     string
	odd      string // odd is the first text, for messages.
	place    string // place is where it stands.
}

// NewSurvey returns a survey of rows that are read as m says. Fields of m are not looked at.
func NewSurvey(m Mapping) (*Survey, error) {
	s := &Survey{mapping: m, times: m.Times}
	if s.times == nil {
		var err error
		if s.times, err = timeformat.New("", ""); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Add reads a file to its end. It passes over rows that a Reader refuses for their form.
func (s *Survey) Add(f input.File) error {
	content, err := f.Open()
	if err != nil {
		return err
	}
	o := s.mapping.Table
	o.Ignore = s.mapping.Ignore
	opened, err := table.Open(f.Name, content, o)
	if err != nil {
		return err
	}
	err = s.read(opened)
	if len(opened.Found) > 0 {
		s.Found = append(s.Found, f.Name+": "+strings.Join(opened.Found, ", "))
	}
	return errors.Join(err, opened.Close())
}

func (s *Survey) read(f *table.File) error {
	if f.Format == table.JSON && isEvent(f.Objects().Peek()) {
		return errors.New("it holds whole CloudEvents and no rows; start a server with recount up, and send it with " +
			"recount ingest")
	}
	rows, err := f.Rows()
	if err != nil {
		return err
	}
	var columns []*Surveyed
	for {
		cells, err := rows.Next()
		for _, name := range rows.Columns()[len(columns):] {
			columns = append(columns, s.column(name))
		}
		var row *table.RowError
		switch {
		case errors.As(err, &row):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		s.Rows++
		for _, cell := range cells {
			if s.mapping.isNull(cell) {
				continue
			}
			c := columns[cell.Column]
			c.observe(cell, rows)
			if s.mapping.Time == c.Name || s.mapping.Time == s.mapping.NameOf(c.Name) || c.IsTime() {
				c.stamp(cell, s.times)
			}
		}
	}
}

// column returns the column with a name in the files.
func (s *Survey) column(name string) *Surveyed {
	for _, c := range s.Columns {
		if c.Name == name {
			return c
		}
	}
	c := &Surveyed{Name: name}
	s.Columns = append(s.Columns, c)
	return c
}

// observe adds a value.
func (c *Surveyed) observe(cell table.Cell, rows table.Rows) {
	switch cell.Kind {
	case table.Number:
		c.bare++
		c.number(cell.Text)
		return
	case table.Decimal:
		c.bare++
		c.decimals++
		c.measure(cell.Text)
		return
	case table.Bool:
		c.bare++
		c.booleans++
		return
	case table.Other:
		c.others++
		return
	case table.Instant, table.Local, table.Date:
		c.stamps++
		return
	case table.String:
		c.quoted++
	case table.Untyped:
		if looksTyped(cell.Text) {
			c.typed(cell.Text)
			return
		}
	}
	if c.texts == 0 {
		if is, zoned := timeformat.IsTime(cell.Text); is {
			c.stamps++
			c.local = c.local || !zoned
			return
		}
		c.odd = cell.Text
		c.place = rows.Place()
	}
	c.texts++
	if catalog.LooksMissing(cell.Text) {
		c.word = cell.Text
	}
}

// typed adds a text that looks like a number or a boolean.
func (c *Surveyed) typed(text string) {
	if text == "true" || text == "false" {
		c.booleans++
		return
	}
	c.number(text)
}

func (c *Surveyed) number(text string) {
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		c.integers++
		c.whole = max(c.whole, len(strings.TrimPrefix(text, "-")))
		return
	}
	c.numbers++
	if !strings.ContainsAny(text, "eE") {
		c.plain++
		c.measure(text)
	}
}

// measure keeps how many digits a number has.
func (c *Surveyed) measure(text string) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	c.whole = max(c.whole, len(strings.TrimPrefix(whole, "0")))
	c.scale = max(c.scale, len(fraction))
	c.needed = max(c.needed, len(strings.TrimRight(fraction, "0")))
}

// stamp keeps the extremes. A time that cannot be read here, or that no event may have, is refused when its row is
// sent.
func (c *Surveyed) stamp(cell table.Cell, times *timeformat.Format) {
	r := rowReader{times: times}
	rfc, err := r.instant(cell)
	if err != nil {
		return
	}
	t, err := instant.Time(rfc)
	if err != nil || t.UnixMicro() < window.MinTime || t.UnixMicro() > window.MaxTime {
		return
	}
	if c.First.IsZero() || t.Before(c.First) {
		c.First = t
	}
	if c.Last.IsZero() || t.After(c.Last) {
		c.Last = t
	}
}

// Values returns how many rows have a value.
func (c *Surveyed) Values() int64 {
	return c.integers + c.decimals + c.numbers + c.booleans + c.stamps + c.texts + c.others
}

// IsTime reports whether every value is a time.
func (c *Surveyed) IsTime() bool { return c.stamps > 0 && c.stamps == c.Values() }

// NeedsZone reports whether some of the times have no zone.
func (c *Surveyed) NeedsZone() bool { return c.local }

// Type returns the field type that holds every value of the column as it is written. It fails for values that no type
// holds together. Only a column that a file marks as decimals becomes one: a text with a point may be any number. It
// has the scale of the file's column, or less if only zeros at the end of the values do not fit.
func (c *Surveyed) Type() (catalog.FieldType, error) {
	all := c.Values()
	switch {
	case c.others > 0:
		return "", fmt.Errorf("column %s holds arrays, which cannot be counted", c.Name)
	case all == c.integers && all > 0:
		return catalog.Int64, nil
	case all == c.integers+c.decimals && all > 0 && c.whole+c.scale <= decimal.MaxPrecision:
		return catalog.DecimalOf(decimal.Type{Precision: decimal.MaxPrecision, Scale: c.scale}), nil
	case all == c.integers+c.decimals && all > 0 && c.whole+c.needed <= decimal.MaxPrecision:
		return catalog.DecimalOf(decimal.Type{Precision: decimal.MaxPrecision, Scale: c.needed}), nil
	case all == c.integers+c.decimals+c.numbers && all > 0:
		return catalog.Float64, nil
	case all == c.booleans && all > 0:
		return catalog.Bool, nil
	case c.IsTime():
		return catalog.Timestamp, nil
	case c.quoted > 0 && c.quoted < all:
		return "", fmt.Errorf("column %s holds texts, such as %q at %s, beside values of other types; a field has one "+
			"type", c.Name, excerpt(c.odd), c.place)
	}
	return catalog.String, nil
}

// Rounds reports whether Type is a float64 for decimals of a file, because no decimal field has their digits.
func (c *Surveyed) Rounds() bool {
	t, err := c.Type()
	return err == nil && t == catalog.Float64 && c.decimals > 0 && c.numbers == 0
}

// DimensionType returns the type of a column by which rows are grouped. It fails for a column that cannot be a
// dimension.
func (c *Surveyed) DimensionType() (catalog.FieldType, error) {
	t, err := c.Type()
	switch {
	case err != nil || t == catalog.Int64 || t == catalog.Bool:
		return t, err
	case t.IsDecimal(), t == catalog.Float64 && c.bare > 0:
		return "", fmt.Errorf("column %s holds numbers with fractions, by which nothing is grouped", c.Name)
	}
	return catalog.String, nil
}

// NumberType returns the type of a column of numbers. It fails for other columns.
func (c *Surveyed) NumberType() (catalog.FieldType, error) {
	t, err := c.Type()
	switch {
	case err != nil || t.IsNumber():
		return t, err
	case c.Values() == 0:
		return "", fmt.Errorf("column %s has no values", c.Name)
	case c.mixed() != nil:
		return "", c.mixed()
	case c.texts > 0:
		return "", fmt.Errorf("column %s holds %q at %s, which is no number", c.Name, excerpt(c.odd), c.place)
	}
	return "", fmt.Errorf("column %s holds no numbers", c.Name)
}

// FieldType returns the type with which the column is declared. It fails for numbers beside a text that often stands
// for a missing value, because the field would be a text for ever.
func (c *Surveyed) FieldType() (catalog.FieldType, error) {
	t, err := c.Type()
	if err == nil {
		err = c.mixed()
	}
	return t, err
}

// mixed returns an error if the column has numbers beside a text that often stands for a missing value.
func (c *Surveyed) mixed() error {
	if c.word == "" || c.integers+c.decimals+c.numbers == 0 {
		return nil
	}
	return fmt.Errorf("column %s holds numbers, and also %q; if that means a missing value, say --null %s",
		c.Name, c.word, strconv.Quote(c.word))
}

// floatDigits is how many digits of a decimal number a float64 always keeps.
const floatDigits = 15

// SumType returns the type in which numbers of the column are added up without rounding: that of NumberType, or a
// decimal where a sum of so many values may need more digits than a float64 keeps. Only texts become decimals, because
// a number of a typed file may be a float64 already. rounded means that no type is exact.
func (c *Surveyed) SumType(values int64) (t catalog.FieldType, rounded bool, err error) {
	t, err = c.NumberType()
	if err != nil || t != catalog.Float64 {
		return t, false, err
	}
	plain := c.numbers == c.plain
	switch {
	case plain && c.whole+c.needed+len(strconv.FormatInt(values, 10)) <= floatDigits:
		return t, false, nil
	case plain && c.bare == 0 && c.whole+c.scale <= decimal.MaxPrecision:
		return catalog.DecimalOf(decimal.Type{Precision: decimal.MaxPrecision, Scale: c.scale}), false, nil
	case plain && c.bare == 0 && c.whole+c.needed <= decimal.MaxPrecision:
		return catalog.DecimalOf(decimal.Type{Precision: decimal.MaxPrecision, Scale: c.needed}), false, nil
	}
	return t, true, nil
}
