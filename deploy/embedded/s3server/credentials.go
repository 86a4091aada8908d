package s3server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Credentials are the one key pair the server accepts.
type Credentials struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// loadCredentials returns the pair kept in dir, making it on the first start.
// The caller holds the directory's lock, so nobody else makes another one.
func loadCredentials(dir string, readOnly bool) (Credentials, error) {
	path := filepath.Join(dir, "credentials")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		return makeCredentials(dir, path)
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	var c Credentials
	if err := json.Unmarshal(raw, &c); err != nil || len(c.AccessKey) < 3 || c.SecretKey == "" {
		return Credentials{}, fmt.Errorf("%s holds no key pair: remove the file to have a new one made", path)
	}
	return c, nil
}

func makeCredentials(dir, path string) (Credentials, error) {
	c := Credentials{AccessKey: "recount-" + rand.Text()[:12], SecretKey: rand.Text() + rand.Text()}
	raw, err := json.Marshal(c)
	if err != nil {
		return Credentials{}, fmt.Errorf("encode credentials: %w", err)
	}
	temp := filepath.Join(dir, "tmp", "credentials")
	if err := writeSynced(temp, raw); err != nil {
		return Credentials{}, fmt.Errorf("write credentials: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return Credentials{}, fmt.Errorf("place credentials: %w", err)
	}
	return c, syncDir(dir)
}

func writeSynced(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, werr := f.Write(raw)
	return errors.Join(werr, f.Sync(), f.Close())
}
