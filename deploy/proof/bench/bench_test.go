package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestShapes checks that the events of every shape are the same for the same seed, that they are JSON with an id and a
// time in the range of the queries, and that about one in a hundred is sent twice.
func TestShapes(t *testing.T) {
	t.Parallel()
	for _, s := range shapes() {
		if s.flights {
			continue // They are those of the demonstration, which has its own test.
		}
		all, lines, err := s.bodies(20_000, 1000, 7)
		again, _, _ := s.bodies(20_000, 1000, 7)
		if err != nil || !bytes.Equal(bytes.Join(all, nil), bytes.Join(again, nil)) {
			t.Fatalf("%s: the same seed gives other events, %v", s.name, err)
		}
		ids := map[string]bool{}
		for line := range bytes.Lines(bytes.Join(all, nil)) {
			var e struct {
				ID   string
				Time time.Time
				Data map[string]any
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %v: %s", s.name, err, line)
			}
			if e.Time.Before(s.firstTime()) || !e.Time.Before(s.endTime()) || len(e.Data) != len(s.fields) {
				t.Fatalf("%s: the event is outside of the queries, or lacks a field: %s", s.name, line)
			}
			ids[e.ID] = true
		}
		if copies := lines - 20_000; len(ids) != 20_000 || copies < 100 || copies > 300 {
			t.Errorf("%s: %d ids and %d copies, want 20,000 and about 200", s.name, len(ids), copies)
		}
	}
}

// TestResultsDiffer checks that the comparisons notice another number, a missing row and another number of cells.
func TestResultsDiffer(t *testing.T) {
	t.Parallel()
	a := results{hours: [][]string{{"0", "5", "9", "2"}, {"3600", "1", "2", "1"}}, cells: "6"}
	b := results{hours: [][]string{{"0", "5", "9", "2"}, {"3600", "1", "3", "1"}}, cells: "6"}
	short := results{hours: a.hours[:1], cells: "6"}
	if a.equal(a, "x") != nil || a.equal(b, "x") == nil || a.equal(short, "x") == nil || short.equal(a, "x") == nil ||
		a.equal(results{hours: a.hours, cells: "7"}, "x") == nil ||
		a.equal(results{cells: "6"}, "x") == nil || (results{cells: "6"}).equal(a, "x") == nil {
		t.Error("results that differ count as equal, or the other way round")
	}
	if sameRows(a.hours, b.hours, 0) == nil || sameRows(a.hours, a.hours, 0) != nil ||
		sameRows([][]string{{"k", "100"}}, [][]string{{"k", "102"}}, 0.03) != nil ||
		sameRows([][]string{{"k", "100"}}, [][]string{{"k", "110"}}, 0.03) == nil ||
		sameRows([][]string{{"k", "100"}}, [][]string{{"l", "100"}}, 0.03) == nil {
		t.Error("rows that differ count as equal, or the other way round")
	}
}

// TestPlot checks that a plot is XML, has a panel for each figure, and puts a figure that grows as the quantity on the
// dashed line.
func TestPlot(t *testing.T) {
	t.Parallel()
	points := []point{{value: 1, figures: map[string]float64{"a & b": 2}},
		{value: 10, figures: map[string]float64{"a & b": 20}}}
	raw := plot("growth <1>", "events", []string{"a & b", "absent"}, points)
	panels := 0
	for d := xml.NewDecoder(bytes.NewReader(raw)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			panels++
		}
	}
	if line := `x1="52.0" y1="132.0" x2="242.0" y2="36.0"`; panels != 2 || !strings.Contains(string(raw), line) ||
		!strings.Contains(string(raw), `points="52.0,132.0 242.0,36.0 "`) {
		t.Errorf("%d panels; the figure is not on its line: %s", panels, raw)
	}
}

// TestGrowthFile checks that a CSV file has a line for each point.
func TestGrowthFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "growth.csv")
	points := []point{{value: 1000, figures: map[string]float64{ingestCPU: 1.23456}},
		{value: 2000, figures: map[string]float64{ingestCPU: 3, diskMiB: 7}}}
	if err := writeCSV(file, "keys", points); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	// There is no column for a figure that no point has.
	want := "keys,\"" + ingestCPU + "\",\"" + diskMiB + "\"\n1000,1.235,0\n2000,3,7\n"
	if err != nil || string(raw) != want {
		t.Errorf("the file has %s, %v, want %s", raw, err, want)
	}
}

// TestReport checks medians and ratios, and that the table and the file have them.
func TestReport(t *testing.T) {
	t.Parallel()
	r := &report{Versions: map[string]string{clickhouse: "26"}}
	for _, v := range []float64{1, 9, 2} {
		r.add("ingest", "events/s", recount, 100*v)
		r.add("ingest", "events/s", clickhouse, 400*v)
	}
	r.add("only ours", "MiB", recount, 0.125)
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ingest  events/s      200         800          0.25",
		"only ours       MiB    0.125",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
	file := filepath.Join(t.TempDir(), "bench.json")
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	var back report
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, &back)
	}
	if err != nil || back.Rows[0].Median[clickhouse] != 800 || !back.Rows[0].Higher || back.Rows[1].Higher {
		t.Errorf("the file has %+v, %v", back.Rows[0], err)
	}
	if p := percentile([]float64{3, 1, 2}, 0.5); p != 2 {
		t.Errorf("the median of 1, 2, 3 is %g", p)
	}
}

// TestClientGivesUp lets a server refuse every request for load. A client says so after its patience.
func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too busy", http.StatusTooManyRequests)
	}))
	defer busy.Close()
	c, err := dial(busy.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.patience = 0
	var refused atomic.Int64
	err = c.deliver([]byte("{}"), &refused)
	if err == nil || !strings.Contains(err.Error(), "the last time with 429: too busy") || refused.Load() != 1 {
		t.Errorf("events: got %v after %d refusals, want an error with the answer after the first", err, refused.Load())
	}
	_, err = c.askPatiently("total", nil)
	if err == nil || !strings.Contains(err.Error(), "total was refused for load") {
		t.Errorf("a query: got %v, want an error that names it", err)
	}
}

// TestFailedStartLeavesNoFolder names a program that does not exist.
func TestFailedStartLeavesNoFolder(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	err := mainCommand(t.Context(), []string{"-program", filepath.Join(folder, "nothing")}, io.Discard)
	left, _ := os.ReadDir(folder)
	if err == nil || len(left) > 0 {
		t.Errorf("got error %v and left %v, want an error and no file", err, left)
	}
}
