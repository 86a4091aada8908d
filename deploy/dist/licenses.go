package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/embedded/chdb"
)

// known are the licences that allow recount to be distributed with a copy of their text. A text is recognised by
// phrases that all have to be in it; a file may hold several licences.
var known = []struct {
	id      string // of SPDX
	phrases []string
	without string // a phrase that another licence of the table has besides
}{
	{"Apache-2.0", []string{"apache license", "version 2.0"}, ""},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy",
		"above copyright notice and this permission notice"}, ""},
	{"MIT-0", []string{"permission is hereby granted, free of charge, to any person obtaining a copy"},
		"above copyright notice and this permission notice"},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms",
		"redistributions in binary form must reproduce", "endorse or promote products"}, ""},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms",
		"redistributions in binary form must reproduce"}, "endorse or promote products"},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose",
		"with or without fee"}, ""},
	{"MPL-2.0", []string{"mozilla public license", "version 2.0"}, ""},
	{"CC0-1.0", []string{"cc0 1.0 universal"}, ""},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}, ""},
}

// refused are phrases of licences that ask for more than a copy of their text.
var refused = []string{"general public license", "server side public license", "business source license",
	"commons clause", "elastic license"}

var (
	licenseFile = regexp.MustCompile(`(?i)^(un)?(licen[sc]e|copying)([.-].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents|authors|contributors)([.-].*)?$`)
	spaces      = regexp.MustCompile(`[\s*#/]+`)
)

// recognise returns the licences of a text, by their names in SPDX.
func recognise(text string) ([]string, error) {
	words := spaces.ReplaceAllString(strings.ToLower(text), " ")
	for _, phrase := range refused {
		if strings.Contains(words, phrase) {
			return nil, fmt.Errorf("it speaks of the %q: find out whether recount may be distributed with it", phrase)
		}
	}
	var ids []string
	for _, license := range known {
		missing := func(phrase string) bool { return !strings.Contains(words, phrase) }
		if !slices.ContainsFunc(license.phrases, missing) && (license.without == "" || missing(license.without)) {
			ids = append(ids, license.id)
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("its licence is unknown: if it allows distribution, add it to known in deploy/dist")
	}
	return ids, nil
}

// collectLicenses copies the licences and notices of every module that is linked into the program, and of Go itself.
// It returns the licences by module path. Modules without one are an error.
func collectLicenses(ctx context.Context, r *release, folder string) (map[string][]string, error) {
	licenses := map[string][]string{}
	packages, err := linkedPackages(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		ids, err := copyLicenses(p, folder)
		if err != nil {
			return nil, err
		}
		licenses[p.Module.Path] = append(licenses[p.Module.Path], ids...)
	}
	for path, ids := range licenses {
		slices.Sort(ids)
		licenses[path] = slices.Compact(ids)
	}
	for _, module := range append(r.info.Deps, standardLibrary(r)) {
		if len(licenses[module.Path]) == 0 {
			return nil, fmt.Errorf("%s: the module has no licence file: find out whether recount may be distributed "+
				"with it", module.Path)
		}
	}
	return licenses, nil
}

// linkedPackage is what `go list` says of a package.
type linkedPackage struct {
	Dir    string
	Module struct{ Path, Version, Dir string }
}

// linkedPackages lists the packages of other modules that the program is made of. The standard library counts as one.
func linkedPackages(ctx context.Context, r *release) ([]linkedPackage, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Module", "./deploy/recount")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+r.arch)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages of the program: %w", err)
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find the standard library: %w", err)
	}
	standard := linkedPackage{Dir: strings.TrimSpace(string(root))}
	standard.Module.Path = standardLibrary(r).Path
	standard.Module.Version = standardLibrary(r).Version
	standard.Module.Dir = standard.Dir
	all := []linkedPackage{standard}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for decoder.More() {
		var p linkedPackage
		if err := decoder.Decode(&p); err != nil {
			return nil, fmt.Errorf("list the packages of the program: %w", err)
		}
		if p.Module.Version != "" { // The standard library has no module, and the main module no version.
			all = append(all, p)
		}
	}
	return all, nil
}

// copyLicenses copies the files beside a package and in the folders above it, up to its module's root. Parts of a
// module may have a licence of their own.
func copyLicenses(p linkedPackage, folder string) ([]string, error) {
	var ids []string
	for dir := p.Dir; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			found, err := copyLicense(p, filepath.Join(dir, entry.Name()), folder)
			if err != nil {
				return nil, err
			}
			ids = append(ids, found...)
		}
		if dir == p.Module.Dir {
			return ids, nil
		}
	}
}

// copyLicense copies a file if it is a licence or a notice, and returns the licences that are in it.
func copyLicense(p linkedPackage, file, folder string) (ids []string, err error) {
	base := filepath.Base(file)
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || filepath.Ext(file) == ".go" {
		return nil, err
	}
	if !licenseFile.MatchString(base) && !noticeFile.MatchString(base) {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if licenseFile.MatchString(base) {
		if ids, err = recognise(string(text)); err != nil {
			return nil, fmt.Errorf("licence %s: %w", file, err)
		}
	}
	inside, err := filepath.Rel(p.Module.Dir, file)
	if err != nil {
		return nil, err
	}
	target := filepath.Join(folder, p.Module.Path+"@"+p.Module.Version, inside)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, err
	}
	return ids, os.WriteFile(target, text, 0o644)
}

// engineLicense is the licence that the engine's package stated when it was examined.
const engineLicense = "Apache-2.0"

// writeEngineLicenses writes the licences of the engine and of the libraries in it.
func writeEngineLicenses(ctx context.Context, library, file string) (err error) {
	m, err := readManifest(library)
	if err != nil {
		return err
	}
	if m.License != engineLicense {
		return fmt.Errorf("%s: the licence is %q and not %s: find out whether recount may be distributed with it",
			packagePath(library), m.License, engineLicense)
	}
	dir, err := os.MkdirTemp("", "recount-dist-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := chdb.DefaultConfig(dir)
	cfg.Library = library
	engine, err := chdb.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	text, err := askLicenses(ctx, engine)
	if err != nil {
		return fmt.Errorf("ask the engine for its licences: %w", err)
	}
	return os.WriteFile(file, text, 0o644)
}

// askLicenses asks the engine itself, because its npm package holds no licence file.
func askLicenses(ctx context.Context, engine *chdb.Engine) ([]byte, error) {
	conn, err := clickhouse.Open(engine.Options())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, `SELECT arraySort(groupUniqArray(library_name || ' (' || license_type || ')'))
		AS names, license_text FROM system.licenses GROUP BY license_text ORDER BY names, license_text`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	text := []byte("libchdb.so is distributed under Apache-2.0, see the file LICENSE. " +
		"It holds parts of these libraries.\n")
	for rows.Next() {
		var names []string
		var license string
		if err := rows.Scan(&names, &license); err != nil {
			return nil, err
		}
		text = fmt.Appendf(text, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(names, "\n"),
			strings.TrimSpace(license))
	}
	return text, rows.Err()
}
