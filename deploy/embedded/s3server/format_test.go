package s3server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFormatGolden freezes the bytes of an object file.
func TestFormatGolden(t *testing.T) {
	t.Parallel()
	tail, err := appendTail(nil, 3, metadata{Key: "a/b", MD5: "00ff", Meta: map[string]string{"Content-Type": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"key":"a/b","md5":"00ff","meta":{"Content-Type":"x"}}` +
		"\x03\x00\x00\x00\x00\x00\x00\x00" + "\x36\x00\x00\x00" + "\x14\x18\x57\x27" + "recount\x01"
	if diff := cmp.Diff(want, string(tail)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	m := metadata{Key: "k", Meta: map[string]string{"X-Amz-Meta-A": strings.Repeat("a", maxMetadata)}}
	if _, err := appendTail(nil, 0, m); err == nil || !strings.Contains(err.Error(), "at most 65536") {
		t.Errorf("got %v, want an error that says how large metadata may be", err)
	}
}

// TestDamage flips and cuts every byte after the body: each change is noticed. Such a file is an
// object of all its bytes, none of them taken for metadata, so that its reader can tell.
func TestDamage(t *testing.T) {
	t.Parallel()
	body := []byte("body")
	whole, err := appendTail(body, int64(len(body)), metadata{Key: "k", MD5: "00"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "o")
	sound := func(raw []byte) bool {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStored(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.File.Close()
		if s.Key == "" && (s.Size != int64(len(raw)) || s.MD5 != "" || s.Meta != nil) {
			t.Errorf("a damaged file of %d bytes: %+v", len(raw), s)
		}
		return s.Key != ""
	}
	if !sound(whole) {
		t.Fatal("a sound file is called damaged")
	}
	for i := range whole {
		if sound(whole[:i]) {
			t.Errorf("cut to %d bytes was read", i)
		}
		if i < len(body) {
			continue
		}
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1
		if sound(bad) {
			t.Errorf("flipped byte %d was read", i)
		}
	}
}

// FuzzTail: no bytes make the decoder panic, and what it accepts it writes again.
func FuzzTail(f *testing.F) {
	seed, err := appendTail(nil, 0, metadata{Key: "k", MD5: "00"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, raw []byte) {
		body, meta, err := parseFooter(raw, int64(len(raw)))
		if err != nil || body+meta+footerSize != int64(len(raw)) {
			return
		}
		if m, err := parseTail(raw[body:]); err == nil {
			if _, err := appendTail(nil, body, m); err != nil {
				t.Errorf("%+v cannot be written again: %v", m, err)
			}
		}
	})
}

// FuzzName: names and segments map to each other one to one.
func FuzzName(f *testing.F) {
	f.Add("a%2E")
	f.Add("%-")
	f.Fuzz(func(t *testing.T, name string) {
		part, ok := parseName(name)
		if !ok {
			return
		}
		segment := part
		isFolder := false
		if len(part) > 0 && part[len(part)-1] == '/' {
			segment = part[:len(part)-1]
			isFolder = true
		}
		again := escape(segment) + leafMark
		if isFolder {
			again = folderName(segment)
		}
		if again != name {
			t.Errorf("%q stands for %q, which is written %q", name, part, again)
		}
	})
}
