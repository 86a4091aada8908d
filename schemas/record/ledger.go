package record

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"recount/schemas/position"
)

// Account is what batch has done with one tenant's events of one partition. It is encoded
// as an array.
type Account struct {
	Rows       int64 // landed rows that were read
	Duplicates int64 // of those, dropped as copies (B2), conflicting ones included
	Conflicts  int64 // of those, copies with another payload or time; not counted by older programs
}

// MarshalJSON encodes the account as [rows, duplicates], with conflicts as a third number if there are any.
func (a Account) MarshalJSON() ([]byte, error) {
	if a.Conflicts == 0 {
		return fmt.Appendf(nil, "[%d,%d]", a.Rows, a.Duplicates), nil
	}
	return fmt.Appendf(nil, "[%d,%d,%d]", a.Rows, a.Duplicates, a.Conflicts), nil
}

// Plus returns the sum of two accounts.
func (a Account) Plus(b Account) Account {
	return Account{a.Rows + b.Rows, a.Duplicates + b.Duplicates, a.Conflicts + b.Conflicts}
}

// Sum returns the sum of accounts.
func Sum(accounts []Account) (sum Account) {
	for _, a := range accounts {
		sum = sum.Plus(a)
	}
	return sum
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (a *Account) UnmarshalJSON(raw []byte) error {
	var n []json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	if len(n) != 2 && len(n) != 3 {
		return fmt.Errorf("%w: an account has 2 or 3 numbers, not %d", ErrInvalid, len(n))
	}
	a.Conflicts = 0
	return scan(n, []any{&a.Rows, &a.Duplicates, &a.Conflicts}[:len(n)]...)
}

// Ledger holds the accounts of one event type: by tenant, then partition. The recomputation
// counts them from the rows it reads, never from commit records, so that the two can be
// held against each other (A1). A publication's ledger is what it brought in; that of its
// state is everything since From.
type Ledger struct {
	// From says that the ledger begins here, and for each partition the sequence below which
	// nothing is in it: the first one, or more where publications are older than ledgers.
	From    []uint64             `json:"from,omitempty"`
	Tenants map[string][]Account `json:"tenants"`
}

// IsComplete reports whether the ledger goes back to the first event.
func (l *Ledger) IsComplete() bool {
	return l.From != nil && !slices.ContainsFunc(l.From, func(seq uint64) bool { return seq != position.First })
}

// Since is the sequence below which nothing of a partition is in the ledger.
func (l *Ledger) Since(partition int) uint64 {
	if l.From == nil {
		return position.First
	}
	return l.From[partition]
}

func (l *Ledger) check(partitions int) error {
	if l == nil || l.From != nil && len(l.From) != partitions {
		return fmt.Errorf("%w: a ledger is not of %d partitions", ErrInvalid, partitions)
	}
	for tenant, accounts := range l.Tenants {
		if len(accounts) != partitions {
			return fmt.Errorf("%w: tenant %.80q has accounts of %d partitions, there are %d", ErrInvalid, tenant,
				len(accounts), partitions)
		}
	}
	return nil
}

// plus returns the ledger with what a publication brought in.
func (l Ledger) plus(delta *Ledger) (Ledger, error) {
	if delta.From != nil {
		return *delta, nil
	}
	if l.From == nil {
		return l, fmt.Errorf("%w: a ledger goes on that has not begun", ErrInvalid)
	}
	sum := Ledger{From: l.From, Tenants: maps.Clone(l.Tenants)}
	if sum.Tenants == nil {
		sum.Tenants = map[string][]Account{}
	}
	for tenant, more := range delta.Tenants {
		accounts := slices.Clone(more)
		for p, a := range l.Tenants[tenant] {
			accounts[p] = accounts[p].Plus(a)
		}
		sum.Tenants[tenant] = accounts
	}
	return sum, nil
}
