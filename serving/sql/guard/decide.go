package guard

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Names are the plain names of tables (Parse).
type Names map[string]bool

// Reads is what a statement reads.
type Reads struct {
	// Tables are in order of their names.
	Tables []string
	// Columns are all names in the statement that could be those of columns. If AllColumns is set, the statement reads
	// columns that it does not name, as * does. A table without any other column gives the same result.
	Columns    Names
	AllColumns bool
}

// Clone returns a copy that does not keep the tree in memory, of which the names are parts.
func (r *Reads) Clone() *Reads {
	out := &Reads{Columns: Names{}, AllColumns: r.AllColumns}
	for _, t := range r.Tables {
		out.Tables = append(out.Tables, strings.Clone(t))
	}
	for name := range r.Columns {
		out.Columns[strings.Clone(name)] = true
	}
	return out
}

// Decide reads the tree that ClickHouse prints for EXPLAIN QUERY TREE run_passes = 0 of Statement.Text. It returns what
// the statement reads, or a Refusal that names the first thing that is not on a list. tables are those that the client
// may read, and columns returns the names of a table's columns. Of those of a SystemTable, only database matters.
func Decide(tree string, tables Names, columns func(table string) []string) (*Reads, error) {
	root, err := parseTree(tree)
	if err != nil {
		return nil, err
	}
	d := decider{tables: tables, used: Names{}, bare: Names{}, aliases: Names{}, reads: Reads{Columns: Names{}}}
	if err := d.query(root, nil); err != nil {
		return nil, err
	}
	if err := d.checkBareNames(columns); err != nil {
		return nil, err
	}
	if err := checkExtent(root, columns); err != nil {
		return nil, err
	}
	d.reads.Tables = slices.Sorted(maps.Keys(d.used))
	return &d.reads, nil
}

// decider walks over a tree. Each method has the names of the queries of WITH that its node can see.
type decider struct {
	tables  Names
	used    Names
	bare    Names // names of expressions without a point
	aliases Names
	reads   Reads
}

// databaseNames are names in lower case that the engine takes for a function which tells the name of the session's
// database, where no column and no expression is called so. It is the same for all statements, so it does no harm that
// a table of another subquery may have the column.
var databaseNames = wordSet("database schema current_database currentdatabase")

// checkBareNames refuses such a name where no table has a column of this name.
func (d *decider) checkBareNames(columns func(table string) []string) error {
	for _, name := range slices.Sorted(maps.Keys(d.bare)) {
		if !databaseNames[strings.ToLower(name)] || d.aliases[name] {
			continue
		}
		isColumn := func(table string) bool { return slices.Contains(columns(table), name) }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(d.used)), isColumn) {
			return refuse("%s is no column here; write currentDatabase()", name)
		}
	}
	return nil
}

// shape is what a kind of node may have: attributes, and sections with one node below each.
type shape struct {
	attributes []string
	sections   []string
}

// shapes are the kinds of nodes. A part of a query that a later version of ClickHouse adds is in none, and is refused.
var shapes = map[string]shape{
	"QUERY": {
		[]string{"alias", "is_subquery", "is_cte", "cte_name", "is_distinct", "is_limit_with_ties",
			"is_group_by_with_totals", "is_group_by_all", "is_order_by_all", "is_limit_by_all", "group_by_type"},
		[]string{"WITH", "PROJECTION", "JOIN TREE", "PREWHERE", "WHERE", "GROUP BY", "HAVING", "WINDOW", "QUALIFY",
			"ORDER BY", "INTERPOLATE", "LIMIT BY LIMIT", "LIMIT BY OFFSET", "LIMIT BY", "LIMIT", "OFFSET"},
	},
	"UNION": {[]string{"alias", "is_subquery", "is_cte", "cte_name", "union_mode"}, []string{"QUERIES"}},
	"FUNCTION": {
		[]string{"alias", "function_name", "function_type"}, []string{"PARAMETERS", "ARGUMENTS", "WINDOW"},
	},
	"CONSTANT":   {[]string{"alias", "constant_value", "constant_value_type"}, nil},
	"IDENTIFIER": {[]string{"alias", "identifier"}, nil},
	"LIST":       {[]string{"nodes"}, nil},
	"LAMBDA":     {nil, []string{"ARGUMENTS", "EXPRESSION"}},
	"MATCHER": {
		[]string{"alias", "matcher_type", "qualified_identifier", "columns_pattern", "column_identifiers"}, nil,
	},
	"SORT": {
		[]string{"sort_direction", "nulls_sort_direction", "with_fill"},
		[]string{"EXPRESSION", "FILL FROM", "FILL TO", "FILL STEP", "FILL STALENESS"},
	},
	"INTERPOLATE":    {nil, []string{"EXPRESSION", "INTERPOLATE_EXPRESSION"}},
	"TABLE_FUNCTION": {[]string{"alias", "table_function_name"}, []string{"ARGUMENTS"}},
	"WINDOW": {
		[]string{"alias", "parent_window_name", "frame_type", "frame_begin_type", "frame_end_type"},
		[]string{"PARTITION BY", "ORDER BY", "FRAME BEGIN OFFSET", "FRAME END OFFSET"},
	},
	"JOIN": {
		[]string{"locality", "strictness", "kind"},
		[]string{"LEFT TABLE EXPRESSION", "RIGHT TABLE EXPRESSION", "JOIN EXPRESSION"},
	},
	"CROSS JOIN":                 {nil, []string{"TABLE EXPRESSION"}},
	"ARRAY_JOIN":                 {[]string{"alias", "is_left"}, []string{"TABLE EXPRESSION", "JOIN EXPRESSIONS"}},
	"APPLY COLUMN TRANSFORMER":   {[]string{"apply_transformer_type"}, []string{"EXPRESSION"}},
	"EXCEPT COLUMN TRANSFORMER":  {[]string{"except_transformer_type", "pattern", "identifiers"}, nil},
	"REPLACE COLUMN TRANSFORMER": {nil, []string{"REPLACEMENTS"}},
}

// sectionName returns the name of a section, without what ClickHouse says about it after the name.
func sectionName(kind string) string {
	before, after, found := strings.Cut(kind, " ")
	if found && (before == "EXPRESSION" || before == "REPLACEMENTS") && isPrintableName(after) {
		return before
	}
	return kind
}

// checkShape refuses what a node of this kind does not have.
func checkShape(n *node) error {
	sh, known := shapes[n.kind]
	if !known || n.section {
		return unknownLine(n.kind)
	}
	for a := range n.attributes {
		if !slices.Contains(sh.attributes, a) {
			return refuse("%s of a %s is not allowed", strings.ReplaceAll(a, "_", " "), strings.ToLower(n.kind))
		}
	}
	return nil
}

// query decides about a SELECT or a UNION.
func (d *decider) query(n *node, visible []string) error {
	if n.kind == "UNION" {
		if err := checkShape(n); err != nil {
			return err
		}
		return d.sections(n, func(_ string, list *node) error {
			return d.list(list, func(q *node) error { return d.query(q, visible) })
		})
	}
	if n.kind != "QUERY" {
		return unknownLine(n.kind)
	}
	if err := checkShape(n); err != nil {
		return err
	}
	// The queries of WITH are visible in the whole query.
	for _, s := range n.children {
		if s.kind != "WITH" {
			continue
		}
		if err := d.withQueries(s, &visible); err != nil {
			return err
		}
	}
	return d.sections(n, func(section string, child *node) error {
		switch section {
		case "WITH":
			return nil
		case "JOIN TREE":
			return d.table(child, visible)
		}
		return d.expression(child, visible)
	})
}

// withQueries decides about WITH and adds the names of its queries to those that are visible. A query of WITH sees the
// ones before it, and none with its own name: ClickHouse looks for a table of this name then.
func (d *decider) withQueries(s *node, visible *[]string) error {
	if len(s.children) != 1 {
		return unknownLine(s.kind)
	}
	return d.list(s.children[0], func(n *node) error {
		cte := n.attributes["cte_name"]
		if cte == "" {
			return d.expression(n, *visible)
		}
		if d.tables[cte] || strings.Contains(cte, ".") {
			return refuse("WITH %s is not allowed: a table has this name; choose another", cte)
		}
		others := slices.DeleteFunc(slices.Clone(*visible), func(v string) bool { return v == cte })
		if err := d.query(n, others); err != nil {
			return err
		}
		*visible = append(slices.Clone(*visible), cte)
		return nil
	})
}

// table decides about a node of FROM.
func (d *decider) table(n *node, visible []string) error {
	switch n.kind {
	case "QUERY", "UNION":
		return d.query(n, visible)
	case "IDENTIFIER":
		if n.attributes["identifier"] == "system.one" {
			return checkShape(n) // of a SELECT without FROM; a client cannot write it, because rename replaces it.
		}
		if err := checkShape(n); err != nil {
			return err
		}
		return d.tableName(n.attributes["identifier"], visible)
	case "TABLE_FUNCTION":
		return d.tableFunction(n)
	case "JOIN", "CROSS JOIN", "ARRAY_JOIN":
		if err := checkShape(n); err != nil {
			return err
		}
		return d.sections(n, func(section string, child *node) error {
			if strings.HasSuffix(section, "TABLE EXPRESSION") {
				return d.table(child, visible)
			}
			return d.expression(child, visible)
		})
	}
	return unknownLine(n.kind)
}

// tableName decides about the name of a table.
func (d *decider) tableName(plain string, visible []string) error {
	switch {
	case strings.Contains(plain, "."):
		// It is a table of a database of the engine, or a quoted name that the tree shows like one.
		return NoTable(plain)
	case slices.Contains(visible, plain):
		return nil
	case d.tables[plain]:
		d.used[plain] = true
		return nil
	}
	return NoTable(plain)
}

// tableFunction decides about a table function. Its arguments are numbers and calculations, because a name there could
// be that of a table.
func (d *decider) tableFunction(n *node) error {
	if err := checkShape(n); err != nil {
		return err
	}
	name := n.attributes["table_function_name"]
	if !tableFunctions[name] {
		return refuse("the table function %s is not allowed; allowed are %s", name,
			strings.Join(TableFunctions(), ", "))
	}
	return d.sections(n, func(_ string, list *node) error {
		first := true
		return d.list(list, func(argument *node) error {
			if first && strings.EqualFold(name, "values") && !isRow(argument) {
				return refuse("put the rows of %s in parentheses: VALUES (1, 'a'), (2, 'b')", name)
			}
			first = false
			if argument.kind != "CONSTANT" && argument.kind != "FUNCTION" {
				return refuse("an argument of %s must be a number", name)
			}
			return d.constantExpression(argument, name)
		})
	})
}

// isRow reports whether an argument of VALUES is a row. A text, or what may become one, could be taken for the names
// and types of columns.
func isRow(n *node) bool {
	return n.kind == "FUNCTION" && n.attributes["function_name"] == "tuple" ||
		n.kind == "CONSTANT" && strings.HasPrefix(n.attributes["constant_value_type"], "Tuple(")
}

// constantExpression decides about an expression that reads nothing.
func (d *decider) constantExpression(n *node, function string) error {
	if n.kind == "IDENTIFIER" || n.kind == "QUERY" || n.kind == "UNION" || n.kind == "MATCHER" {
		return refuse("an argument of %s must be a number", function)
	}
	if !n.section && n.kind != "LIST" {
		if err := d.expression(n, nil); err != nil {
			return err
		}
	}
	for _, c := range n.children {
		if err := d.constantExpression(c, function); err != nil {
			return err
		}
	}
	return nil
}

// expression decides about a node that is not in FROM.
func (d *decider) expression(n *node, visible []string) error {
	d.aliases[n.attributes["alias"]] = true
	if n.kind == "QUERY" || n.kind == "UNION" {
		return d.query(n, visible)
	}
	if n.attributes["alias"] != "" && n.kind == "LAMBDA" {
		return refuse("a lambda may not have a name") // It would replace the function of its name.
	}
	if err := checkShape(n); err != nil {
		return err
	}
	each := func(child *node) error { return d.expression(child, visible) }
	switch n.kind {
	case "LIST":
		return d.list(n, each)
	case "FUNCTION":
		return d.function(n, visible)
	case "LAMBDA":
		return d.lambda(n, each)
	case "IDENTIFIER":
		d.bare[n.attributes["identifier"]] = true
		for part := range strings.SplitSeq(n.attributes["identifier"], ".") {
			if engineColumns[part] {
				return refuse("the column %s is not allowed; use currentDatabase()", part)
			}
			d.reads.Columns[part] = true
		}
	case "MATCHER":
		d.reads.AllColumns = true
		for part := range strings.FieldsFuncSeq(n.attributes["column_identifiers"], isBetweenNames) {
			if engineColumns[part] {
				return refuse("the column %s is not allowed; use currentDatabase()", part)
			}
		}
		for _, c := range n.children {
			if err := d.list(c, each); err != nil {
				return err
			}
		}
		return nil
	case "REPLACE COLUMN TRANSFORMER":
		return d.replacements(n, each)
	case "TABLE_FUNCTION", "JOIN", "CROSS JOIN", "ARRAY_JOIN":
		return unknownLine(n.kind)
	}
	return d.sections(n, func(_ string, child *node) error { return each(child) })
}

// engineColumns are columns that the engine gives every table. They tell how it names the tables of a statement.
var engineColumns = map[string]bool{"_database": true, "_table": true}

// isBetweenNames reports whether a character stands between the names of a list in a tree.
func isBetweenNames(r rune) bool { return r == '.' || r == ',' || r == ' ' }

// inFunctions take a table as the second argument, whose name the tree shows as that of any column.
var inFunctions = map[string]bool{
	"in": true, "notIn": true, "globalIn": true, "globalNotIn": true, "nullIn": true, "notNullIn": true,
	"globalNullIn": true, "globalNotNullIn": true, "inIgnoreSet": true, "notInIgnoreSet": true,
	"globalInIgnoreSet": true, "globalNotInIgnoreSet": true, "nullInIgnoreSet": true, "notNullInIgnoreSet": true,
	"globalNullInIgnoreSet": true, "globalNotNullInIgnoreSet": true,
}

func (d *decider) function(n *node, visible []string) error {
	function := n.attributes["function_name"]
	if !allowsFunction(function) {
		return refuse("the function %s is not allowed; those that compute with their arguments alone are", function)
	}
	if err := checkElements(n); err != nil {
		return err
	}
	return d.sections(n, func(section string, child *node) error {
		if section == "WINDOW" {
			return d.expression(child, visible)
		}
		number := 0
		return d.list(child, func(argument *node) error {
			number++
			if section == "ARGUMENTS" && number == 2 && inFunctions[function] && argument.kind == "IDENTIFIER" {
				if err := d.tableName(argument.attributes["identifier"], visible); err != nil {
					return refuse("IN takes a list, a subquery or a table, not the column %s; for an array use has()",
						argument.attributes["identifier"])
				}
				d.reads.AllColumns = true
				return checkShape(argument)
			}
			if isCountOfRows(function, argument) {
				return checkShape(argument)
			}
			if section == "ARGUMENTS" {
				err := cmp.Or(checkZone(function, number, argument), checkNeedle(function, number, argument))
				if err != nil {
					return err
				}
			}
			last := number == len(child.children)
			if section == "ARGUMENTS" && last && takesType[strings.ToLower(function)] {
				return checkType(function, argument)
			}
			return d.expression(argument, visible)
		})
	})
}

// isCountOfRows reports whether an argument is that of count(*), which reads no column.
func isCountOfRows(function string, argument *node) bool {
	return strings.EqualFold(function, "count") && argument.kind == "MATCHER" && len(argument.children) == 0 &&
		argument.attributes["matcher_type"] == "ASTERISK" && argument.attributes["qualified_identifier"] == ""
}

// lambda decides about a lambda. Later versions of ClickHouse print its arguments as nodes of their own.
func (d *decider) lambda(n *node, each func(*node) error) error {
	rest := &node{kind: n.kind, attributes: n.attributes}
	for _, c := range n.children {
		if c.kind != "ARGUMENTS" || c.section {
			rest.children = append(rest.children, c)
			continue
		}
		for _, argument := range c.children {
			if argument.kind != "ARGUMENT" || argument.section || len(argument.children) > 0 ||
				len(argument.attributes) != 1 || argument.attributes["name"] == "" {
				return unknownLine(argument.kind)
			}
		}
	}
	return d.sections(rest, func(_ string, child *node) error { return each(child) })
}

// replacements decides about REPLACE(expression AS name, …).
func (d *decider) replacements(n *node, each func(*node) error) error {
	for _, s := range n.children {
		if !s.section || sectionName(s.kind) != "REPLACEMENTS" {
			return unknownLine(s.kind)
		}
		for _, r := range s.children {
			replaced, found := strings.CutPrefix(r.kind, "REPLACEMENT NAME ")
			replaced, ends := strings.CutSuffix(replaced, " EXPRESSION")
			if !r.section || !found || !ends || !isPrintableName(replaced) || len(r.children) != 1 {
				return unknownLine(r.kind)
			}
			if err := each(r.children[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

// sections calls f with each section of a node, which must be one that this kind has, and the one node below it.
func (d *decider) sections(n *node, f func(section string, child *node) error) error {
	for _, s := range n.children {
		section := sectionName(s.kind)
		if !s.section || !slices.Contains(shapes[n.kind].sections, section) || len(s.children) != 1 {
			return unknownLine(s.kind)
		}
		if s.children[0].section {
			return unknownLine(s.children[0].kind)
		}
		if err := f(section, s.children[0]); err != nil {
			return err
		}
	}
	return nil
}

// list calls f with each node of a LIST.
func (d *decider) list(n *node, f func(*node) error) error {
	if n.kind != "LIST" {
		return unknownLine(n.kind)
	}
	if err := checkShape(n); err != nil {
		return err
	}
	for _, c := range n.children {
		if c.section {
			return unknownLine(c.kind)
		}
		if err := f(c); err != nil {
			return err
		}
	}
	return nil
}
