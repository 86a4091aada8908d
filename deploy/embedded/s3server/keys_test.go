package s3server

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNames freezes how keys are named on disk: a directory that is there is read by these names.
func TestNames(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"data/type=a.shipped/landed=2024-01-02/e1-p0-1-9-abc.parquet": "data/type=a.shipped/landed=2024-01-02/" +
			"e1-p0-1-9-abc.parquet",
		"installation.json":            "installation.json",
		"land/e000001/p000/0001.json":  "land/e000001/p000/0001.json",
		"chain/p000/e000001-01.ndjson": "chain/p000/e000001-01.ndjson",
		"publish/pins/7":               "publish/pins/7%",
		"a":                            "a%",
		"a/b":                          "a/b%",
		"a.json/b.json":                "a.json%/b.json",
		"a/":                           "a/%_",
		"a//b.csv":                     "a/%-/b.csv",
		"v1.5/x":                       "v1.5/x%",
		"type=A/x.parquet":             "type=%41/x.parquet",
		"x=y.json":                     "x=y.json%",
		".a.json":                      "%2Ea.json",
		"..":                           "%2E.%",
		"a%/b%.txt":                    "a%25/b%25.txt",
		"é.txt":                        "%C3%A9.txt",
		"README":                       "%52%45%41%44%4D%45%",
		"a.eightlet":                   "a.eightlet%",
		"%-/%_":                        "%25-/%25_%",
		// A name of 255 bytes is escaped, and a longer one is packed.
		"type=" + strings.Repeat("A", 83) + "z/x.json": "type=" + strings.Repeat("%41", 83) + "z/x.json",
		"type=" + strings.Repeat("A", 85) + "/x.json":  "type=~" + strings.Repeat("850k2ga1", 17) + "/x.json",
		strings.Repeat("A", 80) + "/a":                 strings.Repeat("%41", 80) + "/a%",
		"a/" + strings.Repeat("A", 85):                 "a/~" + strings.Repeat("850k2ga1", 17) + "%",
	} {
		if got, err := objectPath("", key); err != nil || got != want {
			t.Errorf("%q is named %q, %v; want %q", key, got, err, want)
		}
	}
}

// TestNamesAreTold: the names of a key give the key back, no two keys have one path, and none is a folder of another,
// also where case is folded.
func TestNamesAreTold(t *testing.T) {
	t.Parallel()
	segment := rapid.OneOf(rapid.StringMatching(`[aB.=%_\-]{0,3}(\.[a-z0-9]{0,8})?`),
		rapid.StringMatching(`(type=)?[Bc]{0,2}B{80,140}[Bc=%]{0,2}(\.[a-z0-9]{0,8})?`))
	key := rapid.Map(rapid.SliceOfN(segment, 1, 4),
		func(segments []string) string { return strings.Join(segments, "/") }).
		Filter(func(k string) bool { return k != "" })
	rapid.Check(t, func(rt *rapid.T) {
		a := key.Draw(rt, "a")
		b := key.Draw(rt, "b")
		first, err := objectPath("x", a)
		if err != nil {
			rt.Fatal(err)
		}
		second, err := objectPath("x", b)
		if err != nil {
			rt.Fatal(err)
		}
		folded := strings.ToLower(first) + "/"
		other := strings.ToLower(second) + "/"
		inside := strings.HasPrefix(folded, other) || strings.HasPrefix(other, folded)
		if (a == b) != (first == second) || a != b && inside {
			rt.Fatalf("%q is %s, and %q is %s", a, first, b, second)
		}
		names := strings.Split(strings.TrimPrefix(first, "x/"), "/")
		got := ""
		for i, name := range names {
			part, ok := parseName(name, i < len(names)-1)
			if !ok {
				rt.Fatalf("%q of %q is no name", name, first)
			}
			got += part
		}
		if got != a {
			rt.Fatalf("%q is named %s, which stands for %q", a, first, got)
		}
	})
}

// FuzzName: names and segments map to each other one to one.
func FuzzName(f *testing.F) {
	f.Add("a%2E", false)
	f.Add("%-", true)
	f.Add("%_", false)
	f.Add("a.json", false)
	f.Add("a.json%", true)
	f.Add("type=~"+strings.Repeat("850k2ga1", 17), true)
	f.Add("~"+strings.Repeat("850k2ga1", 17)+"%", false)
	f.Fuzz(func(t *testing.T, name string, isDir bool) {
		part, ok := parseName(name, isDir)
		if !ok {
			return
		}
		segment, slash := strings.CutSuffix(part, "/")
		again := fileName(segment)
		if isDir {
			again = folderName(segment)
		}
		if again != name || slash != isDir {
			t.Errorf("%q stands for %q, which is written %q", name, part, again)
		}
	})
}
