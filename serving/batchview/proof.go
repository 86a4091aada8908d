package batchview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/singleflight"

	"recount/schemas/record"
	"recount/schemas/sqlschema"
)

const (
	maxReads     = 8                // how often a scan reads while the table's parts change
	maxRounds    = 100              // how often a proof lists parts while they change
	proofTimeout = 10 * time.Minute // the longest proof of a table
	partsAtOnce  = 500              // parts in one statement of a proof
)

// ErrChanging means that the parts of a table changed during each of several reads.
var ErrChanging = errors.New("the table's parts change faster than they can be read; try again")

// proof is what is known about the content of one table (Q3). Its methods may be called concurrently.
type proof struct {
	table string
	// newest is the parts that were last seen together, all of them read. It is nil before the first proof.
	newest  atomic.Pointer[listing]
	running singleflight.Group
	mu      sync.Mutex // mu guards all that follows.
	// known is what each part holds, by bucket and version ascending.
	known map[string][]content
	// sums is the SQL that read what is known. It depends on the table's columns.
	sums string
	// seen has the values of each dimension that answers had. It proves nothing.
	seen map[string]*seen
}

// listing is the parts of a table at one moment, and what they hold together.
type listing struct {
	parts    []string  // ascending; each names server, part and hash of the part's files
	contents []content // by bucket and version ascending
	oddities []string  // the columns that the bits of content.odd stand for
}

// partColumns returns the column and the FROM clause of a branch that lists the active parts of a table. A
// part is named with its server and the hash of its files. So a part of another replica, or of a table that
// was dropped and created again, is another part, whatever its name.
func partColumns(table string) (column, from string) {
	return "concat(toString(serverUUID()), ' ', hash_of_all_files, ' ', name)",
		" FROM system.parts WHERE active AND database = currentDatabase() AND table = '" + table + "'"
}

// difference returns the first pinned bucket whose rows are not those in the listing, and what the listing
// has instead. pinned must be ascending by bucket.
func (l *listing) difference(pinned []record.BucketVersion) (want, got record.BucketVersion, differs bool) {
	rest := l.contents
	byVersion := func(c content, b record.BucketVersion) int { return compareVersions(c.BucketVersion, b) }
	for _, want := range pinned {
		i, found := slices.BinarySearchFunc(rest, want, byVersion)
		rest = rest[i:]
		if !found && want.Rows > 0 {
			return want, record.BucketVersion{Bucket: want.Bucket, Ver: want.Ver}, true
		}
		if found && rest[0].BucketVersion != want {
			return want, rest[0].BucketVersion, true
		}
	}
	return want, got, false
}

func compareVersions(a, b record.BucketVersion) int {
	return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Ver, b.Ver))
}

// proof returns what is known about a table.
func (v *Views) proof(table string) *proof {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.proofs[table]
	if p == nil {
		p = &proof{table: table, known: map[string][]content{}, seen: map[string]*seen{}}
		v.proofs[table] = p
	}
	return p
}

// prove reads the parts of a table that are not known yet. One proof of a table runs at a time. It goes on when
// the query that began it has ended, because a part may take longer to read than any query.
func (v *Views) prove(ctx context.Context, p *proof) error {
	done := p.running.DoChan("", func() (any, error) {
		limit, cancel := context.WithTimeout(v.life, proofTimeout)
		defer cancel()
		return nil, v.readParts(limit, p)
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// readParts lists the parts and reads the unknown ones until all parts of one listing are known.
func (v *Views) readParts(ctx context.Context, p *proof) error {
	columns, err := v.columns(ctx, p.table)
	if err != nil {
		return err
	}
	names, odd := oddities(columns)
	checksum, err := sqlschema.Checksum(columns)
	if err != nil {
		return err
	}
	sums := checksum + ", " + odd + ", " + stateBytes(columns)
	p.forgetOthers(sums)
	for range maxRounds {
		parts, err := v.listParts(ctx, p.table)
		if err != nil {
			return err
		}
		unknown := p.unknown(parts)
		if len(unknown) == 0 {
			p.accept(parts, names)
			return nil
		}
		for some := range slices.Chunk(unknown, partsAtOnce) {
			if err := v.readContent(ctx, p, sums, some); err != nil {
				return err
			}
		}
	}
	return ErrChanging
}

// columns returns the columns of a table. Their types are ClickHouse's, because a pinned publication may have a
// definition that is no longer declared. Wrong types give wrong checksums, so nothing relies on them.
func (v *Views) columns(ctx context.Context, table string) ([]sqlschema.Column, error) {
	rows, err := v.conn.Query(ctx, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND "+
		"table = '"+table+"' ORDER BY position")
	if err != nil {
		return nil, fmt.Errorf("list columns: %w", err)
	}
	defer rows.Close()
	var columns []sqlschema.Column
	for rows.Next() {
		var c sqlschema.Column
		if err := rows.Scan(&c.Name, &c.Type); err != nil {
			return nil, fmt.Errorf("list columns: %w", err)
		}
		columns = append(columns, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list columns: %w", err)
	}
	if len(columns) == 0 {
		return nil, &clickhouse.Exception{Code: codeUnknownTable, Message: "there is no table " + table}
	}
	return columns, nil
}

func (v *Views) listParts(ctx context.Context, table string) ([]string, error) {
	column, from := partColumns(table)
	var parts []string
	if err := v.conn.QueryRow(ctx, "SELECT groupArray("+column+")"+from).Scan(&parts); err != nil {
		return nil, fmt.Errorf("list parts: %w", err)
	}
	slices.Sort(parts)
	return parts, nil
}

// readContent reads some parts. The same statement lists the parts. A part was read whole if it was there before
// and is listed, because parts never change and never come back. The others were merged and remain unknown. sums is the
// SQL of the checksum, of content.odd and of content.states.
func (v *Views) readContent(ctx context.Context, p *proof, sums string, parts []string) error {
	column, from := partColumns(p.table)
	names := make([]string, len(parts))
	for i, part := range parts {
		names[i] = "'" + partName(part) + "'"
	}
	sql := fmt.Sprintf("SELECT toString(_part), toUnixTimestamp64Micro(%[1]s), %[2]s, toInt64(count()), "+
		"if(min(%[8]s) = max(%[8]s), toString(any(%[8]s)), ''), %[3]s "+
		"FROM %[4]s WHERE _part IN (%[5]s) GROUP BY _part, %[1]s, %[2]s\nUNION ALL\n"+
		"SELECT %[6]s, toInt64(0), toUInt64(0), toInt64(0), '', toUInt64(0), toUInt64(0), toUInt64(0) %[7]s",
		sqlschema.Quote(sqlschema.ColBucket), sqlschema.Quote(sqlschema.ColVer), sums, sqlschema.Quote(p.table),
		strings.Join(names, ", "), column, from, sqlschema.Quote(sqlschema.ColTenant))
	rows, err := v.conn.Query(v.proofContext(ctx, len(sql)), sql)
	if err != nil {
		return fmt.Errorf("read parts: %w", err)
	}
	defer rows.Close()
	contents := map[string][]content{}
	listed := map[string]bool{}
	for rows.Next() {
		var part string
		var c content
		err := rows.Scan(&part, &c.Bucket, &c.Ver, &c.Rows, &c.tenant, &c.Checksum, &c.odd, &c.states)
		if err != nil {
			return fmt.Errorf("read parts: %w", err)
		}
		if c.Rows == 0 {
			listed[part] = true
		} else {
			contents[part] = append(contents[part], c)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read parts: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range parts {
		if listed[part] {
			p.known[part] = contents[partName(part)]
		}
	}
	return nil
}

// partName returns ClickHouse's name of a part.
func partName(part string) string { return part[strings.LastIndexByte(part, ' ')+1:] }

// serverOf returns the server of a part.
func serverOf(part string) string { return part[:strings.IndexByte(part, ' ')] }

// forgetOthers forgets what was read with other SQL. A new column changes no part, but the meaning of content.odd.
func (p *proof) forgetOthers(sums string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sums != sums {
		p.sums = sums
		clear(p.known)
	}
}

func (p *proof) unknown(parts []string) (unknown []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range parts {
		if _, known := p.known[part]; !known {
			unknown = append(unknown, part)
		}
	}
	return unknown
}

// accept makes parts, which are known and ascending, the newest listing. It forgets other parts of their server.
func (p *proof) accept(parts, oddities []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &listing{parts: parts, oddities: oddities}
	for _, part := range parts {
		l.contents = append(l.contents, p.known[part]...)
	}
	slices.SortFunc(l.contents, func(a, b content) int { return compareVersions(a.BucketVersion, b.BucketVersion) })
	l.contents = addUp(l.contents)
	maps.DeleteFunc(p.known, func(part string, _ []content) bool {
		_, listed := slices.BinarySearch(parts, part)
		return !listed && len(parts) > 0 && serverOf(part) == serverOf(parts[0])
	})
	p.newest.Store(l)
}

// addUp adds up neighbours of one bucket and version, in place.
func addUp(contents []content) []content {
	out := contents[:0]
	for _, c := range contents {
		if n := len(out); n > 0 && compareVersions(out[n-1].BucketVersion, c.BucketVersion) == 0 {
			out[n-1].add(c)
			continue
		}
		out = append(out, c)
	}
	return out
}

// proofContext returns a context for the driver with the settings of a proof. Only ctx limits its time.
func (v *Views) proofContext(ctx context.Context, sqlBytes int) context.Context {
	settings := wholeReads(clickhouse.Settings{"max_execution_time": 0, "max_query_size": sqlBytes + 1<<20,
		"max_memory_usage": v.cfg.MaxMemory})
	return clickhouse.Context(ctx, clickhouse.WithSettings(settings))
}

// wholeReads adds settings without which a user's profile could make a statement return less than it should, or
// read the parts of another server than the one whose parts it lists.
func wholeReads(s clickhouse.Settings) clickhouse.Settings {
	for _, mode := range []string{"timeout", "read", "result", "group_by"} {
		s[mode+"_overflow_mode"] = "throw"
	}
	s["max_parallel_replicas"] = 1
	s["use_query_cache"] = 0
	return s
}
