package s3server

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// FuzzRequest sends arbitrary requests, signed or not. The server answers without a panic and
// without a 5xx, writes nothing outside its folder, and refuses a client without the secret.
func FuzzRequest(f *testing.F) {
	root := f.TempDir()
	cfg := DefaultConfig(filepath.Join(root, "s3"))
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := Open(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	if err := s.backend.CreateBucket(f.Context(), bucket); err != nil {
		f.Fatal(err)
	}
	f.Add("PUT", "/lake/a/b", "", "If-None-Match", "*", []byte("body"), true)
	f.Add("GET", "/lake/a/b", "", "Range", "bytes=1-2", []byte{}, true)
	f.Add("GET", "/lake", "list-type=2&prefix=a&delimiter=/&max-keys=3", "", "", []byte{}, true)
	f.Add("POST", "/lake/m", "uploads", "", "", []byte{}, true)
	f.Add("PUT", "/lake/m", "partNumber=1&uploadId=1", "", "", []byte("part"), true)
	f.Add("POST", "/lake/m", "uploadId=1", "", "",
		[]byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"), true)
	f.Add("POST", "/lake", "delete", "", "", []byte("<Delete><Object><Key>a</Key></Object></Delete>"), true)
	f.Add("PUT", "/lake/../../x", "", "X-Amz-Copy-Source", "/lake/a/b", []byte{}, true)
	f.Add("DELETE", "/lake/a/b", "", "", "", []byte{}, false)
	f.Fuzz(func(t *testing.T, method, path, query, name, value string, body []byte, signed bool) {
		u := &url.URL{Scheme: "http", Host: "s3", Path: path, RawQuery: query}
		req, err := http.NewRequestWithContext(t.Context(), method, u.String(), bytes.NewReader(body))
		if err != nil {
			return
		}
		if name != "" {
			req.Header[http.CanonicalHeaderKey(name)] = []string{value}
		}
		secret := s.Credentials().SecretKey
		if !signed {
			secret = "another"
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(body))
		req.Header.Set("X-Amz-Content-Sha256", sum)
		creds := aws.Credentials{AccessKeyID: s.Credentials().AccessKey, SecretAccessKey: secret}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, sum, "s3", "us-east-1", time.Now()); err != nil {
			return
		}
		// as it stands in a request that came over a connection
		req.Header.Set("Content-Length", strconv.Itoa(len(body)))
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, req)
		if _, err := io.Copy(io.Discard, w.Body); err != nil {
			t.Fatal(err)
		}
		if w.Code == http.StatusInternalServerError || !signed && w.Code < 300 {
			t.Errorf("signed %t: %s %s %s: %q answered %d", signed, method, u, name, value, w.Code)
		}
		if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
			t.Fatalf("beside the store's folder: %v, %v", entries, err)
		}
	})
}
