package guard

import (
	"regexp"
	"strconv"
	"strings"
)

// maxTree bounds the bytes of a tree.
const maxTree = 8 << 20

// node is a line of a tree, with the lines below it.
type node struct {
	kind       string // as QUERY, or a section of its parent, as JOIN TREE
	section    bool
	attributes map[string]string // nil of a section
	children   []*node
}

// nodeLine is a line of a node: its kind, its number, and what is said about it.
var nodeLine = regexp.MustCompile(`^([A-Z_]+(?: [A-Z]+)*) id: ([0-9]+)(?:, (.+))?$`)

// attribute is one of the things that are said about a node. Names have no comma and no colon (isPrintableName), so a
// name is never taken for two attributes, nor two attributes for a name.
var attribute = regexp.MustCompile(`^([a-z_]+): ([^,:\x00-\x1f\x7f]+)(?:, |$)`)

// constant is what is said about a constant after its alias. ClickHouse escapes line ends in values.
var constant = regexp.MustCompile(`^constant_value: (.*), constant_value_type: ([A-Za-z0-9_(), ]+)$`)

// lists of names are separated by commas.
var columnList = regexp.MustCompile(`^(column_identifiers|identifiers): ([^:\x00-\x1f\x7f]+)$`)

// parseTree reads the text of EXPLAIN QUERY TREE run_passes = 0. A line that it does not know is an error, and so is a
// line whose place it does not know.
func parseTree(text string) (*node, error) {
	if len(text) > maxTree {
		return nil, refuse("the statement is too large")
	}
	root := &node{kind: "ROOT", section: true}
	stack := []*node{root} // stack[i] is the last node whose line has an indent of 2 * (i - 1)
	ids := map[int]bool{}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if last := stack[len(stack)-1]; line == "" && last.kind == "LIST" && last.attributes["nodes"] == "0" {
			continue // An empty list ends with an empty line.
		}
		trimmed := strings.TrimLeft(line, " ")
		indent := len(line) - len(trimmed)
		depth := indent/2 + 1
		if indent%2 != 0 || depth > len(stack) || depth == 1 && len(root.children) > 0 {
			return nil, unknownLine(trimmed)
		}
		n, id, err := parseLine(trimmed)
		if err != nil {
			return nil, err
		}
		if id >= 0 && ids[id] {
			return nil, unknownLine(trimmed) // Each node has one line.
		}
		ids[id] = true
		parent := stack[depth-1]
		parent.children = append(parent.children, n)
		stack = append(stack[:depth], n)
	}
	return root.children[0], nil
}

// unknownLine is the refusal of a tree that this version of the guard does not know.
func unknownLine(line string) error {
	kind, _, _ := strings.Cut(line, " id: ")
	return refuse("the statement has a part that is not allowed (%.40q)", kind)
}

// parseLine returns a node and its number, which is negative for a section.
func parseLine(line string) (*node, int, error) {
	m := nodeLine.FindStringSubmatch(line)
	if m == nil {
		section := strings.TrimRight(line, " ")
		return &node{kind: section, section: true}, -1, nil
	}
	id, err := strconv.Atoi(m[2])
	if err != nil {
		return nil, 0, unknownLine(line)
	}
	attributes, err := parseAttributes(m[3])
	return &node{kind: m[1], attributes: attributes}, id, err
}

func parseAttributes(text string) (map[string]string, error) {
	attributes := map[string]string{}
	for text != "" {
		if m := constant.FindStringSubmatch(text); m != nil {
			attributes["constant_value"] = m[1]
			attributes["constant_value_type"] = m[2]
			return attributes, nil
		}
		if m := columnList.FindStringSubmatch(text); m != nil {
			attributes[m[1]] = m[2]
			return attributes, nil
		}
		m := attribute.FindStringSubmatch(text)
		if m == nil || attributes[m[1]] != "" || strings.HasPrefix(m[1], "constant_") {
			return nil, refuse("the statement has a part that is not allowed (%.60q)", text)
		}
		attributes[m[1]] = m[2]
		text = text[len(m[0]):]
	}
	return attributes, nil
}
