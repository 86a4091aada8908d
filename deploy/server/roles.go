package server

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Roles is the set of roles that a process plays.
type Roles uint8

// The roles of a process.
const (
	Ingest Roles = 1 << iota
	Speed
	Landing
	Batch
	Serving
	AllRoles = Ingest | Speed | Landing | Batch | Serving
)

var roleNames = []string{"ingest", "speed", "landing", "batch", "serving"}

// ParseRoles reads names of roles.
func ParseRoles(names []string) (Roles, error) {
	var r Roles
	for _, n := range names {
		i := slices.Index(roleNames, n)
		if i < 0 {
			return 0, fmt.Errorf("role %q is unknown: use one or more of %s", n, strings.Join(roleNames, ", "))
		}
		r |= 1 << i
	}
	return r, nil
}

// Has reports whether every role of o is in r.
func (r Roles) Has(o Roles) bool { return r&o == o }

// Names lists the names of the roles.
func (r Roles) Names() []string {
	var out []string
	for i, n := range roleNames {
		if r.Has(1 << i) {
			out = append(out, n)
		}
	}
	return out
}

// Version is the version of the program, from its module or its commit.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

// BuildInfo is the metric whose label version names the version of a process. recount doctor reads it.
const BuildInfo = "recount_build_info"

func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: BuildInfo,
		Help:        "Always 1; the label is the version of this process.",
		ConstLabels: prometheus.Labels{"version": Version()}}, func() float64 { return 1 })
}
