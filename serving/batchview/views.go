package batchview

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recount/schemas/failpoint"
	"recount/schemas/query"
	"recount/schemas/record"
)

// Config bounds what one scan may cost.
type Config struct {
	// Bucket is the width of a bucket, as in the catalog.
	Bucket time.Duration
	// MaxGroups is how many rows a part may have. A scan with more fails.
	MaxGroups int
	// MaxMemory is how many bytes ClickHouse may use for one scan. The scan's share of memory may allow less.
	MaxMemory int64
	// Timeout is how long one scan may take, unless the caller's context ends earlier.
	Timeout time.Duration
}

// DefaultConfig returns the limits of a scan: 2 million groups, 2 GiB, 30 seconds.
func DefaultConfig(bucket time.Duration) Config {
	return Config{Bucket: bucket, MaxGroups: 2_000_000, MaxMemory: 2 << 30, Timeout: query.DefaultTimeout}
}

// Validate names each wrong field and says what to write instead.
func (c Config) Validate() error {
	var errs []error
	if c.Bucket <= 0 {
		errs = append(errs, fmt.Errorf("batch view bucket %s: give the catalog's bucket width", c.Bucket))
	}
	if c.MaxGroups < 1 || c.MaxGroups > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("batch view max groups %d: use 1 to %d", c.MaxGroups, math.MaxInt32))
	}
	if c.MaxMemory < 1<<20 {
		errs = append(errs, fmt.Errorf("batch view max memory %d: use at least 1 MiB", c.MaxMemory))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("batch view timeout %s: use more than 0s", c.Timeout))
	}
	return errors.Join(errs...)
}

// Views reads batch views. It is safe for concurrent use.
type Views struct {
	conn driver.Conn
	cfg  Config
	// maxStates is the constant, unless a test changes it.
	maxStates int64
	life      context.Context // life ends with Close. Proofs outlive the queries that begin them.
	stop      context.CancelFunc

	mu     sync.Mutex        // mu guards proofs.
	proofs map[string]*proof // by table: those of all views, and of definitions that pinned publications have
}

// New returns the batch views of a connection, which the caller keeps and closes after Close.
func New(conn driver.Conn, cfg Config) (*Views, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	v := &Views{conn: conn, cfg: cfg, maxStates: maxStates, proofs: map[string]*proof{}}
	v.life, v.stop = context.WithCancel(context.Background())
	return v, nil
}

// Close ends proofs that still run.
func (v *Views) Close() { v.stop() }

// Options say what a scan needs besides its values.
type Options struct {
	// Sketches are the windows, ascending, whose rows get the sets of distinct measures (distinct.Set).
	Sketches []int32
	// Except are groups whose rows are left out. It may be nil.
	Except *Except
}

// Scan returns the groups of the scan in the batch view that the state pins. A view without
// rows gives an empty part.
//
// It returns a *GuardError if pinned rows are missing or changed, an error that wraps
// query.ErrCollected if the table is missing, a *LimitError if the scan costs more than Config allows,
// and context.DeadlineExceeded. Any other error means that ClickHouse cannot answer.
func (v *Views) Scan(ctx context.Context, state *record.State, scan *query.Scan, opts Options) (*query.Part, error) {
	view, ok := state.Views[scan.View.Name]
	if ok && !scan.Reads(view.Digest) {
		return nil, fmt.Errorf("batch view %s: publication %d has it with definition %s, not %s", scan.View.Name,
			state.N, view.Digest, scan.Digest)
	}
	sums := nearSums
	if view.Digest == scan.Rounded && scan.Rounded != scan.Sketched {
		sums = roundedSums
	}
	if err := opts.Except.check(); err != nil {
		return nil, err
	}
	pins := pinsOf(view, scan.Windows.From, scan.Windows.To, v.cfg.Bucket)
	if pins.rows == 0 {
		return newCollector(scan, v.cfg.MaxGroups, &statement{}).part, nil
	}
	c, err := v.proven(ctx, state, scan, pins, opts, sums)
	if err == nil && c.hasFar && sums == nearSums {
		scan.Memory.Shrink(c.held)
		c, err = v.proven(ctx, state, scan, pins, opts, allSums)
	}
	return c.part, err
}

// proven runs the scan until the rows that it reads are the pinned rows (Q3). The collector is never nil.
// After an error its part is nil.
func (v *Views) proven(ctx context.Context, state *record.State, scan *query.Scan, pins *pins, opts Options,
	sums sumColumns) (*collector, error) {
	memory := int64(0)
	p := v.proof(pins.table(scan))
	for range maxReads {
		if proven := p.newest.Load(); proven != nil {
			f := proven.facts(pins.versions, pins.width)
			// The copies of the result must fit beside ClickHouse's memory, which firstMemory bounds.
			room := scan.Memory.Room(v.cfg.MaxMemory) / (4 * copiesOfResult)
			f.returnStates = f.known && f.states <= min(v.maxStates, room)
			memory = max(memory, v.firstMemory(scan, pins, f.statesRead(scan)))
			c, err := v.read(ctx, scan, p, &memory, func(codes *codes) *statement {
				return build(scan, pins, opts, f, sums, codes)
			})
			if err != nil {
				return c, err
			}
			if slices.Equal(c.parts, proven.parts) {
				return c, check(proven, pins, scan.View.Name, state.N)
			}
			scan.Memory.Shrink(c.held)
		}
		if err := v.prove(ctx, p); err != nil {
			return &collector{}, fmt.Errorf("check the rows of batch view %s: %w", scan.View.Name, classify(ctx, err))
		}
	}
	return &collector{}, fmt.Errorf("scan batch view %s: %w", scan.View.Name, ErrChanging)
}

// read runs a statement with codes for the dimensions, if the proof has some. If a row has a value without a code, it
// runs once more without codes. The collector is never nil.
func (v *Views) read(ctx context.Context, scan *query.Scan, p *proof, memory *int64,
	build func(*codes) *statement) (*collector, error) {
	if codes := p.codes(scan); codes != nil {
		if c, err := v.run(ctx, scan, build(codes), memory); !errors.Is(err, errNewValue) {
			return c, err
		}
	}
	c, err := v.run(ctx, scan, build(nil), memory)
	if err == nil {
		p.learn(scan, c.part)
	}
	return c, err
}

// check returns an error if the rows that were read are not those that the publication pins (Q3).
func check(proven *listing, pins *pins, view string, n uint64) error {
	want, got, differs := proven.difference(pins.versions)
	if !differs || failpoint.Off(failpoint.Q3) {
		return nil
	}
	return &GuardError{View: view, Publication: n, Want: want, Got: got}
}

// run runs a statement to its end, with so much memory for ClickHouse. When that is not enough, it runs the
// statement again with more. The collector is never nil. After an error its part is nil.
func (v *Views) run(ctx context.Context, scan *query.Scan, st *statement, memory *int64) (*collector, error) {
	for {
		c := newCollector(scan, v.cfg.MaxGroups, st)
		err := v.collect(ctx, st, c, *memory)
		if err == nil {
			slices.Sort(c.parts)
			return c, nil
		}
		scan.Memory.Shrink(c.held)
		more := min(memoryFactor**memory, scan.Memory.Room(v.cfg.MaxMemory)/4*3) // The part needs memory too.
		if errors.Is(err, errMemory) && more > *memory {
			*memory = more
			continue
		}
		return &collector{}, fmt.Errorf("scan batch view %s: %w", scan.View.Name, err)
	}
}

// collect runs a statement once. ClickHouse's memory is part of the scan's share meanwhile.
func (v *Views) collect(parent context.Context, st *statement, c *collector, memory int64) error {
	held := memory + copiesOfResult*st.stateBytes
	if err := c.scan.Memory.Grow(parent, held); err != nil {
		return err
	}
	defer c.scan.Memory.Shrink(held)
	ctx, cancel := v.context(parent, len(st.sql), memory)
	defer cancel()
	rows, err := v.conn.Query(ctx, st.sql, st.args...)
	if err != nil {
		return classify(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(c.dest...); err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		if err := c.add(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return classify(ctx, err)
	}
	return ctx.Err()
}

// context returns a context for the driver with the settings of one scan. It ends when the
// caller's context ends, but has no deadline: with one, the driver would overwrite
// max_execution_time by the deadline plus five seconds.
func (v *Views) context(ctx context.Context, sqlBytes int, memory int64) (context.Context, context.CancelFunc) {
	limit := v.cfg.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	settings := wholeReads(clickhouse.Settings{
		"max_execution_time":   max(1, int(math.Ceil(limit.Seconds()))),
		"max_memory_usage":     memory,
		"max_rows_to_group_by": v.cfg.MaxGroups,
		"max_query_size":       sqlBytes + 1<<20,
	})
	return clickhouse.Context(inner, clickhouse.WithSettings(settings)), func() {
		stop()
		cancel(nil)
	}
}
