package input

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/batch/lake"
	"recount/deploy/embedded/s3server"
)

// TestBucket reads objects of a real object store: those under a prefix, and one by its key.
func TestBucket(t *testing.T) {
	server, err := s3server.Open(s3server.DefaultConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", server.Credentials().AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.Credentials().SecretKey)
	endpoint := "?endpoint=" + server.Endpoint()
	store, err := lake.Open(t.Context(), lake.DefaultConfig("s3://exports"+endpoint))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	content := strings.Repeat("a,b\n", 1<<18)
	for _, key := range []string{"2024/b.csv", "2024/a.csv.gz", "2024/_SUCCESS", "2025/c.csv", "2024/a.csv"} {
		if err := store.Put(t.Context(), key, strings.NewReader(content), int64(len(content))); err != nil {
			t.Fatal(err)
		}
	}
	for _, marker := range []string{"2024/", "2025/"} { // Consoles make such objects for folders.
		if err := store.Put(t.Context(), marker, strings.NewReader(""), 0); err != nil {
			t.Fatal(err)
		}
	}
	csv := func(name string) bool { return strings.Contains(name, ".csv") }
	for path, want := range map[string][]string{
		"2024/":      {"s3://exports/2024/a.csv", "s3://exports/2024/a.csv.gz", "s3://exports/2024/b.csv"},
		"2024/a.csv": {"s3://exports/2024/a.csv"},
		"2025/c":     {"s3://exports/2025/c.csv"},
	} {
		files, err := Bucket(t.Context(), "s3://exports/"+path+endpoint, csv)
		if err != nil {
			t.Fatal(path, err)
		}
		var got []string
		for _, f := range files {
			got = append(got, f.Identity)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		opened, err := files[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(opened)
		if err != nil || string(raw) != content || opened.Size != int64(len(content)) {
			t.Errorf("%s: %d bytes, %v", path, len(raw), err)
		}
	}
	for path, says := range map[string]string{"2024/_": "none of the 1 objects that begin with it is of a known kind",
		"2026/": "no object begins with it"} {
		if _, err := Bucket(t.Context(), "s3://exports/"+path+endpoint, csv); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if _, err := Bucket(t.Context(), "s3://other/"+endpoint, csv); err == nil {
		t.Error("a bucket that does not exist was read")
	}
}
