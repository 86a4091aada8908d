package main

import (
	"fmt"
	"maps"
	"slices"

	"recount/deploy/server"
)

// fileFlag is the flag that names the configuration file.
type fileFlag struct {
	ConfigFile string `name:"config" short:"c" type:"path" help:"Configuration file (YAML); defaults apply without it."`
}

func (f fileFlag) load(s *settingsFlags) (server.Config, error) {
	cfg, err := server.Load(f.ConfigFile, s.given())
	if err != nil {
		return cfg, fmt.Errorf("configuration: %w", err)
	}
	return cfg, nil
}

type configCmd struct {
	Check     configCheckCmd     `cmd:"" help:"Check a configuration, and check that it fits the stored data."`
	Diff      configDiffCmd      `cmd:"" help:"Say what a configuration would change of what is declared."`
	Apply     configApplyCmd     `cmd:"" help:"Declare what a configuration declares, and say what was changed."`
	Reference configReferenceCmd `cmd:"" help:"Print every key with its default, bounds and meaning."`
}

type configCheckCmd struct {
	settable
	File string `arg:"" type:"path" help:"Configuration file (YAML)."`
}

// Run prints each mistake with its file and line. Without mistakes it prints what the configuration declares.
func (c *configCheckCmd) Run(s *settingsFlags, std streams) error {
	cfg, err := fileFlag{c.File}.load(s)
	if err != nil {
		return err
	}
	found, err := server.CheckStored(cfg)
	if err != nil {
		return fmt.Errorf("check the configuration against the stored data: %w", err)
	}
	fmt.Fprintf(std.out, "%s is valid: %s, %s\n", c.File, count(len(cfg.Events), "event type"),
		count(len(cfg.Views), "view"))
	fmt.Fprintln(std.out, found)
	for _, name := range slices.Sorted(maps.Keys(cfg.Events)) {
		for _, pair := range cfg.Events[name].Alike() {
			fmt.Fprintf(std.out, "event type %s: the columns %s and %s differ only in case, so DuckDB cannot read its "+
				"Iceberg table; without a field for %[3]s its values stay in _extra\n", name, pair[0], pair[1])
		}
	}
	switch {
	case cfg.Discovers():
		fmt.Fprintln(std.out, "an event type that is not declared will be declared from its first events, with a view "+
			"that counts them by minute")
	case len(cfg.Views) == 0:
		fmt.Fprintln(std.out, "no view is declared, so nothing would be counted; see the README for an example")
	}
	return nil
}

// count returns a number with its noun, such as "1 view" or "2 views".
func count[N int | int64 | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
