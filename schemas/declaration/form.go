package declaration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
	"recount/schemas/decimal"
	"recount/schemas/setting"
)

// OfEventType returns the canonical form of an event type.
func OfEventType(e *catalog.EventType) *yaml.Node {
	fields := object()
	for _, f := range e.Fields {
		add(fields, f.Name, ofField(f))
	}
	return add(object(), "fields", fields)
}

// ofField returns the type alone if the field has nothing else.
func ofField(f catalog.Field) *yaml.Node {
	if f.IsPlain() && !f.Coerce {
		return text(f.Type)
	}
	out := add(object(), "type", text(f.Type))
	if len(f.Path) > 0 {
		add(out, "path", texts(f.Path))
	}
	if len(f.Nulls) > 0 {
		add(out, "null_values", texts(f.Nulls))
	}
	if f.IsComputed() {
		add(out, "expression", text(f.Expression))
	}
	if f.Coerce {
		add(out, "coerce", &yaml.Node{Kind: yaml.ScalarNode, Value: "true"})
	}
	return out
}

// OfView returns the canonical form of a view of the catalog. Members that are empty are left out, but for the cell.
func OfView(c *catalog.Catalog, v *catalog.View) *yaml.Node {
	out := add(object(), "event", text(v.Event))
	if len(v.Dimensions) > 0 {
		add(out, "dimensions", texts(v.Dimensions))
	}
	add(out, "cell", text(setting.FormatDuration(v.Cell)))
	if len(v.Where) > 0 {
		where := list()
		for _, f := range v.Where {
			where.Content = append(where.Content, ofFilter(c.Events[v.Event], f))
		}
		add(out, "where", where)
	}
	measures := object()
	for _, m := range v.Measures {
		if m.Kind == catalog.Count {
			add(measures, m.Name, add(object(), string(m.Kind), object()))
		} else {
			add(measures, m.Name, add(object(), string(m.Kind), text(m.Field)))
		}
	}
	return add(out, "measures", measures)
}

func ofFilter(e *catalog.EventType, f catalog.Filter) *yaml.Node {
	out := add(add(object(), "field", text(f.Field)), "op", text(f.Op))
	values := list()
	var t catalog.FieldType
	if e != nil { // What a file declared last may be without the event type by now (G2).
		t, _ = e.Column(f.Field)
	}
	for _, v := range f.Values {
		values.Content = append(values.Content, ofValue(v, t))
	}
	if f.Op == catalog.In || f.Op == catalog.NotIn {
		return add(out, "values", values)
	}
	return add(out, "value", values.Content[0])
}

// ofValue returns a value of a filter. A number of a float64 field always has a point or an exponent, so that no
// reader takes a large one for an integer.
func ofValue(v any, t catalog.FieldType) *yaml.Node {
	switch x := v.(type) {
	case string:
		return text(x)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(x)}
	case json.Number: // Its field is not declared.
		return &yaml.Node{Kind: yaml.ScalarNode, Value: x.String()}
	case float64:
		digits := strconv.FormatFloat(x, 'g', -1, 64)
		if !strings.ContainsAny(digits, ".e") {
			digits += ".0"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Value: digits}
	}
	micros, _ := v.(int64)
	if t == catalog.Timestamp {
		return text(time.UnixMicro(micros).UTC().Format(time.RFC3339Nano))
	}
	if d, ok := t.Decimal(); ok {
		return text(decimal.Format(micros, d.Scale))
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatInt(micros, 10)}
}

// OfCatalog returns the sections events and views of a configuration file that declares the catalog. What recount
// itself declares is left out.
func OfCatalog(c *catalog.Catalog) *yaml.Node {
	events := object()
	for _, name := range slices.Sorted(maps.Keys(c.Events)) {
		if !strings.HasPrefix(name, catalog.ReservedPrefix) {
			add(events, name, OfEventType(c.Events[name]))
		}
	}
	views := object()
	for _, name := range slices.Sorted(maps.Keys(c.Views)) {
		add(views, name, OfView(c, c.Views[name]))
	}
	return add(add(object(), Events, events), Views, views)
}

// JSON returns a form as JSON on one line.
func JSON(form *yaml.Node) []byte {
	var out bytes.Buffer
	writeJSON(&out, form)
	return out.Bytes()
}

func writeJSON(out *bytes.Buffer, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				out.WriteByte(',')
			}
			writeJSON(out, n.Content[i])
			out.WriteByte(':')
			writeJSON(out, n.Content[i+1])
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, element := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			writeJSON(out, element)
		}
		out.WriteByte(']')
	default:
		if n.Tag != textTag {
			out.WriteString(n.Value)
			return
		}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		_ = e.Encode(n.Value)       // A text always encodes.
		out.Truncate(out.Len() - 1) // without the end of the line
	}
}

// Tag names a declaration: 16 hex digits of the SHA-256 of its canonical form. It is the ETag of the HTTP API.
func Tag(form *yaml.Node) string {
	sum := sha256.Sum256(JSON(form))
	return hex.EncodeToString(sum[:8])
}

const textTag = "!!str"

func object() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

func list() *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
}

func texts(values []string) *yaml.Node {
	out := list()
	for _, v := range values {
		out.Content = append(out.Content, text(v))
	}
	return out
}

func text[T ~string](s T) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: textTag, Value: string(s)}
}

// add adds a member to an object, which it returns.
func add(n *yaml.Node, key string, value *yaml.Node) *yaml.Node {
	n.Content = append(n.Content, text(key), value)
	return n
}
