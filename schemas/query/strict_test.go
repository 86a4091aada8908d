package query

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestParseIsStrict is the table of bodies that encoding/json would take, or would take
// much memory for: each is refused, with the field at fault.
func TestParseIsStrict(t *testing.T) {
	t.Parallel()
	many := func(element string) string { return strings.Repeat(element+",", MaxValues) + element }
	for _, c := range []struct{ name, body, field, msg string }{
		{"empty", ``, "query", "ends too early"},
		{"cut off", `{"view":"flights"`, "query", "ends too early"},
		{"cut off in a string", `{"view":"fl`, "query", "unexpected EOF"},
		{"two values", `{"view":"flights"}{}`, "query", "more than one"},
		{"garbage after the query", `{"view":"flights"}]`, "query", "more than one"},
		{"a list", `[]`, "query", "cannot unmarshal array"},
		{"twice", `{"view":"flights","view":"other"}`, "view", "comes twice"},
		{"twice, escaped", `{"view":"flights","v\u0069ew":"other"}`, "view", "comes twice"},
		{"twice, the same", `{"limit":1,"limit":1}`, "limit", "comes twice"},
		{"twice in a condition", `{"where":[{"op":"eq","value":1,"value":2}]}`, "where", "comes twice"},
		{"twice in a value", `{"where":[{"op":"eq","value":{"a":1,"a":2}}]}`, "where", "comes twice"},
		{"another case", `{"View":"flights"}`, "View", `unknown field "View"`},
		{"another case beside the right one", `{"view":"flights","VIEW":"other"}`, "VIEW", `unknown field "VIEW"`},
		{"another case in a condition", `{"where":[{"Op":"eq"}]}`, "where", `unknown field "Op"`},
		{"letters that fold", "{\"mea\u017fures\":[]}", "mea\u017fures", "unknown field"},
		{"without a name", `{"":{"0":1}}`, "query", `unknown field ""`},
		{"a long name", `{"` + strings.Repeat("a", 1<<20) + `":[]}`, "query", "unknown field"},
		{"unknown", `{"views":"flights"}`, "views", `unknown field "views"`},
		{"bad UTF-8", "{\"view\":\"\xff\"}", "query", "UTF-8"},
		{"half a pair", `{"view":"\ud83d"}`, "query", "surrogate"},
		{"half a pair, then text", `{"view":"\ud83dx"}`, "query", "surrogate"},
		{"swapped pair", `{"view":"\uDE00\uD83D"}`, "query", "surrogate"},
		{"half a pair at the end", `{"view":"\ud83d`, "query", "surrogate"},
		{"byte order mark", "\ufeff{}", "query", "invalid character"},
		{"NaN", `{"limit":NaN}`, "query", "invalid character"},
		{"fraction", `{"limit":1.5}`, "limit", "cannot unmarshal number 1.5; write a whole number"},
		{"2^63", `{"limit":9223372036854775808}`, "limit", "cannot unmarshal number"},
		{"limit 0", `{"limit":0}`, "limit", "0; use 1 to 1000000"},
		{"negative limit", `{"limit":-1}`, "limit", "-1; use 1 to 1000000"},
		{"a limit too large", `{"limit":1000001}`, "limit", "1000001; use 1 to 1000000"},
		{"2^64", `{"as_of":18446744073709551616}`, "as_of", "cannot unmarshal number"},
		{"negative as_of", `{"as_of":-1}`, "as_of", "cannot unmarshal number -1; write a whole number from 0 to"},
		{"a word", `{"from":"soon"}`, "from", "is no time: write 2024-05-01T10:00:00Z,"},
		{"a time that clocks skipped", `{"to":"2024-03-31 02:30","time_zone":"Europe/Berlin"}`, "to", "does not exist"},
		{"no leap second", `{"to":"2001-01-01T00:00:60Z"}`, "to", "has second 60"},
		{"an empty cursor", `{"cursor":""}`, "cursor", "it is empty; an answer without next is the last page"},
		{"a cursor of a wrong type", `{"cursor":1}`, "cursor", "cannot unmarshal number; write a string"},
		{"an empty time", `{"from":""}`, "from", "it is empty; give a time such as 2001-01-01, or leave from out"},
		{"the year 1", `{"to":"0001-01-01T00:00:00Z"}`, "to", "is no time of the years 1970 to 2261"},
		{"a list for a time", `{"from":[978307200]}`, "from", "write a string, or a number of seconds"},
		{"a fraction for a time", `{"from":1.5}`, "from", "is no time"},
		{"text for a number", `{"limit":"1"}`, "limit", "cannot unmarshal string; write a whole number"},
		{"number for a list", `{"group_by":1}`, "group_by", "cannot unmarshal number; write an array"},
		{"list for a query", `[]`, "query", "cannot unmarshal array; write an object"},
		{"deep list", `{"where":` + strings.Repeat("[", 100_000), "where", "too deeply"},
		{"deep objects", `{"where":` + strings.Repeat(`{"a":`, 100_000), "where", "too deeply"},
		{"many values", `{"where":[{"dimension":"delay","op":"in","values":[` + many("1") + `]}]}`, "where",
			"more than 10000"},
		{"many conditions", `{"where":[` + many("{}") + `]}`, "where", "more than 10000"},
		{"many members", `{"where":[{` + members(100) + `}]}`, "where", "unknown fields"},
	} {
		_, err := Parse([]byte(c.body), time.Time{})
		var invalid *Error
		if !errors.As(err, &invalid) || invalid.Field != c.field || !strings.Contains(invalid.Msg, c.msg) {
			t.Errorf("%s: got %v, want %s: …%s…", c.name, err, c.field, c.msg)
		}
	}
	for _, body := range []string{
		`{"view":"\ud83d\ude00","where":[{"op":"eq","value":"\\ud83d"}]}`,
		` { "view" : null , "where" : [ ] , "as_of" : 18446744073709551615 } `,
	} {
		if _, err := Parse([]byte(body), time.Time{}); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestTimesAreInstants reads the times that RFC 3339 permits and package time does not.
func TestTimesAreInstants(t *testing.T) {
	t.Parallel()
	q, err := Parse([]byte(`{"from":"2001-01-01t00:00:00z","to":"2016-12-31T23:59:60Z"}`), time.Time{})
	if err != nil || q.From.UnixMicro() != 978_307_200_000_000 || q.To.UnixMicro() != 1_483_228_799_999_999 {
		t.Errorf("got %+v, %v", q, err)
	}
}

// members are n members of different names.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"` + string([]byte{'a' + byte(i/26), 'a' + byte(i%26)}) + `":1,`)
	}
	return b.String() + `"z":1`
}

// TestMessagesAreBounded quotes a long name back.
func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	q, err := Parse([]byte(`{"view":"`+strings.Repeat("é", 1<<20)+`"}`), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Resolve(flights(), "t"); err == nil || len(err.Error()) > 2*maxMessage {
		t.Errorf("got a message of %d bytes", len(err.Error()))
	}
}

// TestScansAreOfTheTenant: who asks is not in the query.
func TestScansAreOfTheTenant(t *testing.T) {
	t.Parallel()
	q, err := Parse([]byte(`{"view":"flights","from":"2001-01-01T00:00:00Z","to":"2001-02-01T00:00:00Z"}`), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"acme", "rival"} {
		if s, err := q.Resolve(flights(), tenant); err != nil || s.Tenant != tenant {
			t.Errorf("got %+v, %v, want the scan of %s", s, err, tenant)
		}
	}
}
