// Command dist packs what people install of recount: archives, deb and rpm packages, with licences, a software bill of
// materials (SBOM) and checksums. deploy/OPERATIONS.md says how to install them.
//
//	recount-VERSION-linux-amd64.tar.gz             the program and the engine library
//	recount-VERSION-linux-amd64-no-engine.tar.gz   the program; it uses the ClickHouse server of clickhouse.url
//	recount_*.deb, recount-*.rpm                   the program, its unit and its configuration
//	recount-engine_*.deb, recount-engine-*.rpm     the engine library, which changes with the engine's version only
//	install.sh                                     installs one of the archives
//	SHA256SUMS                                     of all the others
//
// The same program and library give the same bytes on every machine: names are sorted, every time is that of the
// commit, every owner is root, and modes do not depend on the umask.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"recount/deploy/embedded/chdb"
)

func main() {
	var o options
	flag.StringVar(&o.program, "program", "bin/recount", "the built program")
	flag.BoolVar(&o.engine, "engine", true, "pack the engine library that make setup has installed, too")
	flag.StringVar(&o.out, "out", "bin/dist", "the folder of the result; what it held is removed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := pack(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		stop()
		os.Exit(1)
	}
}

// options say what is packed. The working directory is the root of a checkout.
type options struct {
	program string
	engine  bool
	out     string
}

// pack makes everything.
func pack(ctx context.Context, o options) error {
	r, err := readRelease(o.program)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(o.out); err != nil {
		return err
	}
	stage := filepath.Join(o.out, "stage")
	if err := os.MkdirAll(stage, 0o750); err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	bill, err := packProgram(ctx, o, r, stage)
	if err != nil {
		return err
	}
	if o.engine {
		if err := packEngine(ctx, o, r, stage, bill); err != nil {
			return err
		}
	}
	installer := filepath.Join(o.out, "install.sh")
	if err := copyFile("deploy/dist/install.sh", installer); err != nil {
		return err
	}
	if err := os.Chmod(installer, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	return writeSums(o.out)
}

// packProgram makes what needs no engine.
func packProgram(ctx context.Context, o options, r *release, stage string) (*bill, error) {
	for from, to := range map[string]string{
		o.program:                              "recount",
		"LICENSE":                              "LICENSE",
		"deploy/recount/example.yaml":          "recount.yaml",
		"deploy/dist/package/recount.service":  "recount.service",
		"deploy/dist/package/recount.sysusers": "recount.sysusers",
	} {
		if err := copyFile(from, filepath.Join(stage, to)); err != nil {
			return nil, err
		}
	}
	licenses, err := collectLicenses(ctx, r, filepath.Join(stage, "licenses"))
	if err != nil {
		return nil, err
	}
	bill := r.bill(licenses)
	if err := bill.write(filepath.Join(stage, "sbom.cdx.json")); err != nil {
		return nil, err
	}
	if err := normalise(stage, r.time); err != nil {
		return nil, err
	}
	if err := writeArchive(o.out, r.name()+"-no-engine", stage); err != nil {
		return nil, err
	}
	if err := writePackagedConfig(stage, r); err != nil {
		return nil, err
	}
	if err := runPackager(ctx, "program.yaml", o.out, stage, r, r.version); err != nil {
		return nil, err
	}
	return bill, os.Remove(filepath.Join(stage, packagedConfig))
}

// packEngine makes what holds the engine, from the stage of packProgram.
func packEngine(ctx context.Context, o options, r *release, stage string, b *bill) error {
	library, err := chdb.Find("")
	if err != nil {
		return err
	}
	if err := copyFile(library, filepath.Join(stage, "libchdb.so")); err != nil {
		return err
	}
	if err := writeEngineLicenses(ctx, library, filepath.Join(stage, "licenses", "engine.txt")); err != nil {
		return err
	}
	if err := b.addEngine(library); err != nil {
		return err
	}
	if err := b.write(filepath.Join(stage, "sbom.cdx.json")); err != nil {
		return err
	}
	if err := normalise(stage, r.time); err != nil {
		return err
	}
	if err := writeArchive(o.out, r.name(), stage); err != nil {
		return err
	}
	return runPackager(ctx, "engine.yaml", o.out, stage, r, chdb.Version)
}

// packagedConfig is the file of a stage that packages install as /etc/recount/recount.yaml.
const packagedConfig = "packaged.yaml"

// writePackagedConfig puts the folder that the unit may write into the example.
func writePackagedConfig(stage string, r *release) error {
	example, err := os.ReadFile(filepath.Join(stage, "recount.yaml"))
	if err != nil {
		return err
	}
	text := "# The settings of the service; recount config reference lists them all. A restart applies a change.\n" +
		"data_dir: /var/lib/recount\n\n" + string(example)
	if err := os.WriteFile(filepath.Join(stage, packagedConfig), []byte(text), 0o644); err != nil {
		return err
	}
	return normalise(stage, r.time)
}

// runPackager makes the deb and the rpm of a configuration of nfpm.
func runPackager(ctx context.Context, config, out, stage string, r *release, version string) error {
	for _, format := range []string{"deb", "rpm"} {
		cmd := exec.CommandContext(ctx, "go", "tool", "-modfile=deploy/dist/tools.mod", "nfpm", "package",
			"--config", filepath.Join("deploy/dist/package", config), "--packager", format, "--target", out)
		cmd.Env = append(os.Environ(), "STAGE="+stage, "ARCH="+r.arch, "VERSION="+version,
			"ENGINE="+chdb.Version, "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.time.Unix(), 10))
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("make the %s of %s: %w:\n%s", format, config, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
