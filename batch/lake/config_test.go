package lake

import (
	"strings"
	"testing"
)

// TestURL: the URL sets the other fields, with the defaults of its kind of store.
func TestURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]Config{
		"s3://b":                          {Bucket: "b"},
		"s3://b/p/q/?region=eu-central-1": {Bucket: "b", Prefix: "p/q/", Region: "eu-central-1"},
		"s3://b/p?path_style=true":        {Bucket: "b", Prefix: "p/", PathStyle: true},
		"s3://b?endpoint=http://127.0.0.1:9000": {Bucket: "b", Endpoint: "http://127.0.0.1:9000", Region: "us-east-1",
			PathStyle: true, CreateBucket: true},
		"s3://b?endpoint=https://acc.r2.cloudflarestorage.com&region=auto&path_style=false": {
			Bucket: "b", Endpoint: "https://acc.r2.cloudflarestorage.com", Region: "auto", CreateBucket: true},
		"s3://b?endpoint=https://s3.eu-west-1.amazonaws.com&region=eu-west-1": {
			Bucket: "b", Endpoint: "https://s3.eu-west-1.amazonaws.com", Region: "eu-west-1"},
	} {
		cfg := DefaultConfig(url)
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		got, err := cfg.resolve()
		if err != nil || got.Bucket != want.Bucket || got.Prefix != want.Prefix || got.Region != want.Region ||
			got.Endpoint != want.Endpoint || got.PathStyle != want.PathStyle || got.CreateBucket != want.CreateBucket {
			t.Errorf("%s: %+v, %v; want %+v", url, got, err, want)
		}
	}
}

// TestBadURL: a URL that cannot work is refused with a hint.
func TestBadURL(t *testing.T) {
	t.Parallel()
	for url, hint := range map[string]string{
		"":                            "no bucket",
		"embedded":                    "does not run in this process",
		"http://host/b":               "use s3://",
		"s3:///p":                     "use s3://",
		"s3://key:secret@b":           "logs",
		"s3://b?endpont=x":            `"endpont"`,
		"s3://b?endpoint=localhost:1": "https://host:port",
		"s3://b?path_style=maybe":     "true or false",
	} {
		if err := DefaultConfig(url).Validate(); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v, want an error with %q", url, err, hint)
		}
	}
	bad := DefaultConfig("s3://b")
	bad.AccessKey = "only"
	if err := bad.Validate(); err == nil {
		t.Error("an access key without a secret key was accepted")
	}
}
