package guard

import "strings"

// How large a statement may be once each name of an expression, and of a query of WITH, stands for what it names. The
// engine puts it there for each use, and does not look at the clock meanwhile. A chain of 100 names, each of which adds
// 1 to the one before, has 10,000 parts then, and its analysis took 0.15 s. That of 400 names took 29 s.
const (
	maxNamed   = 10_000 // parts that stand for names
	maxLambdas = 10     // lambdas inside each other
	// So many values of a list count as a part. An alias of a condition with a list is often used three times.
	valuesOfPart = 16
	// Queries inside each other, the columns of the results of all of them, and the product of both numbers. The time
	// grows with more than the square of each: 6 queries of 100 columns took 0.5 s, and 28 of them 30 s.
	maxQueries        = 64
	maxColumns        = 2000
	maxQueriesColumns = 10_000
)

// extent is how large a part of a statement is with what its names stand for.
type extent struct {
	nodes   int
	lambdas int // inside each other
	queries int // inside each other
	columns int // of the results of queries inside each other
	width   int // of what is a table: its columns
	tables  int // the most columns of the tables that one query reads
}

// hugeExtent ends the count of what may grow with each name to twice as many.
const hugeExtent = 1 << 30

// systemWidth is taken for the number of columns of a table about tables.
const systemWidth = 64

// inside adds what is inside of a part.
func (e *extent) inside(o extent) {
	e.nodes = min(e.nodes+o.nodes, hugeExtent)
	e.lambdas = max(e.lambdas, o.lambdas)
	e.queries = max(e.queries, o.queries)
	e.columns = max(e.columns, o.columns)
	e.tables = max(e.tables, o.tables)
}

// expansion measures a statement. Names are taken for those of the whole statement, whatever can see them, and of
// several things with one name all count. So it never measures too little.
type expansion struct {
	named   map[string][]*node
	known   map[string]extent // by name; that of a name inside itself is empty
	widest  int               // the most columns that a matcher, as *, may stand for
	columns func(table string) []string
}

// checkExtent refuses a statement that names make too large.
func checkExtent(root *node, columns func(table string) []string) error {
	x := expansion{named: map[string][]*node{}, known: map[string]extent{}, columns: columns}
	written := x.collect(root, false)
	// What a matcher stands for is known after the tables. That of the widest ones is taken for all.
	x.widest = x.measure(root, false).tables
	clear(x.known)
	all := x.measure(root, false)
	const instead = "; compute it once, in a subquery of FROM"
	switch {
	case all.nodes-written > maxNamed:
		return refuse("with what its names stand for, the statement has more than %d parts"+instead, maxNamed)
	case all.lambdas > maxLambdas:
		return refuse("more than %d lambdas are inside each other"+instead, maxLambdas)
	case all.queries > maxQueries:
		return refuse("more than %d queries are inside each other", maxQueries)
	case all.columns > maxColumns || all.queries*all.columns > maxQueriesColumns:
		return refuse("queries that are inside each other have %d columns, which are too many; name those that you "+
			"need", all.columns)
	}
	return nil
}

// weight returns as how many parts a node counts. Sections, lists and short constants cost nearly nothing.
func weight(n *node) int {
	switch {
	case n.kind == "CONSTANT":
		return strings.Count(n.attributes["constant_value_type"], ",") / valuesOfPart
	case n.section || n.kind == "LIST":
		return 0
	}
	return 1
}

// collect finds what has a name, and returns the number of parts. The name of a table stands for no expression.
func (x *expansion) collect(n *node, isTable bool) int {
	count := weight(n)
	for _, name := range []string{n.attributes["alias"], n.attributes["cte_name"]} {
		if name != "" && (!isTable || name == n.attributes["cte_name"]) {
			x.named[name] = append(x.named[name], n)
		}
	}
	for _, c := range n.children {
		count += x.collect(c, holdsTable(n))
	}
	return count
}

// holdsTable reports whether what is below a node is a table.
func holdsTable(n *node) bool {
	return n.kind == "JOIN TREE" || strings.HasSuffix(n.kind, "TABLE EXPRESSION")
}

func (x *expansion) measure(n *node, isTable bool) extent {
	e := extent{nodes: weight(n)}
	tables := 0 // columns of those that are joined
	for _, c := range n.children {
		inner := x.measure(c, holdsTable(n))
		e.inside(inner)
		e.width = max(e.width, inner.width)
		if holdsTable(n) || strings.Contains(n.kind, "JOIN") {
			tables = min(tables+inner.width, hugeExtent)
		}
	}
	e.width = max(e.width, tables)
	switch n.kind {
	case "LAMBDA":
		e.lambdas++
	case "QUERY":
		e.queries++
		e.tables = max(e.tables, e.width)
		e.width = widthOf(n, e.width)
		e.columns = min(e.columns+e.width, hugeExtent)
	case "TABLE_FUNCTION":
		e.width = rowWidth(n)
	case "MATCHER": // What transforms its columns is there for each of them.
		e.nodes = min(e.nodes*max(x.widest, 1), hugeExtent)
	case "IDENTIFIER":
		x.addNames(&e, n.attributes["identifier"], isTable)
	}
	return e
}

// rowWidth returns the most columns that a table function may have, which are those of the longest row of VALUES.
func rowWidth(function *node) int {
	width := 1
	for _, arguments := range function.children {
		for _, list := range arguments.children {
			for _, row := range list.children {
				width = max(width, values(row))
			}
		}
	}
	return width
}

// values returns how many values are written in a part at most.
func values(n *node) int {
	count := 1 + strings.Count(n.attributes["constant_value_type"], ",")
	for _, c := range n.children {
		count += values(c)
	}
	return count
}

// widthOf returns the columns of the result of a query that reads tables with so many columns.
func widthOf(query *node, tables int) int {
	width := 0
	for _, s := range query.children {
		if s.kind != "PROJECTION" {
			continue
		}
		for _, list := range s.children {
			for _, c := range list.children {
				if c.kind == "MATCHER" {
					width = min(width+tables, hugeExtent)
				} else {
					width++
				}
			}
		}
	}
	return width
}

// addNames adds what a name may stand for. What comes after a point may be an element of what comes before.
func (x *expansion) addNames(e *extent, name string, isTable bool) {
	for at := 0; at <= len(name); at++ {
		if at < len(name) && name[at] != '.' {
			continue
		}
		named := x.measureName(name[:at])
		e.inside(named)
		e.width = max(e.width, named.width)
	}
	switch {
	case !isTable || len(x.named[name]) > 0:
	case strings.Contains(name, " "): // SystemTable
		e.width = systemWidth
	default:
		e.width = len(x.columns(name))
	}
}

func (x *expansion) measureName(name string) extent {
	if e, found := x.known[name]; found {
		return e
	}
	x.known[name] = extent{}
	var e extent
	for _, n := range x.named[name] {
		one := x.measure(n, false)
		e.inside(one)
		e.width = max(e.width, one.width)
	}
	x.known[name] = e
	return e
}
