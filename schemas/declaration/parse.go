package declaration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxDepth is how deep the JSON of a whole configuration goes: sections, names, members, a list, a condition, its
// values, and one more for what is refused by name.
const maxDepth = 8

// ParseYAML reads one YAML document.
func ParseYAML(raw []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	var document yaml.Node
	if err := d.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the document is empty; write the declaration")
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second document follows, and would be ignored; remove it")
	}
	return &document, nil
}

// ParseJSON reads one JSON value. A key that comes twice is left to the reader, who names its place.
func ParseJSON(raw []byte) (*yaml.Node, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("the body is not valid UTF-8")
	}
	p := parser{json.NewDecoder(bytes.NewReader(raw)), bytes.ContainsRune(raw, utf8.RuneError)}
	p.UseNumber()
	n, err := p.value(0)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the JSON ends too early")
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := p.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return n, nil
}

// parser makes YAML's nodes of JSON.
type parser struct {
	*json.Decoder
	replacements bool // the body itself has the character that encoding/json puts in place of half a surrogate pair
}

func (p parser) value(depth int) (*yaml.Node, error) {
	token, err := p.Token()
	if err != nil {
		return nil, err
	}
	switch x := token.(type) {
	case string:
		if strings.ContainsRune(x, utf8.RuneError) && !p.replacements {
			return nil, errors.New("a string holds half of a surrogate pair")
		}
		return text(x), nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: x.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(x)}, nil
	case json.Delim:
		if depth == maxDepth {
			return nil, errors.New("objects and lists are nested too deeply")
		}
		return p.children(x, depth)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// children reads the parts of an object or a list up to its end.
func (p parser) children(open json.Delim, depth int) (*yaml.Node, error) {
	out := list()
	if open == '{' {
		out = object()
	}
	for p.More() {
		n, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, n)
	}
	_, err := p.Token()
	return out, err
}
