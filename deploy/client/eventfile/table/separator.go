package table

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// separators are those that are found out, the likely ones first.
var separators = []rune{',', ';', '\t', '|'}

// separatorNames are the names of separators in messages.
var separatorNames = map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs", '|': "bars"}

// maxSample is how many rows are looked at to find the separator.
const maxSample = 1000

// separatorOf guesses what separates the values of CSV, given its first bytes. The separator that divides all rows like
// the header wins, and among several the one that makes the most columns. Without one the file has one column.
func separatorOf(head []byte, whole bool) rune {
	best := fit{separator: ','}
	for _, s := range separators {
		if f := fitOf(string(head), whole, s); f.better(best) {
			best = f
		}
	}
	return best.separator
}

// fit is how well a separator divides a file.
type fit struct {
	separator rune
	columns   int // columns is how many names the header has.
	rows      int // rows is how many rows have as many values.
	others    int // others is how many rows have not, or cannot be read.
}

// better reports whether f fits better than g. A separator that does not divide the header never fits.
func (f fit) better(g fit) bool {
	switch {
	case f.columns < 2 || g.columns < 2:
		return f.columns >= 2
	case (f.others == 0) != (g.others == 0):
		return f.others == 0
	case f.others > 0:
		return f.rows > g.rows
	}
	return f.columns > g.columns
}

func fitOf(head string, whole bool, separator rune) fit {
	f := fit{separator: separator}
	if end := strings.LastIndexByte(head, '\n'); !whole && end >= 0 {
		head = head[:end] // The last line may be cut.
	}
	r := csv.NewReader(strings.NewReader(head))
	r.Comma = separator
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	for range maxSample {
		row, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return f
		case err != nil: // Where the head was cut, a value may be open.
			if whole || !errors.Is(err, csv.ErrQuote) {
				f.others++
			}
			return f
		case f.columns == 0:
			f.columns = len(row)
		case len(row) == f.columns:
			f.rows++
		default:
			f.others++
		}
	}
	return f
}
