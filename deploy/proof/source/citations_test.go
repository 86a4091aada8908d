package source

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// clashes are rules whose id is also the name of something else. Such an id cites the rule
// only in parentheses, alone or with other ids, or as failpoint.ID.
var clashes = map[string]string{"S3": "the protocol of object stores"}

// TestCitations fails for a cited rule without a definition and for a definition that nothing
// cites. Citations are searched in the comments and strings of Go and in Markdown.
func TestCitations(t *testing.T) {
	t.Parallel()
	l := readLaw(t)
	cited := map[string]bool{}
	search := func(path, text string) {
		undefined := map[citation]bool{}
		for _, c := range citationsIn(text, l.known) {
			if l.rules[c.id].place == "" {
				undefined[citation{c.id, lineAt(text, c.at)}] = true
			}
			// The law citing itself is no use of a rule.
			cited[c.id] = cited[c.id] || path != lawFile
		}
		for c := range undefined {
			t.Errorf("%s:%d: rule %s is cited and has no definition in %s", path, c.at, c.id, lawFile)
		}
	}
	eachText(t, func(path, text string) {
		if path == lawFile {
			text = ruleHeading.ReplaceAllString(text, "###")
		}
		if strings.HasSuffix(path, ".go") {
			text = commentsAndStrings(text)
		}
		search(path, l.withoutDefinitions(path, text))
	})
	for _, id := range slices.Sorted(maps.Keys(l.rules)) {
		if !cited[id] {
			t.Errorf("%s: rule %s is defined and nothing cites it: cite it where it is enforced, or delete it",
				l.rules[id].place, id)
		}
	}
}

// withoutDefinitions blanks the definitions of a series in the file that is its home.
func (l *law) withoutDefinitions(path, text string) string {
	return packageRule.ReplaceAllStringFunc(text, func(line string) string {
		if id := packageRule.FindStringSubmatch(line)[1]; l.homes[id[:1]] == path {
			return strings.Replace(line, id, "", 1)
		}
		return line
	})
}

// citation is an id in a text.
type citation struct {
	id string
	at int
}

const idForm = `[A-Z][1-9][0-9]?`

var (
	bareID    = regexp.MustCompile(idForm)
	idRange   = regexp.MustCompile(`([A-Z])([1-9][0-9]?)–([A-Z])([1-9][0-9]?)`)
	listOfIDs = regexp.MustCompile(`\(` + idForm + `(?:(?:, |; | and |–)` + idForm + `)*\)`)
	switchID  = regexp.MustCompile(`\bfailpoint\.(` + idForm + `)\b`)
)

// citationsIn returns the rules that a text cites:
//
//   - an id of a known series that stands alone: not a part of a word, path, number or name;
//   - every id of a range such as Q1–Q5;
//   - every id of a list in parentheses that holds nothing else, such as (C5) or (B1, Z9),
//     whatever its letter;
//   - failpoint.C5.
//
// An id that clashes with another name counts in the last two forms only.
func citationsIn(text string, known func(letter string) bool) []citation {
	var found []citation
	add := func(id string, at int) { found = append(found, citation{id, at}) }
	for _, m := range bareID.FindAllStringIndex(text, -1) {
		id := text[m[0]:m[1]]
		if known(id[:1]) && clashes[id] == "" && standsAlone(text, m[0], m[1]) {
			add(id, m[0])
		}
	}
	for _, m := range idRange.FindAllStringSubmatchIndex(text, -1) {
		letter := text[m[2]:m[3]]
		first, _ := strconv.Atoi(text[m[4]:m[5]])
		last, _ := strconv.Atoi(text[m[8]:m[9]])
		for n := first; letter == text[m[6]:m[7]] && known(letter) && n <= last; n++ {
			if id := letter + strconv.Itoa(n); clashes[id] == "" {
				add(id, m[0])
			}
		}
	}
	for _, m := range listOfIDs.FindAllStringIndex(text, -1) {
		for _, id := range bareID.FindAllString(text[m[0]:m[1]], -1) {
			add(id, m[0])
		}
	}
	for _, m := range switchID.FindAllStringSubmatchIndex(text, -1) {
		add(text[m[2]:m[3]], m[0])
	}
	return found
}

// standsAlone reports whether text[from:to] is no part of a word, path, number or name.
func standsAlone(text string, from, to int) bool {
	const joins = `/\=%-.+#@$`
	before := from == 0 || !isWord(text[from-1]) && !strings.ContainsRune(joins, rune(text[from-1]))
	if !before || to == len(text) {
		return before
	}
	if next := text[to]; isWord(next) {
		return false
	} else if strings.IndexByte(joins, next) >= 0 {
		return to+1 == len(text) || !isWord(text[to+1]) // A full stop ends a sentence.
	}
	return true
}

func isWord(b byte) bool {
	return b == '_' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

// commentsAndStrings blanks everything else in a Go source. A string that is nothing but
// an id is data. A switch of a rule, failpoint.ID, stays.
func commentsAndStrings(source string) string {
	out := []byte(source)
	for i, b := range out {
		if b != '\n' {
			out[i] = ' '
		}
	}
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, []byte(source), nil, scanner.ScanComments)
	for previous := ""; ; {
		pos, kind, text := s.Scan()
		from := file.Offset(pos)
		isData := len(text) > 2 && bareID.FindString(text) == text[1:len(text)-1]
		switch {
		case kind == token.EOF:
			return string(out)
		case kind == token.COMMENT, kind == token.STRING && !isData:
			copy(out[from:], source[from:from+len(text)])
		case kind == token.IDENT && previous == "failpoint.":
			copy(out[from-len(previous):], previous+text)
		}
		if kind == token.PERIOD {
			text = "."
		}
		if previous = text; kind == token.PERIOD && from >= len("failpoint") &&
			source[from-len("failpoint"):from] == "failpoint" {
			previous = "failpoint."
		}
	}
}

// TestCitationSyntax shows what is a citation and what is not.
func TestCitationSyntax(t *testing.T) {
	t.Parallel()
	known := func(letter string) bool { return strings.Contains("LCBPSVN", letter) }
	for text, want := range map[string]string{
		"durable (L1)":                             "L1 L1",
		"rule C42 of it.":                          "C42",
		"L5: the end; V10.":                        "L5 V10",
		"(C1–C3, Z9)":                              "C1 C3 C1 C2 C3 C1 C3 Z9",
		"N1 to N4":                                 "N1 N4",
		"an S3 server, S3's answer, S3":            "",
		"conditional writes (S3, R2, MinIO)":       "",
		"evicts (S3), as (S3, L6)":                 "S3 L6 S3 L6",
		"failpoint.Off(failpoint.S3)":              "S3",
		"land/e1/L4, p.C1, V1.5, L4_x, xC1, -C9":   "",
		"v1, 0xC1, P99x, C100, P05, Intel H1, Z9":  "",
		"CloudEvents 1.0, B1=x, #C5, %C3, C1/L2":   "",
		"S1–S4 are of the speed layer, S6 as well": "S1 S4 S6 S1 S2 S4",
	} {
		var got []string
		for _, c := range citationsIn(text, known) {
			got = append(got, c.id)
		}
		slices.Sort(got)
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("%q: got %v, want %v", text, got, wanted)
		}
	}
	const source = "package x // (L1)\nvar C2 = failpoint.C3 + `of C4` + \"C5\" + y.C6\n"
	if got := strings.Fields(commentsAndStrings(source)); strings.Join(got, " ") != "// (L1) failpoint.C3 `of C4`" {
		t.Errorf("got %q", got)
	}
}

// eachText reads every Go and Markdown file of the repository, with paths relative to its root.
func eachText(t *testing.T, each func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if isInstalled(entry) {
			return filepath.SkipDir
		}
		if extension := filepath.Ext(path); entry.IsDir() || extension != ".go" && extension != ".md" {
			return nil
		}
		relative, err := filepath.Rel(repository, path)
		if err != nil {
			return err
		}
		// This file shows citations that are none.
		if relative != "deploy/proof/source/citations_test.go" {
			each(relative, readFile(t, relative))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func lineAt(text string, at int) int { return 1 + strings.Count(text[:at], "\n") }
