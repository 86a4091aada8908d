package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
)

// Setting is one scalar of the configuration, as environment and flags name it.
type Setting struct {
	Path []string // log, max_bytes
	Help string
}

// Flag is the name of the setting's flag, without dashes: log.max-bytes.
func (s Setting) Flag() string { return strings.ReplaceAll(strings.Join(s.Path, "."), "_", "-") }

// Env is the name of the setting's environment variable: RECOUNT_LOG_MAX_BYTES.
func (s Setting) Env() string { return "RECOUNT_" + strings.ToUpper(strings.Join(s.Path, "_")) }

// Settings lists every scalar of the configuration, in the order of the file.
func Settings() []Setting {
	var out []Setting
	walk(reflect.ValueOf(new(Config)).Elem(), nil, func(s Setting, _ reflect.Value) { out = append(out, s) })
	for _, job := range JobNames {
		out = append(out, Setting{Path: []string{"jobs", job, "schedule"}, Help: "Cron schedule of the job " + job +
			", in UTC, seconds optional; empty: on request only."})
	}
	return out
}

func walk(v reflect.Value, path []string, visit func(Setting, reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		p := append(slices.Clone(path), f.Tag.Get("yaml"))
		switch {
		case f.Type.Kind() == reflect.Struct:
			walk(v.Field(i), p, visit)
		case f.Type.Kind() != reflect.Map:
			visit(Setting{Path: p, Help: f.Tag.Get("help")}, v.Field(i))
		}
	}
}

// Load reads the configuration: defaults, then the file (none when empty), then
// settings by flag name, which hold what environment and flags said. Every fault
// names its file and line.
func Load(file string, settings map[string]string) (Config, error) {
	c := DefaultConfig()
	var raw []byte
	if file != "" {
		var err error
		if raw, err = os.ReadFile(file); err != nil {
			return c, err
		}
	}
	if err := c.parse(raw); err != nil {
		return c, inFile(file, err)
	}
	if err := c.set(settings); err != nil {
		return c, err
	}
	return c, locate(file, raw, c.Validate())
}

func (c *Config) parse(raw []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, job := range JobNames { // A file that schedules one job leaves the others as they are.
		if _, ok := c.Jobs[job]; !ok {
			if c.Jobs == nil {
				c.Jobs = map[string]JobConfig{}
			}
			c.Jobs[job] = DefaultConfig().Jobs[job]
		}
	}
	return nil
}

// set gives each setting its text, as the file would have it.
func (c *Config) set(settings map[string]string) error {
	var errs []error
	walk(reflect.ValueOf(c).Elem(), nil, func(s Setting, v reflect.Value) {
		text, ok := settings[s.Flag()]
		if !ok {
			return
		}
		node := yaml.Node{Kind: yaml.ScalarNode, Value: text}
		if v.Kind() == reflect.String {
			node.Tag = "!!str"
		}
		if err := node.Decode(v.Addr().Interface()); err != nil {
			errs = append(errs, fmt.Errorf("--%s (or %s): %q does not fit: %w", s.Flag(), s.Env(), text, err))
		}
	})
	for _, job := range JobNames {
		if text, ok := settings["jobs."+job+".schedule"]; ok {
			c.Jobs[job] = JobConfig{Schedule: text}
		}
	}
	return errors.Join(errs...)
}

// unknownField is what the YAML library says of a key nobody knows.
var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

func inFile(file string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	msg = strings.TrimPrefix(msg, "unmarshal errors:\n  ")
	msg = unknownField.ReplaceAllString(msg, "unknown key $1; remove it or correct its spelling")
	return fmt.Errorf("%s: %s", file, strings.ReplaceAll(msg, "\n  ", "\n"+file+": "))
}

// locate puts file and line before every *catalog.Error in err.
func locate(file string, raw []byte, err error) error {
	if err == nil {
		return nil
	}
	var root yaml.Node
	_ = yaml.Unmarshal(raw, &root) // It has been read once without an error.
	var lines []string
	for _, e := range leaves(err) {
		var fault *catalog.Error
		line := 0
		if errors.As(e, &fault) {
			line = lineOf(&root, fault.Path)
		}
		switch {
		case line > 0:
			lines = append(lines, fmt.Sprintf("%s:%d: %v", file, line, e))
		default:
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
