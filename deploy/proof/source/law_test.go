package source

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// lawFile defines the rules of the protocol, and says which package defines a series of its own.
const lawFile = "schemas/PROTOCOL.md"

var (
	ruleHeading   = regexp.MustCompile(`(?m)^### ([A-Z][1-9][0-9]?) — (.+)$`)
	packageSeries = regexp.MustCompile(`(?m)^- \*\*([A-Z])1–([A-Z][1-9][0-9]?)\*\*.*\]\(\.\./(\S+/doc\.go)\)`)
	packageRule   = regexp.MustCompile(`(?m)^//\t([A-Z][1-9][0-9]?) +\S`)
)

// rule is one definition.
type rule struct {
	place string // where it is defined
	text  string // the definition, without its heading; empty for a rule of one package
}

// law is every definition, by id.
type law struct {
	rules map[string]rule
	homes map[string]string // file that defines a series of one package, by its letter
	text  string

	problems []string
}

// readLaw reads all definitions.
func readLaw(t *testing.T) law {
	t.Helper()
	l := law{rules: map[string]rule{}, homes: map[string]string{}, text: readFile(t, lawFile)}
	headings := ruleHeading.FindAllStringSubmatchIndex(l.text, -1)
	for _, h := range headings {
		text := l.text[h[1]:]
		if end := strings.Index(text, "\n#"); end >= 0 {
			text = text[:end]
		}
		l.define(l.text[h[2]:h[3]], rule{fmt.Sprintf("%s:%d", lawFile, lineAt(l.text, h[0])), text})
	}
	for _, s := range packageSeries.FindAllStringSubmatch(l.text, -1) {
		letter := s[1]
		home := s[3]
		l.homes[letter] = home
		for _, d := range packageRule.FindAllStringSubmatch(readFile(t, home), -1) {
			if id := d[1]; strings.HasPrefix(id, letter) {
				l.define(id, rule{place: home})
			}
		}
		if last := s[2]; l.rules[last].place == "" {
			l.problem("%s says that %s defines rules up to %s, and it does not", lawFile, home, last)
		}
	}
	if len(headings) < 30 || len(l.homes) == 0 {
		t.Fatalf("%s: found %d rules and %d series of packages only", lawFile, len(headings), len(l.homes))
	}
	for id := range l.rules {
		if n, _ := strconv.Atoi(id[1:]); n > 1 && l.rules[id[:1]+strconv.Itoa(n-1)].place == "" {
			l.problem("%s: rule %s is defined and the one before it is not", l.rules[id].place, id)
		}
	}
	return l
}

func (l *law) define(id string, r rule) {
	if old, twice := l.rules[id]; twice {
		l.problem("rule %s is defined twice: at %s and at %s", id, old.place, r.place)
	}
	l.rules[id] = r
}

func (l *law) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// known reports whether a series of rules has this letter.
func (l *law) known(letter string) bool { return l.rules[letter+"1"].place != "" }

// TestDefinitions fails where a rule has two definitions or a series has a hole.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	for _, p := range readLaw(t).problems {
		t.Error(p)
	}
}

// TestRulesAreWhole wants of each rule a sentence, a reason, what enforces it, and its switch
// or the test that covers it instead. Code that is named there must exist.
func TestRulesAreWhole(t *testing.T) {
	t.Parallel()
	l := readLaw(t)
	declared := declarations(t)
	reference := regexp.MustCompile("`([a-z0-9]+(?:/[a-z0-9]+)*)(?:\\.([A-Za-z]\\w*(?:\\.\\w+)?))?`")
	for id, r := range l.rules {
		if r.text == "" {
			continue
		}
		before, rest, _ := strings.Cut(strings.TrimSpace(r.text), "- **Why:** ")
		why, rest, _ := strings.Cut(rest, "- **Where:** ")
		where, off, found := strings.Cut(rest, "- **Switch:** ")
		if strings.TrimSpace(before) == "" || strings.TrimSpace(why) == "" || strings.TrimSpace(where) == "" || !found {
			t.Errorf("%s: rule %s needs a sentence and the lines Why, Where and Switch, in this order", r.place, id)
		}
		if !strings.Contains(off, "failpoint.") && !strings.HasPrefix(off, "none; ") {
			t.Errorf("%s: rule %s: Switch names failpoint.%s, or \"none; \" and a test", r.place, id, id)
		}
		for _, m := range reference.FindAllStringSubmatch(where+off, -1) {
			folder := m[1]
			name := m[2]
			if folder == "failpoint" {
				folder = "schemas/failpoint"
			}
			names, exists := declared[folder]
			if !exists || name != "" && !names[name] {
				t.Errorf("%s: rule %s names %s, which is not declared", r.place, id, m[0])
			}
		}
	}
}

// TestEveryRuleThatCanBeTurnedOffSaysSo compares the constants of failpoint with the lines Switch.
func TestEveryRuleThatCanBeTurnedOffSaysSo(t *testing.T) {
	t.Parallel()
	l := readLaw(t)
	off := regexp.MustCompile(`(?m)^- \*\*Switch:\*\* .failpoint\.(` + idForm + `)\b`)
	switches := declarations(t)["schemas/failpoint"]
	simulated := readFile(t, "deploy/proof/sim/rules_test.go")
	for name := range switches {
		if bareID.FindString(name) != name {
			continue
		}
		if m := off.FindStringSubmatch(l.rules[name].text); m == nil || m[1] != name {
			t.Errorf("failpoint.%s: the line Switch of rule %s in %s does not begin with it", name, name, lawFile)
		}
		if !strings.Contains(simulated, "{failpoint."+name+", ") {
			t.Errorf("failpoint.%s: the simulation never turns the rule off", name)
		}
	}
	for id, r := range l.rules {
		if m := off.FindStringSubmatch(r.text); m != nil && m[1] != id {
			t.Errorf("%s: the line Switch of rule %s begins with failpoint.%s", r.place, id, m[1])
		}
	}
}

// TestLawLinks follows the links of the law to files and to its own headings.
func TestLawLinks(t *testing.T) {
	t.Parallel()
	text := readLaw(t).text
	anchors := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors["#"+strings.ReplaceAll(slug, " ", "-")] = true
	}
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[1], "#") {
			if !anchors[m[1]] {
				t.Errorf("%s: no heading has the anchor %s", lawFile, m[1])
			}
			continue
		}
		if _, err := os.Stat(filepath.Join(repository, filepath.Dir(lawFile), m[1])); err != nil {
			t.Errorf("%s: %v", lawFile, err)
		}
	}
}

// declarations lists what each folder declares: names, and methods as Type.Name.
func declarations(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{}
	eachFile(t, func(files *token.FileSet, file *ast.File) {
		folder, err := filepath.Rel(repository, filepath.Dir(files.Position(file.Pos()).Filename))
		if err != nil {
			t.Fatal(err)
		}
		if all[folder] == nil {
			all[folder] = map[string]bool{}
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				all[folder][receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					for _, name := range specNames(s) {
						all[folder][name] = true
					}
				}
			}
		}
	})
	return all
}

// receiver is the type of a method with a dot after it; empty for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if pointer, ok := typ.(*ast.StarExpr); ok {
		typ = pointer.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

func specNames(s ast.Spec) (names []string) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		names = append(names, s.Name.Name)
	case *ast.ValueSpec:
		for _, n := range s.Names {
			names = append(names, n.Name)
		}
	}
	return names
}
