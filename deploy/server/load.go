package server

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"recount/deploy/server/quota"
	"recount/schemas/catalog"
	"recount/schemas/declaration"
	"recount/schemas/setting"
)

// Load reads the configuration: defaults, then the file (none when the name is empty), then settings by flag name,
// which hold what the environment and flags said. It returns every mistake, each with its file and line, or its flag.
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
		return c, errors.New(strings.Join(l.inFile(err), "\n"))
	}
	err := errors.Join(l.setDiscover(&c), l.setFromFile(&c), l.setFromFlags(&c, settings), l.setTenants(&c))
	forms := l.setDeclarations(&c)
	return c, l.locate(errors.Join(err, forms, elsewhere(independent(c.Validate(), err), forms)))
}

// independent returns the errors whose section of the file has no error in found. The others could be
// consequences: a setting that could not be read still has its default.
func independent(err, found error) error {
	sections := map[string]bool{}
	for _, e := range leaves(found) {
		sections[section(e)] = true
	}
	var out []error
	for _, e := range leaves(err) {
		if name := section(e); name == "" || !sections[name] {
			out = append(out, e)
		}
	}
	return errors.Join(out...)
}

// elsewhere returns the errors that are not in a declaration with a mistake in its form. The others are consequences.
func elsewhere(err, forms error) error {
	misshapen := map[string]bool{}
	for _, e := range leaves(forms) {
		misshapen[declarationOf(e)] = true
	}
	var out []error
	for _, e := range leaves(err) {
		if name := declarationOf(e); name == "" || !misshapen[name] {
			out = append(out, e)
		}
	}
	return errors.Join(out...)
}

// declarationOf returns the section and the name of the declaration in which an error is, or nothing.
func declarationOf(err error) string {
	var wrong *setting.Error
	if !errors.As(err, &wrong) || len(wrong.Path) < 2 || wrong.Path[0] != declaration.Events &&
		wrong.Path[0] != declaration.Views {
		return ""
	}
	return wrong.Path[0] + "." + wrong.Path[1]
}

// section returns the first key of an error's place in the file, or nothing.
func section(err error) string {
	var wrong *setting.Error
	if errors.As(err, &wrong) && len(wrong.Path) > 0 {
		return wrong.Path[0]
	}
	return ""
}

// document is the YAML file. Rest holds what settings describe: values, and sections of values.
type document struct {
	Events  map[string]yaml.Node            `yaml:"events"`
	Views   map[string]yaml.Node            `yaml:"views"`
	Tenants map[string]map[string]yaml.Node `yaml:"tenants"`
	Rest    map[string]yaml.Node            `yaml:",inline"`
}

// loader reads one file.
type loader struct {
	file    string
	root    yaml.Node
	doc     document
	shape   []string        // mistakes in the form of values, with file and line
	byFlags map[string]bool // keys whose value a flag or the environment has given
}

// parse reads the file. It returns an error if the file is not one YAML document. After a mistake in the form of a
// value, which is kept in l.shape, it continues.
func (l *loader) parse(raw []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	err := d.Decode(&l.doc)
	if wrong := (*yaml.TypeError)(nil); errors.As(err, &wrong) {
		l.shape = l.inFile(err)
		err = nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var second yaml.Node
	switch err := d.Decode(&second); {
	case err == nil:
		return fmt.Errorf("line %d: a second document begins with this line, and would be ignored; remove the line",
			second.Line)
	case !errors.Is(err, io.EOF):
		return err
	}
	return yaml.Unmarshal(raw, &l.root)
}

// setFromFile gives the settings the values in the file.
func (l *loader) setFromFile(c *Config) error {
	return assign(c.Settings(), nil, l.doc.Rest)
}

// discoverKey is a setting among the event types.
const discoverKey = declaration.Events + ".discover"

// setDiscover gives the setting among the event types its value. An event type of the same name is no single value.
func (l *loader) setDiscover(c *Config) error {
	name := strings.TrimPrefix(discoverKey, declaration.Events+".")
	node, ok := l.doc.Events[name]
	if !ok || node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		return nil
	}
	delete(l.doc.Events, name)
	return assignValue(c.discoverSetting(), &node)
}

// setDeclarations reads the declarations of the file. It returns the mistakes in their form.
func (l *loader) setDeclarations(c *Config) error {
	c.Events = map[string]*catalog.EventType{}
	c.Views = map[string]*catalog.View{}
	var errs []error
	for name, form := range l.doc.Events {
		e, err := declaration.ReadEventType(name, &form)
		c.Events[name] = e
		errs = append(errs, err)
	}
	for name, form := range l.doc.Views {
		v, err := declaration.ReadView(name, &form)
		c.Views[name] = v
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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

var (
	// unknownField is how the YAML library reports a key that a struct does not have.
	unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)
	// misfit is how the YAML library reports a value of a shape that a Go type does not have.
	misfit = regexp.MustCompile("cannot unmarshal !!(\\w+)(?: `[^`]*`)? into \\S+")
	// shapes names the shapes of YAML for people.
	shapes = map[string]string{"seq": "a list", "map": "keys with values", "str": "a text", "int": "a number",
		"float": "a number", "bool": "true or false"}
)

// describeShape replaces the YAML library's words about a Go type.
func describeShape(report string) string {
	found := shapes[misfit.FindStringSubmatch(report)[1]]
	if found == "" {
		found = "a value of this kind"
	}
	return found + " does not fit here; CONFIGURATION.md shows what does"
}

// inFile puts the file before the lines of an error of the YAML library.
func (l *loader) inFile(err error) []string {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	msg = strings.TrimPrefix(msg, "unmarshal errors:\n  ")
	msg = unknownField.ReplaceAllString(msg, "unknown key $1; remove it or correct its spelling")
	msg = misfit.ReplaceAllStringFunc(msg, describeShape)
	var lines []string
	for line := range strings.SplitSeq(msg, "\n  ") {
		if at, ok := strings.CutPrefix(line, "line "); ok {
			lines = append(lines, l.file+":"+at)
		} else {
			lines = append(lines, l.file+": "+line)
		}
	}
	return lines
}

// locate puts file and line before every *setting.Error in err whose value comes from the file, and adds l.shape. It
// leaves out the errors on a line whose form is wrong, because they are consequences.
func (l *loader) locate(err error) error {
	if err == nil && l.shape == nil {
		return nil
	}
	lines := slices.Clone(l.shape)
	for _, e := range leaves(err) {
		var wrong *setting.Error
		line := 0
		if errors.As(e, &wrong) && !l.byFlags[strings.Join(wrong.Path, ".")] {
			line = lineOf(&l.root, wrong.Path)
		}
		place := fmt.Sprintf("%s:%d: ", l.file, line)
		misshapen := slices.ContainsFunc(l.shape, func(s string) bool { return strings.HasPrefix(s, place) })
		switch {
		case line == 0:
			lines = append(lines, e.Error())
		case !misshapen:
			lines = append(lines, place+e.Error())
		}
	}
	slices.SortFunc(lines, func(a, b string) int {
		return cmp.Or(cmp.Compare(l.lineNumber(a), l.lineNumber(b)), strings.Compare(a, b))
	})
	return errors.New(strings.Join(slices.Compact(lines), "\n"))
}

// lineNumber returns the line that a message names after the file. A message without a line comes last.
func (l *loader) lineNumber(message string) int {
	number, _, _ := strings.Cut(strings.TrimPrefix(message, l.file+":"), ":")
	n, err := strconv.Atoi(number)
	if err != nil {
		return math.MaxInt
	}
	return n
}

// leaves flattens joined errors.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
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
