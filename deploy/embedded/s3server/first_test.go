package s3server

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// appendTail appends metadata and footer as programs of format 1 wrote them after a body of size bytes.
func appendTail(buf []byte, size int64, m firstMetadata) ([]byte, error) {
	start := len(buf)
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	buf = append(buf, raw...)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(size))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(raw)))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
	return append(buf, magic...), nil
}

// TestFirstGolden freezes the bytes of an object file of format 1.
func TestFirstGolden(t *testing.T) {
	t.Parallel()
	tail, err := appendTail(nil, 3,
		firstMetadata{Key: "a/b", MD5: "00ff", Meta: map[string]string{"Content-Type": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"key":"a/b","md5":"00ff","meta":{"Content-Type":"x"}}` +
		"\x03\x00\x00\x00\x00\x00\x00\x00" + "\x36\x00\x00\x00" + "\x14\x18\x57\x27" + "recount\x01"
	if diff := cmp.Diff(want, string(tail)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDamage flips and cuts every byte after the body: each change is noticed. Such a file is an
// object of all its bytes, none of them taken for metadata, so that its reader can tell.
func TestDamage(t *testing.T) {
	t.Parallel()
	body := []byte("body")
	whole, err := appendTail(body, int64(len(body)), firstMetadata{Key: "k", MD5: "00"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "o")
	sound := func(raw []byte) bool {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openFirst(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.File.Close()
		if s.MD5 == nil && (s.Size != int64(len(raw)) || s.Headers != nil) {
			t.Errorf("a damaged file of %d bytes: %+v", len(raw), s)
		}
		return s.MD5 != nil
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
	seed, err := appendTail(nil, 0, firstMetadata{Key: "k", MD5: "00"})
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
