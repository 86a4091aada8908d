package recheck

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/batch/lake"
	"recount/batch/object"
	"recount/schemas/catalog"
	"recount/schemas/conversion"
	"recount/schemas/decimal"
	"recount/schemas/eventbatch"
	"recount/schemas/sqlschema"
)

// maxShown is how many differing rows of one bucket a result names.
const maxShown = 5

// statement compares one bucket of a view in one SQL statement:
//
//  1. read the rows of the bucket from the objects,
//  2. keep, of each identity, the row of the lowest position (B2),
//  3. drop rows with an assigned time whose identity has an assigned time at a lower position in a bucket
//     beside theirs (I3),
//  4. apply the view's filter,
//  5. replace the values beyond the limit in each dimension (B7),
//  6. group by tenant, cell and dimensions,
//  7. put the groups beside the published rows and return those that differ.
//
// ClickHouse puts an alias in place of a column of the same name. So each alias begins with an underscore, with which
// no field and no measure begins.
type statement struct {
	catalog         *catalog.Catalog
	view            *catalog.View
	access          lake.Access
	start           int64
	version         uint64
	objects, beside []string
	limit           int // values of a dimension from a tenant (B7); 0 if the bucket cannot have more
}

// parameters keep the access keys of the store out of the statement's text, which servers log.
func (q *statement) parameters() clickhouse.Parameters {
	return clickhouse.Parameters{
		"objects": q.access.URL + objectPattern(q.objects), "beside": q.access.URL + objectPattern(q.beside),
		"key": q.access.AccessKey, "secret": q.access.SecretKey, "token": q.access.Token,
	}
}

// objectPattern returns one pattern that names all the objects.
func objectPattern(keys []string) string {
	if len(keys) == 1 {
		return keys[0]
	}
	return "{" + strings.Join(keys, ",") + "}"
}

func (q *statement) text() string {
	keys := []string{"_owner", "_cell"}
	var dims []string
	for i := range q.view.Dimensions {
		dims = append(dims, fmt.Sprintf("_d%d", i))
	}
	keys = append(keys, dims...)
	dimensions := "''"
	if len(dims) > 0 {
		dimensions = "toString(tuple(" + strings.Join(dims, ", ") + "))"
	}
	var same, published, computed []string
	for _, v := range q.values() {
		a := v.onSide(0)
		b := v.onSide(1)
		same = append(same, fmt.Sprintf("ifNull(%s = %s, isNull(%s) AND isNull(%s))", a, b, a, b))
		if !v.hidden {
			published = append(published, v.shown(0))
			computed = append(computed, v.shown(1))
		}
	}
	return fmt.Sprintf("SELECT _owner, toString(_cell), %s, if(countIf(_side = 0) = 0, 'no row', "+
		"toString(tuple(%s))), if(countIf(_side = 1) = 0, 'no row', toString(tuple(%s))), count() OVER ()\n"+
		"FROM (\n%s\nUNION ALL\n%s\n)\nGROUP BY %s\nHAVING NOT (countIf(_side = 0) = 1 AND countIf(_side = 1) = 1 AND "+
		"%s)\nORDER BY _owner, _cell LIMIT %d",
		dimensions, strings.Join(published, ", "), strings.Join(computed, ", "), q.publishedRows(), q.computedRows(),
		strings.Join(keys, ", "), strings.Join(same, " AND "), maxShown)
}

// value is one number of a row.
type value struct {
	name      string
	published string // SQL of the number in the published row
	computed  string // SQL of the number from the events
	// far is the name of the far part if the number is the near part of a sum of floats. Both parts are
	// compared, and their sum is shown.
	far    string
	hidden bool // the number is only compared
}

// onSide is the SQL of the value on one side of a group. Side 0 is published and side 1 is computed.
func (v value) onSide(side int) string { return onSide(v.name, side) }

func onSide(name string, side int) string { return fmt.Sprintf("anyIf(%s, _side = %d)", name, side) }

// shown is the SQL of what a difference shows of the value.
func (v value) shown(side int) string {
	if v.far != "" {
		return sqlschema.ReadableSum(v.onSide(side), onSide(v.far, side))
	}
	return v.onSide(side)
}

// values returns the numbers of a row: its events and the columns of its measures.
func (q *statement) values() []value {
	out := []value{{name: "_v", published: sqlschema.Quote(sqlschema.ColEvents), computed: "count()"}}
	for i, m := range q.view.Measures {
		name := fmt.Sprintf("_v%d", i)
		field := sqlschema.Quote(m.Field)
		column := func(suffix string) string { return sqlschema.Quote(m.Name + suffix) }
		t := q.catalog.MeasureType(q.view, m)
		switch m.Kind {
		case catalog.Count:
			out = append(out, value{name: name, published: column(""), computed: "count()"})
		case catalog.Sum, catalog.Avg:
			sums := []value{{name: name, published: column("__sum"), computed: "ifNull(sum(toInt128(" + field +
				")), toInt128(0))"}}
			if t == catalog.Float64 {
				sums = []value{{name: name, far: name + "far", published: column("__near"),
					computed: sqlschema.NearSum(field)}, {name: name + "far", hidden: true,
					published: column("__far"), computed: sqlschema.FarSum(field)}}
			}
			if d, ok := t.Decimal(); ok {
				sums[0].computed = fmt.Sprintf("ifNull(sum(toDecimal128(%s, %d)), toDecimal128(0, %d))", field, d.Scale,
					d.Scale)
			}
			n := value{name: name + "n", published: column("__n"), computed: "count(" + field + ")"}
			out = append(append(out, sums...), n)
		case catalog.Min, catalog.Max:
			out = append(out, value{name: name, published: column(""), computed: string(m.Kind) + "(" + field + ")"})
		case catalog.Distinct:
			distinctOf := field
			if t == catalog.Float64 {
				distinctOf = "(" + field + " + 0)" // It makes -0 and 0 the same value.
			}
			out = append(out, value{name: name, published: "finalizeAggregation(CAST(" + column("__state") +
				", 'AggregateFunction(uniqExact, UInt64)'))", computed: "uniqExact(" + distinctOf + ")"})
		case catalog.Quantile:
			out = append(out, value{name: name, published: "toString(mapSort(" + column(sqlschema.BinsSuffix) + "))",
				computed: "toString(" + sqlschema.CountBins(field, t) + ")"})
		}
	}
	return out
}

// publishedRows is the SQL of the rows of the published version.
func (q *statement) publishedRows() string {
	columns := []string{"0 AS _side", "toString(tenant) AS _owner", "time AS _cell"}
	for i, d := range q.view.Dimensions {
		columns = append(columns,
			fmt.Sprintf("CAST(%s, 'Nullable(%s)') AS _d%d", sqlschema.Quote(d),
				sqlschema.Type(q.catalog.DimensionType(q.view, d)), i))
	}
	for _, v := range q.values() {
		columns = append(columns, v.published+" AS "+v.name)
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s = %s AND %s = %d", strings.Join(columns, ", "),
		sqlschema.Quote(sqlschema.Table(q.view, q.catalog.Digest(q.view))),
		sqlschema.Quote(sqlschema.ColBucket), timeSQL(q.start), sqlschema.Quote(sqlschema.ColVer), q.version)
}

// computedRows is the SQL of the rows that follow from the events.
func (q *statement) computedRows() string {
	columns := []string{"1 AS _side", "_tenant AS _owner", q.cell() + " AS _cell"}
	by := []string{"_owner", "_cell"}
	for i, d := range q.view.Dimensions {
		columns = append(columns, fmt.Sprintf("toNullable(%s) AS _d%d", q.dimension(d), i))
		by = append(by, fmt.Sprintf("_d%d", i))
	}
	for _, v := range q.values() {
		columns = append(columns, v.computed+" AS "+v.name)
	}
	return fmt.Sprintf("SELECT %s FROM (\n%s\n)%s GROUP BY %s", strings.Join(columns, ", "), q.firstEvents(),
		q.whereClause(), strings.Join(by, ", "))
}

// cell is the SQL of the cell of an event.
func (q *statement) cell() string {
	width := q.view.Cell.Microseconds()
	return fmt.Sprintf("fromUnixTimestamp64Micro(intDiv(toUnixTimestamp64Micro(time), %d) * %d, 'UTC')", width, width)
}

// dimension is the SQL of the value that views count in a dimension: the event's own value, or the overflow value if
// as many other values of the tenant come first, by their first cell and then by value (B7).
func (q *statement) dimension(name string) string {
	if q.limit == 0 {
		return sqlschema.Quote(name)
	}
	var overflow string
	switch q.fieldType(name) {
	case catalog.String:
		overflow = quoteText(catalog.Overflow)
	case catalog.Int64:
		overflow = fmt.Sprintf("toInt64(%s)", quoteText(strconv.FormatInt(catalog.OverflowInt, 10)))
	default:
		return sqlschema.Quote(name)
	}
	counts := sqlschema.Quote(name) + " != " + overflow // It is null for null.
	where := q.whereClause()
	if where == "" {
		where = " WHERE true"
	}
	admitted := fmt.Sprintf("SELECT %s, _admitted FROM (SELECT %s, assumeNotNull(%s) AS _admitted, min(%s) AS _since "+
		"FROM (%s)%s AND %s GROUP BY %s, _admitted) ORDER BY _since, _admitted LIMIT %d BY %s", eventbatch.ColTenant,
		eventbatch.ColTenant, sqlschema.Quote(name), q.cell(), q.firstEvents(), where, counts, eventbatch.ColTenant,
		q.limit, eventbatch.ColTenant)
	return fmt.Sprintf("if(ifNull(%s, 0) AND (%s, assumeNotNull(%s)) NOT IN (%s), %s, %s)", counts,
		eventbatch.ColTenant, sqlschema.Quote(name), admitted, overflow, sqlschema.Quote(name))
}

const assigned = "bitAnd(" + eventbatch.ColFlags + ", 1) = 1"

// firstEvents is the SQL of the events of the bucket without copies. Sequences decide which event is
// first, because all copies of an event are in one partition.
func (q *statement) firstEvents() string {
	width := q.catalog.Bucket.Microseconds()
	out := fmt.Sprintf("SELECT * FROM (SELECT * FROM %s WHERE time >= %s AND time < %s ORDER BY %s, %s LIMIT 1 BY %s)",
		q.source("objects"), timeSQL(q.start), timeSQL(q.start+width), object.ColSeq, object.ColIndex,
		eventbatch.ColKey)
	if len(q.beside) == 0 {
		return out
	}
	beside := fmt.Sprintf("SELECT %s AS _beside_key, min((%s, %s)) AS _beside_first FROM %s WHERE %s AND "+
		"(time >= %s AND time < %s OR time >= %s AND time < %s) GROUP BY _beside_key", eventbatch.ColKey, object.ColSeq,
		object.ColIndex, q.source("beside"), assigned, timeSQL(q.start-width), timeSQL(q.start),
		timeSQL(q.start+width), timeSQL(q.start+2*width))
	// A row without a match has the sequence 0.
	return fmt.Sprintf("SELECT * FROM (%s) AS bucket LEFT JOIN (%s) AS beside ON %s = _beside_key "+
		"WHERE NOT (%s AND _beside_first.1 > 0 AND _beside_first < (%s, %s))", out, beside, eventbatch.ColKey, assigned,
		object.ColSeq, object.ColIndex)
}

// undeclared is the SQL of the number of events of the bucket that have one of the fields among the undeclared ones,
// in a form that fields does not read. It may be too many: a plain field of the same name may be nested in another.
func (q *statement) undeclared(fields conversion.Fields) string {
	var found []string
	for _, f := range fields {
		if f.IsPlain() {
			found = append(found, fmt.Sprintf("isNull(%s) AND position(ifNull(%s, ''), %s) > 0",
				sqlschema.Quote(f.Name), eventbatch.ColExtra, quoteText(`"`+f.Name+`":`)))
		} else {
			found = append(found, unread(f))
		}
	}
	return fmt.Sprintf("SELECT count() FROM %s WHERE time >= %s AND time < %s AND (%s)", q.stored("objects"),
		timeSQL(q.start), timeSQL(q.start+q.catalog.Bucket.Microseconds()), strings.Join(found, " OR "))
}

// stored is the table function over the objects of a parameter. A column that an older object does
// not have is null.
func (q *statement) stored(objects string) string {
	columns := []string{eventbatch.ColKey + " FixedString(16)", eventbatch.ColTenant + " String", eventbatch.ColFlags +
		" UInt8",
		object.ColSeq + " Int64", object.ColIndex + " Int32", eventbatch.ColTime + " DateTime64(6, 'UTC')",
		eventbatch.ColExtra + " Nullable(String)"}
	for _, c := range q.storedColumns() {
		columns = append(columns, sqlschema.Quote(c.name)+" Nullable("+sqlschema.Type(c.fieldType)+")")
	}
	args := "{" + objects + ":String}"
	if q.access.AccessKey != "" {
		args += ", {key:String}, {secret:String}"
		if q.access.Token != "" {
			args += ", {token:String}"
		}
	}
	return "s3(" + args + ", 'Parquet', " + quoteText(strings.Join(columns, ", ")) + ")"
}

// whereClause is the SQL of the view's filter. It says for each condition what a missing field means.
func (q *statement) whereClause() string {
	var parts []string
	for _, f := range q.view.Where {
		parts = append(parts, condition(f, q.fieldType(f.Field)))
	}
	if len(parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(parts, " AND ")
}

func (q *statement) fieldType(field string) catalog.FieldType {
	t, _ := q.catalog.Events[q.view.Event].Column(field)
	return t
}

func condition(f catalog.Filter, t catalog.FieldType) string {
	name := sqlschema.Quote(f.Field)
	among := name + " IN (" + list(f.Values, t) + ")"
	first := literal(f.Values[0], t)
	switch f.Op {
	case catalog.Eq, catalog.In:
		return "ifNull(" + among + ", 0)"
	case catalog.Ne, catalog.NotIn:
		return "NOT ifNull(" + among + ", 0)"
	case catalog.Exists:
		return "isNotNull(" + name + ") = " + first
	}
	sign := map[catalog.FilterOp]string{catalog.Lt: "<", catalog.Le: "<=", catalog.Gt: ">", catalog.Ge: ">="}[f.Op]
	return "ifNull(" + name + " " + sign + " " + first + ", 0)"
}

// list is the SQL of values with commas between them.
func list(values []any, t catalog.FieldType) string {
	var out []string
	for _, v := range values {
		out = append(out, literal(v, t))
	}
	return strings.Join(out, ", ")
}

func literal(v any, t catalog.FieldType) string {
	switch x := v.(type) {
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return "toFloat64(" + quoteText(strconv.FormatFloat(x, 'g', -1, 64)) + ")"
	case int64:
		if t == catalog.Timestamp {
			return timeSQL(x)
		}
		if d, ok := t.Decimal(); ok {
			return fmt.Sprintf("toDecimal64(%s, %d)", quoteText(decimal.Format(x, d.Scale)), d.Scale)
		}
		return "toInt64(" + quoteText(strconv.FormatInt(x, 10)) + ")"
	}
	return quoteText(fmt.Sprint(v))
}

func timeSQL(t int64) string { return fmt.Sprintf("fromUnixTimestamp64Micro(%d, 'UTC')", t) }

func quoteText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
