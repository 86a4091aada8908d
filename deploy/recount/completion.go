package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"recount/deploy/client"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: bash, zsh or fish."`
}

// Help is the second part of the command's help.
func (c *completionCmd) Help() string {
	return "bash: source <(recount completion bash), for example in ~/.bashrc\n\n" +
		"zsh: source <(recount completion zsh), after compinit in ~/.zshrc\n\n" +
		"fish: recount completion fish > ~/.config/fish/completions/recount.fish"
}

// scripts make a shell ask recount complete, with all words up to the one under the cursor. Where recount knows
// nothing, the shell completes names of files.
var scripts = map[string]string{
	"bash": `_recount() {
  local IFS=$'\n'
  COMPREPLY=($(recount complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _recount recount
`,
	"zsh": `_recount() {
  local -a found
  found=(${(f)"$(recount complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -a found; else _files; fi
}
compdef _recount recount
`,
	"fish": `function __recount
  set -l words (commandline -opc)
  set -e words[1]
  set -l current (commandline -ct)
  set -l found (recount complete -- $words "$current" 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\n' $found
  else
    __fish_complete_path "$current"
  end
end
complete -c recount -f -a '(__recount)'
`}

// Run prints the script.
func (c *completionCmd) Run(std streams) error {
	_, err := io.WriteString(std.out, scripts[c.Shell])
	return err
}

// completeCmd is what the scripts ask. There is no completion in kong. Its companion kongplete brings a framework that
// parses the words in its own way, so it could offer what kong refuses.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"Words after recount; the last one is being written."`
}

// Run prints the words that can stand in place of the last one, one a line.
func (c *completeCmd) Run(ctx context.Context, k *kong.Context, std streams) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, candidate := range complete(ctx, k.Model.Node, words) {
		if _, err := fmt.Fprintln(std.out, candidate); err != nil {
			return err
		}
	}
	return nil
}

// complete returns what can stand in place of the last word.
func complete(ctx context.Context, node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	server := defaultServer()
	var pending *kong.Flag // pending is the flag whose value comes next.
	places := 0            // places is how many positional arguments there are.
	for _, word := range joinColons(words[:len(words)-1]) {
		name, value, hasValue := strings.Cut(word, "=")
		switch {
		case word == "=": // bash cuts --mode=exact in three.
		case pending != nil:
			server.setFlag(pending.Name, word)
			pending = nil
		case strings.HasPrefix(word, "-") && word != "-":
			if pending = flagWithValue(node, name); pending != nil && hasValue {
				server.setFlag(pending.Name, value)
				pending = nil
			}
		default:
			if child := childOf(node, word); child != nil {
				node = child
			} else {
				places++
			}
		}
	}
	if last == "=" {
		last = ""
	}
	name, value, hasValue := strings.Cut(last, "=")
	switch flag := flagWithValue(node, name); {
	case pending != nil:
		return withPrefix(valuesOf(pending), "", last)
	case hasValue && flag != nil:
		return withPrefix(valuesOf(flag), name+"=", value)
	case strings.HasPrefix(last, "-"):
		return withPrefix(flagNames(node), "", last)
	case len(node.Children) > 0:
		return withPrefix(childNames(node), "", last)
	}
	return withPrefix(argumentsOf(ctx, server, node, places), "", last)
}

// joinColons joins http, : and //host, because bash cuts words at colons.
func joinColons(words []string) (joined []string) {
	glue := false
	for _, word := range words {
		colon := strings.Trim(word, ":") == "" && word != ""
		if n := len(joined); n > 0 && (colon || glue) {
			joined[n-1] += word
		} else {
			joined = append(joined, word)
		}
		glue = colon
	}
	return joined
}

// setFlag sets what a flag of the line says about the server.
func (f *serverFlag) setFlag(flag, value string) {
	switch flag {
	case "server":
		f.Server = value
	case "key-file":
		f.KeyFile = value
	}
}

// withPrefix returns the candidates that begin with what is written, each with a text before it.
func withPrefix(candidates []string, before, written string) []string {
	var out []string
	for _, c := range candidates {
		if strings.HasPrefix(c, written) {
			out = append(out, before+c)
		}
	}
	slices.Sort(out)
	return out
}

// flagWithValue returns the flag of a word if its value is the next word, and nil otherwise.
func flagWithValue(node *kong.Node, word string) *kong.Flag {
	for _, flags := range node.AllFlags(true) {
		for _, f := range flags {
			if !f.IsBool() && !f.IsCounter() && (word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short)) {
				return f
			}
		}
	}
	return nil
}

func flagNames(node *kong.Node) (names []string) {
	for _, flags := range node.AllFlags(true) {
		for _, f := range flags {
			names = append(names, "--"+f.Name)
		}
	}
	return names
}

func childOf(node *kong.Node, name string) *kong.Node {
	i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return node.Children[i]
}

func childNames(node *kong.Node) (names []string) {
	for _, child := range node.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

// valuesOf returns the values that a flag may have, if there are few.
func valuesOf(f *kong.Flag) []string {
	if f.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(strings.Split(f.Enum, ","), func(v string) bool { return v == "" })
}

// completionTime is how long a person waits for names that a server has to say.
const completionTime = 700 * time.Millisecond

// argumentsOf returns the values of a positional argument: words of a list, or names that the server knows.
func argumentsOf(ctx context.Context, f serverFlag, node *kong.Node, place int) (names []string) {
	if place >= len(node.Positional) {
		return nil
	}
	if enum := node.Positional[place].Enum; enum != "" {
		return strings.Split(enum, ",")
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	server, err := f.connect(client.Config{OnRetry: func(failure error) error { return failure }})
	if err != nil {
		return nil
	}
	defer server.Close()
	switch node.Path() { // An error means that there are no names to offer.
	case "query", "watch", "changes", "views show", "views delete":
		views, _ := server.Views(ctx)
		for _, v := range views {
			names = append(names, v.Name)
		}
	case "types show", "types delete":
		types, _ := server.EventTypes(ctx)
		for _, t := range types {
			names = append(names, t.Name)
		}
	case "jobs run":
		jobs, _ := server.Jobs(ctx)
		for _, j := range jobs {
			names = append(names, j.Name)
		}
	}
	return names
}
