package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"recount/schemas/durable"
)

const (
	fileVersion = 1
	// maxFile bounds the file in bytes, to some 60,000 keys.
	maxFile = 16 << 20
)

type file struct {
	Version  int      `json:"version"`
	Requires []string `json:"requires"` // names of what a reader must know; this program knows none
	Keys     []Key    `json:"keys"`
}

// Decode reads the keys of a file. It ignores members that it does not know. A restriction of keys
// that a reader must not ignore is named in requires.
func Decode(raw []byte) ([]Key, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	var f file
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("not a keys file: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not a keys file: something follows the keys; remove it")
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("the keys file has version %d, and this program reads version %d", f.Version,
			fileVersion)
	}
	if len(f.Requires) > 0 {
		return nil, fmt.Errorf("the keys file requires %q, which this program does not know; use the version of "+
			"recount that wrote it, or a later one", f.Requires)
	}
	ids := make(map[string]bool, len(f.Keys))
	for i, k := range f.Keys {
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		if ids[k.ID] {
			return nil, fmt.Errorf("key %d: another key has the id %s too; remove one of them", i, k.ID)
		}
		ids[k.ID] = true
	}
	return f.Keys, nil
}

// Encode is the inverse of Decode. It writes one key a line.
func Encode(keys []Key) ([]byte, error) {
	out := fmt.Appendf(nil, `{"version":%d,"keys":[`, fileVersion)
	for i, k := range keys {
		line, err := json.Marshal(k)
		if err != nil {
			return nil, fmt.Errorf("encode key %s: %w", k.ID, err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, "\n "...), line...)
	}
	return append(out, "]}\n"...), nil
}

// Read returns the keys of the file at path and its bytes.
func Read(path string) ([]Key, []byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w; make a first key with: recount keys create --keys-file %s "+
			"--tenant NAME --scope ingest,query", err, path)
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, nil, fmt.Errorf("%s: users other than its owner may write it; run chmod 600 on it", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(raw) > maxFile {
		return nil, nil, fmt.Errorf("%s is larger than %d bytes; remove revoked keys from it", path, maxFile)
	}
	keys, err := Decode(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, raw, nil
}

// Update replaces the keys in the file at path by those that change returns. A file that does not
// exist has no keys. Concurrent updates, also of several processes, run one after the other.
func Update(path string, change func([]Key) ([]Key, error)) error {
	lock, err := durable.WaitLock(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer lock.Close()
	keys, _, err := Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	raw, err := Encode(keys)
	if err != nil {
		return err
	}
	if len(raw) > maxFile {
		return fmt.Errorf("%s would be larger than %d bytes; remove revoked keys from it", path, maxFile)
	}
	return durable.File{Path: path, Mode: 0o600, KeepOwner: true}.WriteAll(raw)
}

// Revoke revokes the keys with the ids and the keys that match. It returns those that were not revoked
// before. If an id is unknown, it revokes nothing.
func Revoke(path string, ids []string, match func(Key) bool, now time.Time) (revoked []Key, err error) {
	if _, err := os.Stat(path); err != nil { // Update would create the file.
		return nil, err
	}
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	err = Update(path, func(keys []Key) ([]Key, error) {
		for i, k := range keys {
			named := missing[k.ID]
			delete(missing, k.ID)
			if (named || match(k)) && k.Revoked.IsZero() {
				keys[i].Revoked = now
				revoked = append(revoked, k)
			}
		}
		for id := range missing {
			return nil, fmt.Errorf("no key has the id %.40q; recount keys list shows them", id)
		}
		return keys, nil
	})
	return revoked, err
}
