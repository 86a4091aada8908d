package chdb

import (
	"regexp"
	"strconv"
)

// exception is an error of the engine, with ClickHouse's numeric code and its text.
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

// ExceptionCode returns ClickHouse's number of the error. Callers find it by errors.As.
func (e *exception) ExceptionCode() int { return e.code }

var exceptionCode = regexp.MustCompile(`^Code: (\d+)\. `)

// newException reads the code from "Code: 60. DB::Exception: …"; a text without one is code 1001, which
// ClickHouse uses for exceptions that are not its own.
func newException(text string) *exception {
	if m := exceptionCode.FindStringSubmatch(text); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil {
			return &exception{code, text}
		}
	}
	return &exception{1001, "Code: 1001. DB::Exception: " + text}
}

// Codes of refusals by the transport; they are those a ClickHouse server gives for the same statement.
const (
	codeSyntax         = 62
	codeBadArguments   = 36
	codeUnknownSetting = 115
	codeReadonly       = 164
	codeNotImplemented = 48
)

func refuse(code int, text string) *exception {
	return &exception{code, "Code: " + strconv.Itoa(code) + ". DB::Exception: " + text}
}
