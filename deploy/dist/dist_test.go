package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"

	"recount/deploy/embedded/chdb"
)

// Tests work in the root of the checkout. They share a build of recount and what was packed of it without the engine.
var program, packed string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "recount-dist-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "recount")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./deploy/recount")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	packed = filepath.Join(dir, "packed")
	if err := pack(context.Background(), options{program: program, out: packed}); err != nil {
		panic(err)
	}
	return m.Run()
}

// readFolder returns the content of every file.
func readFolder(t *testing.T, out string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(out, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestPack packs once more, as a person with another umask would, and compares the bytes. Then it opens the files.
func TestPack(t *testing.T) {
	again := filepath.Join(t.TempDir(), "again")
	umask := syscall.Umask(0o077)
	err := pack(t.Context(), options{program: program, out: again})
	syscall.Umask(umask)
	if err != nil {
		t.Fatal(err)
	}
	first := readFolder(t, packed)
	second := readFolder(t, again)
	if len(first) != 5 || len(second) != len(first) {
		t.Fatalf("got %d files and then %d, want an archive, a deb, an rpm, install.sh and SHA256SUMS", len(first),
			len(second))
	}
	sums := string(first[sumsFile])
	for name, content := range first {
		if !bytes.Equal(content, second[name]) {
			t.Errorf("%s differs between two runs", name)
		}
		if name != sumsFile && !strings.Contains(sums, "  "+name+"\n") {
			t.Errorf("%s does not list %s:\n%s", sumsFile, name, sums)
		}
		switch {
		case strings.HasSuffix(name, ".tar.gz"):
			checkArchive(t, content)
		case strings.HasSuffix(name, ".deb"):
			checkDeb(t, content)
		}
	}
}

// checkArchive checks that an archive is complete: every module in the program is in the bill, with a licence.
func checkArchive(t *testing.T, content []byte) {
	t.Helper()
	files := unpack(t, content)
	for _, name := range []string{"recount", "recount.yaml", "recount.service", "recount.sysusers", "LICENSE"} {
		if len(files[name]) == 0 {
			t.Errorf("the archive has no %s", name)
		}
	}
	if _, ok := files["libchdb.so"]; ok {
		t.Error("the archive without the engine holds it")
	}
	var b bill
	if err := json.Unmarshal(files["sbom.cdx.json"], &b); err != nil {
		t.Fatal(err)
	}
	r, err := readRelease(program)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.info.Deps) < 20 {
		t.Fatalf("the program has %d modules only", len(r.info.Deps))
	}
	for _, m := range append(r.info.Deps, standardLibrary(r)) {
		if !slices.ContainsFunc(b.Components, func(c component) bool {
			return c.Name == m.Path && c.Version == m.Version && c.Licenses[0].Expression != ""
		}) {
			t.Errorf("the bill lacks %s %s, or its licence", m.Path, m.Version)
		}
		folder := "licenses/" + m.Path + "@" + m.Version + "/"
		has := false
		for name := range files {
			has = has || strings.HasPrefix(name, folder)
		}
		if !has {
			t.Errorf("the archive has no licence in %s", folder)
		}
	}
}

// unpack returns the files of an archive, without its top folder.
func unpack(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	uncompressed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	archive := tar.NewReader(uncompressed)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		if files[name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// checkDeb checks what an administrator relies on: an upgrade keeps the configuration, and the modes.
func checkDeb(t *testing.T, content []byte) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not installed")
	}
	file := filepath.Join(t.TempDir(), "a.deb")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := output(t, "dpkg-deb", "--info", file, "conffiles"); got != "/etc/recount/recount.yaml\n" {
		t.Errorf("configuration files: %q", got)
	}
	if got := output(t, "dpkg-deb", "--field", file, "Recommends"); got != "recount-engine (= "+chdb.Version+")\n" {
		t.Errorf("it recommends %q", got)
	}
	listing := output(t, "dpkg-deb", "--contents", file)
	for _, mode := range []string{"-rwxr-xr-x root/root", "-rw-r----- root/root", "drwxr-x--- root/root"} {
		if !strings.Contains(listing, mode) {
			t.Errorf("nothing has the mode and owner %s:\n%s", mode, listing)
		}
	}
	for _, name := range []string{"./usr/bin/recount", "./usr/lib/systemd/system/recount.service",
		"./usr/lib/sysusers.d/recount.conf", "./usr/share/doc/recount/copyright"} {
		if !strings.Contains(listing, " "+name+"\n") {
			t.Errorf("the package lacks %s", name)
		}
	}
}

// output runs a program that has to succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v:\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestInstall installs the archive from a folder. Then it does the same with folders in which something is wrong, and
// nothing may be installed.
func TestInstall(t *testing.T) {
	folder := t.TempDir()
	archive := ""
	for name, content := range readFolder(t, packed) {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".tar.gz") {
			archive = file
		}
	}
	installer := filepath.Join(folder, "install.sh")
	prefix := filepath.Join(t.TempDir(), "prefix")
	install := func(args ...string) (string, error) {
		const narrow = `umask 077; exec sh "$0" "$@"`
		cmd := exec.CommandContext(t.Context(), "sh",
			append([]string{"-c", narrow, installer, "--prefix", prefix}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for range 2 { // The second is an upgrade.
		out, err := install("--no-engine", folder)
		if err != nil || !strings.HasPrefix(out, "recount ") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, name := range []string{"bin", "bin/recount", "share/doc/recount", "share/doc/recount/recount.yaml"} {
		info, err := os.Stat(filepath.Join(prefix, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o044 != 0o044 {
			t.Errorf("%s has the mode %v, want that others can read it", name, info.Mode())
		}
	}
	engine := filepath.Join(prefix, "lib", "recount", "libchdb.so")
	if err := os.MkdirAll(filepath.Dir(engine), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(engine, []byte("older"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := install("--no-engine", folder); err != nil || !strings.Contains(out, engine+" is left") {
		t.Errorf("an older engine is there: error %v, want the output to name %s: %s", err, engine, out)
	}
	if left, err := os.ReadFile(engine); err != nil || string(left) != "older" {
		t.Errorf("the older engine holds %q, %v, want it left alone", left, err)
	}
	library, err := chdb.Find("")
	if err != nil {
		t.Fatal(err)
	}
	got := output(t, filepath.Join(prefix, "bin", "recount"), "config", "check", "--data-dir", t.TempDir(),
		"--clickhouse.library", library, filepath.Join(prefix, "share", "doc", "recount", "recount.yaml"))
	if !strings.Contains(got, "is valid") {
		t.Errorf("the installed program says: %s", got)
	}

	if err := os.RemoveAll(prefix); err != nil {
		t.Fatal(err)
	}
	refused := func(says string, args ...string) {
		t.Helper()
		out, err := install(args...)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("%v: error %v, want one that says %q: %s", args, err, says, out)
		}
		if _, err := os.Stat(prefix); err == nil {
			t.Errorf("%v: something was installed", args)
		}
	}
	refused("holds no recount-VERSION-linux-", folder) // There is no archive with the engine.
	refused("unknown flag --force", "--force")
	refused("is missing", "--no-engine", "--sums", filepath.Join(folder, "nothing"), folder)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("does not list", "--no-engine", "--sums", empty, folder)
	flip(t, archive)
	refused("is not what", "--no-engine", folder)
	flip(t, archive)
	copied := strings.Replace(archive, "recount-", "recount-0", 1)
	if err := os.Link(archive, copied); err != nil {
		t.Fatal(err)
	}
	refused("holds several archives", "--no-engine", folder)
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPackagedConfig lets the program check the configuration that packages install.
func TestPackagedConfig(t *testing.T) {
	stage := t.TempDir()
	if err := copyFile("deploy/recount/example.yaml", filepath.Join(stage, "recount.yaml")); err != nil {
		t.Fatal(err)
	}
	r, err := readRelease(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := writePackagedConfig(stage, r); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(stage, packagedConfig)
	if got := output(t, program, "config", "check", "--data-dir", stage, file); !strings.Contains(got, "is valid") {
		t.Error(got)
	}
	raw, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(raw), "\ndata_dir: /var/lib/recount\n") {
		t.Errorf("%v: %s", err, raw)
	}
}

// TestRecognise gives licences, parts of several ones, and texts that must stop a release.
func TestRecognise(t *testing.T) {
	t.Parallel()
	const mit = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software\n"
	const bsd = "Redistribution and use in source and binary forms, with or\n * without modification: " +
		"Redistributions in binary form must reproduce the above"
	for text, want := range map[string]string{
		"Apache License\n  Version 2.0, January 2004":                                   "Apache-2.0",
		mit + "The above copyright notice and this permission notice shall be included": "MIT",
		mit + "without restriction":                                                     "MIT-0",
		bsd:                                                                             "BSD-2-Clause",
		bsd + "\n# names may not be used to endorse or\n# promote products":        "BSD-3-Clause",
		bsd + "\nApache License Version 2.0":                                       "Apache-2.0 BSD-2-Clause",
		"GNU LESSER GENERAL PUBLIC\nLICENSE Version 3":                             "general public license",
		"Apache License Version 2.0 with the \"Commons Clause\" License Condition": "commons clause",
		"All rights reserved. You may look at it.":                                 "its licence is unknown",
	} {
		ids, err := recognise(text)
		got := strings.Join(ids, " ")
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// TestEngineLicenses asks the installed engine. The names are of libraries that it certainly holds.
func TestEngineLicenses(t *testing.T) {
	library, err := chdb.Find("")
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "engine.txt")
	if err := writeEngineLicenses(t.Context(), library, file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nzstd (BSD)\n", "\nboost (Boost)\n", "Redistributions in binary form"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the licences of the engine lack %q", want)
		}
	}
	b := &bill{}
	if err := b.addEngine(library); err != nil || len(b.Components) != 1 || b.Components[0].Version != chdb.Version ||
		len(b.Components[0].Hashes[0].Content) != 64 {
		t.Errorf("%v: %+v", err, b.Components)
	}
}

// TestUnit lets systemd read the unit, and counts on it to refuse none of its lines.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	raw, err := os.ReadFile("deploy/dist/package/recount.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "recount.service")
	text := strings.Replace(string(raw), "ExecStart=recount ", "ExecStart="+program+" ", 1)
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := output(t, "systemd-analyze", "verify", unit); strings.Contains(got, unit) {
		t.Error(got)
	}
	got := output(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit)
	if !strings.Contains(got, "OK") {
		t.Error(got)
	}
}
