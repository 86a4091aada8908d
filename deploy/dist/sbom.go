package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// bill is a software bill of materials in the form CycloneDX 1.6. Scanners compare its package URLs with the databases
// of vulnerabilities.
type bill struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type     string    `json:"type"`
	Ref      string    `json:"bom-ref"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	URL      string    `json:"purl"`
	Hashes   []hash    `json:"hashes,omitempty"`
	Licenses []license `json:"licenses"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	Expression string `json:"expression"`
}

// newComponent returns a component whose licences all hold.
func newComponent(kind, name, version, purl string, licenses ...string) component {
	return component{Type: kind, Ref: purl, Name: name, Version: version, URL: purl,
		Licenses: []license{{strings.Join(licenses, " AND ")}}}
}

// standardLibrary is the module of Go itself, which build information does not list.
func standardLibrary(r *release) *debug.Module {
	return &debug.Module{Path: "stdlib", Version: strings.TrimPrefix(strings.Fields(r.info.GoVersion)[0], "go")}
}

// bill lists the modules that the build information of the program names.
func (r *release) bill(licenses map[string][]string) *bill {
	b := &bill{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: metadata{
		Timestamp: r.time.Format(time.RFC3339),
		Component: newComponent("application", "recount", r.version, "pkg:golang/recount@"+r.version, "Apache-2.0"),
	}}
	for _, m := range append(r.info.Deps, standardLibrary(r)) {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, newComponent("library", m.Path, m.Version,
			"pkg:golang/"+m.Path+"@"+url.PathEscape(m.Version), licenses[m.Path]...))
	}
	return b
}

func (b *bill) write(file string) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// manifest is the package.json of the engine's npm package.
type manifest struct{ Name, Version, License string }

func readManifest(library string) (m manifest, err error) {
	raw, err := os.ReadFile(packagePath(library))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%s: %w", packagePath(library), err)
	}
	return m, nil
}

// addEngine adds the engine library.
func (b *bill) addEngine(library string) error {
	m, err := readManifest(library)
	if err != nil {
		return err
	}
	sum, err := sha256File(library)
	if err != nil {
		return err
	}
	purl := "pkg:npm/" + strings.Replace(m.Name, "@", "%40", 1) + "@" + m.Version
	engine := newComponent("library", m.Name, m.Version, purl, m.License)
	engine.Hashes = []hash{{"SHA-256", sum}}
	b.Components = append(b.Components, engine)
	return nil
}
