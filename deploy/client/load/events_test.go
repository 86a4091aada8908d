package load

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/schemas/catalog"
	"recount/schemas/openapi"
)

// testView returns a view with a field of every kind.
func testView(t testing.TB) openapi.View {
	t.Helper()
	var v openapi.View
	const text = `{"name":"v","event":"e",
		"dimensions":[
			{"name":"page","type":"string"},
			{"name":"ok","type":"bool"},
			{"name":"subject","type":"string"}],
		"measures":[
			{"name":"n","kind":"count","type":"int64"},
			{"name":"s","kind":"sum","field":"ms","type":"int64"},
			{"name":"f","kind":"avg","field":"cost","type":"float64"},
			{"name":"u","kind":"distinct","field":"user","type":"string"},
			{"name":"m","kind":"max","field":"at","type":"timestamp"},
			{"name":"m2","kind":"min","field":"ms","type":"int64"}]}`
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// testConfig returns a load with enough patience to send the whole schedule on a slow machine.
func testConfig() Config {
	return Config{
		URL: "http://127.0.0.1:8080", View: "v", Run: "r", Seed: 1, Rate: 10_000, Batch: 20, Duration: time.Second,
		InFlight: 512, Patience: time.Minute, Timeout: 30 * time.Second, Drain: 30 * time.Second,
		Keys: 50, Skew: 1.1, Values: 100_000, DuplicateAfter: 2 * time.Second, LateBy: time.Hour,
	}
}

// TestNumbers checks that new events are numbered without a gap, and that a copy is sent after its original.
func TestNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := numbers{
			batch:      rapid.Int64Range(1, 50).Draw(t, "batch"),
			duplicates: rapid.Float64Range(0, 0.5).Draw(t, "duplicates"),
			lag:        rapid.Int64Range(1, 10).Draw(t, "lag"),
		}
		next := int64(0)
		copies := int64(0)
		for n := range int64(100) {
			fresh, again := s.request(n)
			if fresh.first != next || fresh.count+again.count != s.batch {
				t.Fatalf("request %d: got %+v and %+v, want %d events from number %d", n, fresh, again, s.batch, next)
			}
			next += fresh.count
			copies += again.count
			if again.first < 0 || again.first+again.count > next {
				t.Fatalf("request %d sends the copies %+v before the originals", n, again)
			}
		}
		if want := s.duplicates * float64(100*s.batch); math.Abs(float64(copies)-want) > 1 {
			t.Fatalf("got %d copies, want %g", copies, want)
		}
	})
}

// TestKeysFollowTheirWeights checks how often keys are drawn, within five standard deviations.
func TestKeysFollowTheirWeights(t *testing.T) {
	t.Parallel()
	for _, skew := range []float64{0, 0.8, 1.5} {
		const keys, draws = 20, 200_000
		z := newZipf(keys, skew)
		var got [keys]float64
		for i := range int64(draws) {
			got[z.key(draw(7, i, 3))]++
		}
		sum := z.cumulated[keys-1]
		for k, n := range got {
			p := math.Pow(float64(k+1), -skew) / sum
			want := draws * p
			sigma := math.Sqrt(draws * p)
			if math.Abs(n-want) > 5*sigma {
				t.Errorf("skew %g: key %d was drawn %.0f times, want %.0f", skew, k, n, want)
			}
		}
	}
}

// decoded is an event as encoding/json reads it.
type decoded struct {
	ID, Type, Source, Subject, SpecVersion string
	Time                                   time.Time
	Data                                   struct {
		Page, User string
		OK         *bool
		MS         *int64
		Cost       *float64
		At         time.Time
	}
}

// TestEvents decodes the lines of requests, and checks that a copy equals its original.
func TestEvents(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Late = 0.3
	c.LateBy = time.Hour
	c.Malformed = 0.1
	c.Duplicates = 0.2
	start := time.Date(2024, 5, 1, 12, 0, 0, 123456000, time.UTC)
	e := &encoder{Events: NewEvents(c, testView(t), start)}
	seen := map[int64]string{}
	late := 0
	broken := 0
	for n := range int64(200) {
		fresh, copies := e.numbers.request(n)
		lines := bytes.SplitAfter(e.request(n), []byte("\n"))
		got := int64(len(lines) - 1)
		want := fresh.count + copies.count
		if got != want {
			t.Fatalf("request %d: %d lines, want %d", n, got, want)
		}
		for k, line := range lines[:len(lines)-1] {
			i := fresh.first + int64(k)
			if int64(k) >= fresh.count {
				i = copies.first + int64(k) - fresh.count
			}
			if original, again := seen[i]; again && original != string(line) {
				t.Fatalf("event %d changed:\n%s%s", i, original, line)
			}
			seen[i] = string(line)
			if e.malformed(i) {
				broken++
				continue
			}
			if checkLine(t, line, start, c) {
				late++
			}
		}
	}
	if total := 200 * c.Batch; late < total/5 || late > total*2/5 || broken < total/20 || broken > total/5 {
		t.Errorf("%d of %d events are late and %d malformed, want about 30 %% and 10 %%", late, total, broken)
	}
}

// checkLine checks a valid event and reports whether it is late.
func checkLine(t *testing.T, line []byte, start time.Time, c Config) (late bool) {
	t.Helper()
	var d decoded
	if err := json.Unmarshal(line, &d); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if d.SpecVersion != "1.0" || d.Type != "e" || d.Source != "load" || d.Subject == "" || d.Data.Page[0] != 'k' ||
		d.Data.OK == nil || d.Data.MS == nil || d.Data.Cost == nil || d.Data.User == "" || d.Data.At.IsZero() {
		t.Fatalf("a field is missing: %s", line)
	}
	if from := start.Add(-c.LateBy - c.interval()); d.Time.Before(from.Truncate(time.Microsecond)) ||
		d.Time.After(start.Add(time.Minute)) {
		t.Fatalf("the time is out of range: %s", line)
	}
	return d.Time.Before(start.Add(-c.interval() - time.Second))
}

// TestMalformedIsRefused checks that no damaged line is valid JSON in UTF-8 with unique keys.
func TestMalformedIsRefused(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Malformed = 1
	e := &encoder{Events: NewEvents(c, testView(t), time.Now())}
	for n, line := range bytes.Split(bytes.TrimSuffix(e.request(0), []byte("\n")), []byte("\n")) {
		var d map[string]json.RawMessage
		valid := json.Unmarshal(line, &d) == nil && bytes.Equal(bytes.ToValidUTF8(line, nil), line) &&
			bytes.Count(line, []byte(`"data":`)) == 1
		if valid {
			t.Errorf("event %d is valid: %s", n, line)
		}
	}
}

// BenchmarkEncode measures how many events a second are encoded.
func BenchmarkEncode(b *testing.B) {
	c := testConfig()
	c.Batch = 1000
	v := testView(b)
	v.Dimensions[2].Type = catalog.String
	e := &encoder{Events: NewEvents(c, v, time.Now())}
	for n := range int64(b.N) {
		b.SetBytes(int64(len(e.request(n))))
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
}
