package sql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"recount/schemas/query"
	"recount/serving/batchview"
)

// Kind says what is wrong with a statement that failed.
type Kind int

// The kinds of failures.
const (
	Refused   Kind = iota // it asks for something that no statement may do
	BadFormat             // the format of the result
	Invalid               // the statement is not SQL, or does not go with its tables and values
	TooLarge              // it needs more memory, or has a larger result, than it may
	TooSlow               // it takes longer than it may
)

// Failure is why a statement has no result. Its text is for the client: it holds words of the statement, names of
// tables and columns, and no values.
type Failure struct {
	Kind Kind
	Text string
	// Code and Name are ClickHouse's of an exception about the statement, and otherwise empty.
	Code int
	Name string
}

func (f *Failure) Error() string { return f.Text }

// The codes of ClickHouse's exceptions that say how much a statement needs.
const (
	codeTooManyRows  = 158
	codeTimeout      = 159
	codeTooSlow      = 160
	codeCancelled    = 394
	codeTooManyInAll = 396
	codeSyntax       = 62
	codeStdException = 1001
)

// explained are codes of exceptions whose texts are about the words of a statement. Those of other exceptions may hold
// values, such as a text that is no number.
var explained = map[int]bool{
	42:         true, // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
	43:         true, // ILLEGAL_TYPE_OF_ARGUMENT
	46:         true, // UNKNOWN_FUNCTION
	47:         true, // UNKNOWN_IDENTIFIER
	codeSyntax: true,
	115:        true, // UNKNOWN_SETTING
	179:        true, // MULTIPLE_EXPRESSIONS_FOR_ALIAS
	184:        true, // ILLEGAL_AGGREGATION
	206:        true, // ALIAS_REQUIRED
	207:        true, // AMBIGUOUS_IDENTIFIER
	215:        true, // NOT_AN_AGGREGATE
	386:        true, // NO_COMMON_TYPE
	456:        true, // UNKNOWN_QUERY_PARAMETER
}

// broken are codes of exceptions that no statement should cause.
var broken = map[int]bool{49: true, 74: true, 76: true, 209: true, 210: true, 236: true, 243: true, 999: true,
	codeStdException: true}

var (
	exceptionPrefix = regexp.MustCompile(`^Code: \d+\. DB::Exception: `)
	exceptionName   = regexp.MustCompile(`\(([A-Z][A-Z0-9_]+)\)(?: \(version [^)]*\))?\s*$`)
	// whereItWas begins the part of a text that says where it was: in which scope, which block, which statement of
	// ours.
	whereItWas = regexp.MustCompile(`(?i)[:.,]? (?:in scope|while (?:executing|processing|reading)|in query)`)
)

// failure returns what a client is told of an error. Errors that are not about the statement stay what they are.
func (l Limits) failure(ctx context.Context, err error) error {
	var e Exception
	switch {
	case errors.Is(err, errResult):
		return l.tooLarge()
	case !errors.As(err, &e) || isRefusal(err):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case e.ExceptionCode() == codeMemory && strings.Contains(e.Error(), "(total)"):
		return query.ErrMemoryBusy // Also of a statement of ours, which fills a table.
	case errors.Is(err, errScript):
		return err
	}
	switch code := e.ExceptionCode(); {
	case code == codeUnknownTable: // The client's tables are there, so it is one of ours.
		return fmt.Errorf("%w: %w", batchview.ErrChanging, err)
	case code == codeMemory:
		return &Failure{Kind: TooLarge, Text: fmt.Sprintf("the statement needs more than the %d MiB that it may have; "+
			"read fewer rows or columns, or group by less", l.Memory>>20)}
	case code == codeTooManyInAll || code == codeTooManyRows:
		return l.tooLarge()
	case code == codeTimeout || code == codeTooSlow || code == codeCancelled:
		return &Failure{Kind: TooSlow, Text: "the statement took longer than it may (query.timeout, or its " +
			"max_execution_time); read fewer rows or columns"}
	case broken[code]:
		return err
	case explained[code]:
		return &Failure{Kind: Invalid, Text: explanation(e.Error()), Code: code, Name: nameOf(e)}
	default:
		return &Failure{Kind: Invalid, Text: "the statement failed with " + nameOf(e) + ", which is error " +
			strconv.Itoa(code) + " of ClickHouse; its text is not shown, because it may hold values of rows",
			Code: code, Name: nameOf(e)}
	}
}

// nameOf returns the name of an exception.
func nameOf(e Exception) string {
	if m := exceptionName.FindStringSubmatch(e.Error()); m != nil {
		return m[1]
	}
	return "UNKNOWN_EXCEPTION"
}

func (l Limits) tooLarge() error {
	return &Failure{Kind: TooLarge, Text: fmt.Sprintf("the result has more than %d rows or %d bytes (sql.rows, "+
		"sql.result, or a setting of the statement); read fewer, or in parts with a condition on time", l.Rows,
		l.ResultBytes)}
}

// maxExplanation bounds the text of a failure.
const maxExplanation = 600

// explanation returns what the engine says about the words of a statement.
func explanation(text string) string {
	text = exceptionPrefix.ReplaceAllString(text, "")
	text = exceptionName.ReplaceAllString(text, "")
	if at := whereItWas.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	text = strings.TrimRight(strings.TrimSpace(text), ".,:")
	if len(text) > maxExplanation {
		text = strings.ToValidUTF8(text[:maxExplanation], "") + "…"
	}
	return text
}

// quoted is a word of a client in an error.
func quoted(s string) string { return fmt.Sprintf("%.80q", s) }
