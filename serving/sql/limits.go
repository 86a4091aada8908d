package sql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"recount/schemas/query"
	"recount/schemas/setting"
	"recount/serving/sql/guard"
)

// Limits bound what one statement may cost. How many run at once is decided before, with all other queries, and the
// memory of all together is that of queries.
type Limits struct {
	// Timeout is how long the engine may work on a statement, unless its context ends earlier.
	Timeout time.Duration
	// Memory is how many bytes the engine may use for it. Its share of the memory of queries may allow less.
	Memory int64
	// Rows and ResultBytes are how much a result may have.
	Rows        int64
	ResultBytes int64
	// Events is how many bytes of raw events it may read.
	Events int64
}

// DefaultLimits returns the limits of a statement.
func DefaultLimits() Limits {
	return Limits{Timeout: query.DefaultTimeout, Memory: 1 << 30, Rows: 1_000_000, ResultBytes: 64 << 20,
		Events: 256 << 20}
}

// Settings lists what an operator may set.
func (l *Limits) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Size("sql.memory", setting.AtLeast(64<<20), "Largest memory of one statement of POST /v1/sql in "+
			"ClickHouse, out of query.memory.", &l.Memory),
		setting.Size("sql.result", setting.AtLeast(1<<20), "Largest result of one statement; it is held in memory "+
			"before it is sent.", &l.ResultBytes),
		setting.Size("sql.events", setting.AtLeast(1<<20), "Most bytes of raw events that one statement reads; they "+
			"are held in memory twice, out of query.memory.", &l.Events),
		setting.Count("sql.rows", "rows", setting.AtLeast(1), "Most rows in the result of one statement.", &l.Rows),
	}
}

// Validate returns an error for each limit that is wrong, joined.
func (l Limits) Validate() error {
	var errs []error
	if l.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("sql timeout %s: use more than 0s", l.Timeout))
	}
	for name, v := range map[string]int64{"memory": l.Memory, "rows": l.Rows, "result bytes": l.ResultBytes,
		"events": l.Events} {
		if v < 1 {
			errs = append(errs, fmt.Errorf("sql %s %d: use at least 1", name, v))
		}
	}
	return errors.Join(errs...)
}

// settings are those of the session of a client's statement. They do not change what a statement means, and none of
// them may be changed by it.
func (l Limits) settings(ctx context.Context) map[string]string {
	limit := l.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	s := guard.Fixed()
	s["readonly"] = "1"
	s["max_execution_time"] = strconv.Itoa(max(1, int(math.Ceil(limit.Seconds()))))
	s["max_result_rows"] = strconv.FormatInt(l.Rows, 10)
	s["max_result_bytes"] = strconv.FormatInt(l.ResultBytes, 10)
	// A profile must not make a statement return less than it should.
	s["max_parallel_replicas"] = "1"
	for _, mode := range []string{"timeout", "read", "result", "group_by", "sort", "distinct", "set", "join",
		"transfer"} {
		s[mode+"_overflow_mode"] = "throw"
	}
	return s
}

// errScript means that the engine refused a statement of ours.
var errScript = errors.New("the tables of the statement cannot be made")

// errResult means that a result is larger than Limits.ResultBytes.
var errResult = errors.New("the result is too large")

// The codes of exceptions that are handled here.
const (
	codeUnknownTable = 60
	codeMemory       = 241
)
