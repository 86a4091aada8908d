package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"recount/deploy/server/quota"
	"recount/schemas/setting"
)

// Load reads the configuration: defaults, then the file (none when the name is empty), then settings by flag name,
// which hold what the environment and flags said. Every mistake names its file and line, or its flag.
func Load(file string, settings map[string]string) (Config, error) {
	c := DefaultConfig()
	var raw []byte
	if file != "" {
		var err error
		if raw, err = os.ReadFile(file); err != nil {
			return c, err
		}
	}
	l := loader{file: file}
	if err := l.parse(raw); err != nil {
		return c, l.inFile(err)
	}
	err := errors.Join(l.setFromFile(&c), l.setFromFlags(&c, settings))
	if err == nil {
		err = l.setTenants(&c)
	}
	if err == nil {
		err = c.Validate()
	}
	return c, l.locate(err)
}

// document is the YAML file. Rest holds what settings describe: values, and sections of values.
type document struct {
	Events  map[string]EventConfig          `yaml:"events"`
	Views   map[string]ViewConfig           `yaml:"views"`
	Tenants map[string]map[string]yaml.Node `yaml:"tenants"`
	Rest    map[string]yaml.Node            `yaml:",inline"`
}

// loader reads one file.
type loader struct {
	file    string
	root    yaml.Node
	doc     document
	byFlags map[string]bool // keys whose value a flag or the environment has given
}

func (l *loader) parse(raw []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&l.doc); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return yaml.Unmarshal(raw, &l.root)
}

// setFromFile gives the settings the values in the file.
func (l *loader) setFromFile(c *Config) error {
	c.Events = l.doc.Events
	c.Views = l.doc.Views
	return assign(c.Settings(), nil, l.doc.Rest)
}

// assign sets what the keys below a path name. A section is assigned key by key.
func assign(settings []setting.Setting, path []string, values map[string]yaml.Node) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		node := values[key]
		place := append(slices.Clone(path), key)
		i := slices.IndexFunc(settings, func(s setting.Setting) bool { return slices.Equal(s.Path, place) })
		var err error
		switch {
		case i >= 0:
			err = assignValue(settings[i], &node)
		case slices.ContainsFunc(settings, func(s setting.Setting) bool {
			return len(s.Path) > len(place) && slices.Equal(s.Path[:len(place)], place)
		}):
			err = assignSection(settings, place, &node)
		default:
			err = &setting.Error{Path: place, Msg: unknownKey(settings, path)}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func assignValue(s setting.Setting, node *yaml.Node) error {
	var text string
	switch {
	case node.Tag == "!!null": // A key without a value leaves the default.
		return nil
	case node.Decode(&text) != nil:
		return &setting.Error{Path: s.Path, Msg: "write one value, a " + s.Type}
	}
	if err := s.Set(text); err != nil {
		return &setting.Error{Path: s.Path, Msg: err.Error()}
	}
	return nil
}

func assignSection(settings []setting.Setting, path []string, node *yaml.Node) error {
	var section map[string]yaml.Node
	if err := node.Decode(&section); err != nil {
		return &setting.Error{Path: path, Msg: "write keys and values below it: " + siblings(settings, path)}
	}
	return assign(settings, path, section)
}

func unknownKey(settings []setting.Setting, path []string) string {
	if len(path) == 0 {
		return "unknown key; remove it or correct its spelling"
	}
	return fmt.Sprintf("unknown key; remove it or correct its spelling; %s has %s", strings.Join(path, "."),
		siblings(settings, path))
}

// siblings lists the keys directly below a path.
func siblings(settings []setting.Setting, path []string) string {
	var keys []string
	for _, s := range settings {
		if len(s.Path) > len(path) && slices.Equal(s.Path[:len(path)], path) {
			keys = append(keys, s.Path[len(path)])
		}
	}
	return strings.Join(slices.Compact(keys), ", ")
}

// setFromFlags gives the settings the values of flags and the environment.
func (l *loader) setFromFlags(c *Config, given map[string]string) error {
	l.byFlags = map[string]bool{}
	var errs []error
	for _, s := range c.Settings() {
		text, ok := given[s.Flag()]
		if !ok {
			continue
		}
		l.byFlags[s.Key()] = true
		if err := s.Set(text); err != nil {
			errs = append(errs, fmt.Errorf("--%s (or %s): %w", s.Flag(), s.Env(), err))
		}
	}
	return errors.Join(errs...)
}

// setTenants gives the tenants their own rates. A rate that a tenant leaves out is that of limits.
func (l *loader) setTenants(c *Config) error {
	c.Limits.Tenants = map[string]quota.Rates{}
	var errs []error
	for name, values := range l.doc.Tenants {
		rates := c.Limits.Default
		errs = append(errs, assign(rates.Settings("tenants."+name), []string{"tenants", name}, values))
		c.Limits.Tenants[name] = rates
	}
	return errors.Join(errs...)
}

// unknownField is how the YAML library reports a key that a struct does not have.
var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// inFile puts the file before the lines of an error of the YAML library.
func (l *loader) inFile(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	msg = strings.TrimPrefix(msg, "unmarshal errors:\n  ")
	msg = unknownField.ReplaceAllString(msg, "unknown key $1; remove it or correct its spelling")
	var lines []string
	for line := range strings.SplitSeq(msg, "\n  ") {
		if at, ok := strings.CutPrefix(line, "line "); ok {
			lines = append(lines, l.file+":"+at)
		} else {
			lines = append(lines, l.file+": "+line)
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

// locate puts file and line before every *setting.Error in err whose value comes from the file.
func (l *loader) locate(err error) error {
	if err == nil {
		return nil
	}
	var lines []string
	for _, e := range leaves(err) {
		var wrong *setting.Error
		line := 0
		if errors.As(e, &wrong) && !l.byFlags[strings.Join(wrong.Path, ".")] {
			line = lineOf(&l.root, wrong.Path)
		}
		if line > 0 {
			lines = append(lines, fmt.Sprintf("%s:%d: %v", l.file, line, e))
		} else {
			lines = append(lines, e.Error())
		}
	}
	slices.Sort(lines)
	return errors.New(strings.Join(slices.Compact(lines), "\n"))
}

// leaves flattens joined errors.
func leaves(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, leaves(e)...)
	}
	return out
}

// lineOf is the line of the deepest part of path the file has, 0 when it has none.
func lineOf(n *yaml.Node, path []string) int {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	line := 0
	for _, name := range path {
		next, at := child(n, name)
		if next == nil {
			break
		}
		n = next
		line = at
	}
	return line
}

func child(n *yaml.Node, name string) (*yaml.Node, int) {
	if i, err := strconv.Atoi(name); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
		return n.Content[i], n.Content[i].Line
	}
	for i, c := range n.Content {
		switch {
		case n.Kind == yaml.MappingNode && i%2 == 0 && c.Value == name:
			return n.Content[i+1], c.Line
		case n.Kind == yaml.SequenceNode && c.Value == name:
			return c, c.Line
		}
	}
	return nil, 0
}
