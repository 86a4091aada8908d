package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"recount/deploy/server"
)

var update = flag.Bool("update", false, "write ../CONFIGURATION.md instead of comparing it")

// TestReference compares the committed reference with the output of the command. After a change of a setting, run
// go test ./deploy/recount -run Reference -update.
func TestReference(t *testing.T) {
	t.Parallel()
	const file = "../CONFIGURATION.md"
	code, printed, stderr := command(t, "config", "reference")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if *update {
		if err := os.WriteFile(file, []byte(printed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != printed {
		t.Errorf("%s differs from the output of recount config reference; update it: "+
			"go test ./deploy/recount -run Reference -update", file)
	}
}

// TestReferenceJSON checks that every section and every key is described, a key in one sentence.
func TestReferenceJSON(t *testing.T) {
	t.Parallel()
	code, printed, _ := command(t, "config", "reference", "--format", "json")
	var sections []server.Section
	if err := json.Unmarshal([]byte(printed), &sections); err != nil || code != exitOK {
		t.Fatalf("exit code %d: %v", code, err)
	}
	for _, s := range sections {
		if s.About == "" || len(s.Keys) == 0 {
			t.Errorf("section %q has no description or no keys", s.Name)
		}
		for _, k := range s.Keys {
			if k.Meaning == "" || !strings.HasSuffix(k.Meaning, ".") || strings.Contains(k.Meaning, ". ") {
				t.Errorf("%s: got the meaning %q, want one sentence", k.Key, k.Meaning)
			}
		}
	}
}

// TestReferenceIsAccepted checks files that hold every key with its default, and all examples.
func TestReferenceIsAccepted(t *testing.T) {
	t.Parallel()
	root := &yaml.Node{Kind: yaml.MappingNode}
	defaults := server.DefaultConfig()
	discover := ""
	for _, s := range defaults.Settings() {
		if s.Path[0] == "events" {
			discover += "\n  " + s.Path[1] + ": " + s.Text() // The example has this section already.
		} else {
			insert(root, s.Path, s.Text())
		}
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	all := string(text)
	jobs := ""
	for _, s := range server.Reference() {
		if s.Name == "jobs" {
			jobs = s.Example // The defaults have this section already.
		} else {
			all += strings.Replace(s.Example, "events:\n", "events:"+discover+"\n", 1)
		}
		for _, k := range s.Keys {
			if last := k.Key[strings.LastIndex(k.Key, ".")+1:]; !strings.Contains(all, last+":") && k.Flag != "" {
				t.Errorf("%s is not in a file of this test", k.Key)
			}
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "all.yaml")
	for _, yaml := range []string{all, all[strings.Index(all, "tenants:"):] + jobs} {
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, stdout, stderr := command(t, "config", "check", path, "--data-dir",
			filepath.Join(dir, "data")); code != exitOK {
			t.Errorf("exit code %d: %s%s\n%s", code, stdout, stderr, yaml)
		}
	}
}

// insert sets a value at a path.
func insert(n *yaml.Node, path []string, value string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == path[0] {
			insert(n.Content[i+1], path[1:], value)
			return
		}
	}
	child := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if len(path) > 1 {
		child = &yaml.Node{Kind: yaml.MappingNode}
		insert(child, path[1:], value)
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: path[0]}, child)
}

// TestHelpIsTheReference checks that the help of a flag is the key's meaning in the reference.
func TestHelpIsTheReference(t *testing.T) {
	t.Parallel()
	_, help, _ := command(t, "up", "--help")
	help = strings.Join(strings.Fields(help), " ")
	for _, s := range server.Reference() {
		for _, k := range s.Keys {
			if k.Flag != "" && !strings.Contains(help, strings.TrimSuffix(k.Meaning, ".")) {
				t.Errorf("recount up --help does not describe %s as: %s", k.Flag, k.Meaning)
			}
		}
	}
}
