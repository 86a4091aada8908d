package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MinThrough is what an answer must cover: the events of receipts, or everything before some offsets. One of the two
// is empty.
type MinThrough struct {
	// Receipts are those of answers to POST /v1/events.
	Receipts []string
	// Offsets has, for each partition, the next message that need not be in the answer, as Accuracy.Through.
	Offsets []uint64
	// Next is what the receipts or offsets ask for, for each partition. The server sets it.
	Next []uint64
}

// MaxReceipts is how many receipts or offsets a query may have.
const MaxReceipts = 1000

// ParseMinThrough reads receipts, or offsets in decimal digits. No receipt has digits only, because its first byte is a
// version.
func ParseMinThrough(texts []string) (*MinThrough, error) {
	const field = "min_through"
	if len(texts) == 0 || len(texts) > MaxReceipts {
		return nil, invalid(field, "%d receipts; use 1 to %d", len(texts), MaxReceipts)
	}
	m := &MinThrough{}
	for i, text := range texts {
		seq, err := strconv.ParseUint(text, 10, 64)
		switch {
		case text == "":
			return nil, invalid(field, "element %d is empty; write a receipt, which is a member of the answer to POST "+
				"/v1/events, or offsets such as accuracy.through", i)
		case err == nil:
			m.Offsets = append(m.Offsets, seq)
		default:
			m.Receipts = append(m.Receipts, text)
		}
	}
	if len(m.Offsets) > 0 && len(m.Receipts) > 0 {
		return nil, invalid(field, "write either receipts or offsets, and not both; %q is no offset", m.Receipts[0])
	}
	return m, nil
}

// UnmarshalJSON reads a receipt, a list of receipts, or a list of offsets.
func (m *MinThrough) UnmarshalJSON(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return err
	}
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	var texts []string
	for _, element := range list {
		switch e := element.(type) {
		case string:
			if _, err := strconv.ParseUint(e, 10, 64); err == nil {
				return invalid("min_through", "%q is a string; write offsets as numbers", e)
			}
			texts = append(texts, e)
			continue
		case json.Number:
			if _, err := strconv.ParseUint(e.String(), 10, 64); err == nil && isList {
				texts = append(texts, e.String())
				continue
			}
		}
		return invalid("min_through", "write a receipt as a string, a list of receipts, or the list accuracy.through "+
			"of an answer, which has a whole number for each partition")
	}
	parsed, err := ParseMinThrough(texts)
	if err == nil {
		*m = *parsed
	}
	return err
}

// MarshalJSON writes what UnmarshalJSON reads.
func (m *MinThrough) MarshalJSON() ([]byte, error) {
	if len(m.Offsets) > 0 {
		return json.Marshal(m.Offsets)
	}
	return json.Marshal(m.Receipts)
}

// WaitsFor reports whether the query asks for a wait: it has min_through or max_staleness. The next page of an answer
// waits for nothing, because its publication is that of the first page.
func (q *Query) WaitsFor() bool { return q.Cursor == "" && q.hasDemand() }

func (q *Query) hasDemand() bool { return q.MinThrough != nil || q.MaxStaleness != "" }

// Patience returns how long the query may wait for what it asks for. Without wait, it is most with min_through, and
// nothing otherwise: max_staleness alone asks whether there is a new answer now.
func (q *Query) Patience(most time.Duration) (time.Duration, error) {
	if q.Wait == "" {
		if q.MinThrough == nil {
			return 0, nil
		}
		return most, nil
	}
	if !q.hasDemand() && q.Cursor == "" {
		return 0, invalid("wait", "it is of use with min_through or max_staleness only; leave it out")
	}
	d, err := span("wait", q.Wait)
	if err == nil && d > most {
		return 0, invalid("wait", "%s; use at most %s, which is the server's query.timeout", q.Wait, most)
	}
	return d, err
}

// StalenessLimit returns max_staleness. It is not limited without one.
func (q *Query) StalenessLimit() (limit time.Duration, limited bool, err error) {
	if q.MaxStaleness == "" {
		return 0, false, nil
	}
	limit, err = span("max_staleness", q.MaxStaleness)
	return limit, true, err
}

// CheckLength refuses an empty length of time. It is rather a variable without a value than the wish for the default.
func CheckLength(field, text string) error {
	if text == "" {
		return invalid(field, "it is empty; give a length of time such as 500ms, 5s or 10m, or leave %s out", field)
	}
	return nil
}

// setLength sets a member that is a length of time, unless it is null.
func setLength(field string, text, member *string) error {
	if text == nil {
		return nil
	}
	*member = *text
	return CheckLength(field, *text)
}

// span reads a length of time.
func span(field, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, invalid(field, "%q is no length of time; write a number of ms, s, m or h, such as 500ms, 5s or 10m",
			text)
	}
	return d, nil
}

// Short says how far an answer is from what min_through asks for in one partition.
type Short struct {
	Partition int `json:"partition"`
	// Through is the next message that is not in the answer.
	Through uint64 `json:"through"`
	// MinThrough is the message before which the answer must have everything.
	MinThrough uint64 `json:"min_through"`
}

// ShortError says that an answer would lack what min_through asks for.
type ShortError struct {
	Missing []Short
	// Mode is that of the query.
	Mode Mode
}

func (e *ShortError) Error() string {
	var places []string
	for _, s := range e.Missing {
		places = append(places, fmt.Sprintf("of partition %d, messages [%d, %d)", s.Partition, s.Through, s.MinThrough))
	}
	why := "the real-time views have not counted them yet; try again, or wait longer"
	if e.Mode == Exact {
		why = "no publication has them yet, because mode exact needs a recompute after they have landed: wait for " +
			"the next run of the job, or start one"
	}
	return "the answer lacks what min_through asks for, " + strings.Join(places, "; ") + ": " + why
}

// StaleError says that an answer would be older than max_staleness.
type StaleError struct {
	// Age is how old the answer would be. It is negative if there is nothing yet by which to tell.
	Age   time.Duration
	Limit time.Duration
	Mode  Mode
}

func (e *StaleError) Error() string {
	age := e.Age.Round(time.Millisecond).String() + " old"
	if e.Age < 0 {
		age = "of unknown age, because there is no publication yet"
	}
	why := "the real-time views lag the log"
	if e.Mode == Exact {
		why = "a recompute has to run"
	}
	return fmt.Sprintf("the answer would be %s, and max_staleness is %s: %s", age, e.Limit, why)
}
