package record

import (
	"encoding/json"
	"testing"
)

// TestAccount reads both stored forms of an account. One without conflicts keeps the bytes that older programs wrote.
func TestAccount(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]Account{
		"[5,2]":   {Rows: 5, Duplicates: 2},
		"[5,2,1]": {Rows: 5, Duplicates: 2, Conflicts: 1},
	} {
		got := Account{Conflicts: 9}
		if err := json.Unmarshal([]byte(stored), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", stored, got, err)
		}
		if raw, err := json.Marshal(want); err != nil || string(raw) != stored {
			t.Errorf("%+v: got %s, %v", want, raw, err)
		}
	}
	var a Account
	for _, bad := range []string{"[1]", "[1,2,3,4]", `["a",2]`, "{}"} {
		if err := json.Unmarshal([]byte(bad), &a); err == nil {
			t.Errorf("%s was read as %+v", bad, a)
		}
	}
}
