package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is the result of a run.
type report struct {
	Time     time.Time         `json:"time"`
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Events   int               `json:"events"`
	Rounds   int               `json:"rounds"`
	Rows     []*row            `json:"rows"`
}

type machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	MemoryMiB int64  `json:"memory_mib"`
	System    string `json:"system"`
}

// row is one figure of every system that has it.
type row struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Higher bool   `json:"higher_is_better,omitempty"`
	// Rounds are the values of each round by system, and Median is their median.
	Rounds map[string][]float64 `json:"rounds"`
	Median map[string]float64   `json:"median"`
}

// add adds a value of a round.
func (r *report) add(name, unit, system string, value float64) {
	i := slices.IndexFunc(r.Rows, func(have *row) bool { return have.Name == name })
	if i < 0 {
		i = len(r.Rows)
		r.Rows = append(r.Rows, &row{Name: name, Unit: unit, Higher: strings.HasSuffix(unit, "/s"),
			Rounds: map[string][]float64{}, Median: map[string]float64{}})
	}
	r.Rows[i].Rounds[system] = append(r.Rows[i].Rounds[system], value)
	r.Rows[i].Median[system] = median(r.Rows[i].Rounds[system])
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// percentile returns the value that the share of all values does not exceed.
func percentile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// ratio says how recount compares with a system, as recount's figure divided by the system's.
func (r *row) ratio(system string) string {
	ours, has := r.Median[recount]
	theirs, have := r.Median[system]
	if !has || !have || theirs == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

// systems are the columns of the table, in order. A system without a value has no column.
func (r *report) systems() (out []string) {
	for _, s := range []string{recount, other, clickhouse, clickhouseUnsynced, duckdb, duckdbMemory} {
		if slices.ContainsFunc(r.Rows, func(row *row) bool { return len(row.Rounds[s]) > 0 }) {
			out = append(out, s)
		}
	}
	return out
}

// print prints the table.
func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "%d events, medians of %d rounds on %s, %d cores, %d MiB, %s\n", r.Events, r.Rounds,
		r.Machine.Processor, r.Machine.Cores, r.Machine.MemoryMiB, r.Machine.System)
	for _, s := range append([]string{"checkout"}, r.systems()...) {
		fmt.Fprintf(w, "%s: %s\n", s, r.Versions[s])
	}
	fmt.Fprintln(w, "The peers run in process and hold neither a log nor live views: they are a yardstick. A ratio is "+
		"recount divided by the peer with fsync.")
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tunit\t%s\t/ ClickHouse\t/ DuckDB\t\n", strings.Join(r.systems(), "\t"))
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t", row.Name, row.Unit)
		for _, s := range r.systems() {
			text := ""
			if v, ok := row.Median[s]; ok {
				text = figure(v)
			}
			fmt.Fprintf(t, "%s\t", text)
		}
		fmt.Fprintf(t, "%s\t%s\t\n", row.ratio(clickhouse), row.ratio(duckdb))
	}
	return t.Flush()
}

// figure writes a number with three digits, or all digits of a large one.
func figure(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// write writes the report as JSON.
func (r *report) write(file string) error {
	raw, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o600)
}

// thisMachine describes the machine, as far as the system says.
func thisMachine() machine {
	m := machine{Processor: runtime.GOARCH, Cores: runtime.NumCPU(), System: runtime.GOOS}
	if name := lineOf("/proc/cpuinfo", "model name"); name != "" {
		m.Processor = name
	}
	if fields := strings.Fields(lineOf("/proc/meminfo", "MemTotal")); len(fields) > 0 {
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err == nil {
			m.MemoryMiB = kib / 1024
		}
	}
	return m
}

// lineOf returns what follows the colon of the first line of a file that begins with name.
func lineOf(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
