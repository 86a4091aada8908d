package s3server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"recount/schemas/durable"
)

// The files of key pairs.
const (
	credentialsFile = "credentials"
	readerFile      = "reader-credentials"
)

// Credentials are a key pair that the server accepts.
type Credentials struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// loadCredentials returns the pair kept in a file of dir, making it on the first start.
// The caller holds the directory's lock, so no other process makes another pair.
func loadCredentials(dir, name string, readOnly bool) (Credentials, error) {
	path := filepath.Join(dir, name)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		return makeCredentials(path)
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

func makeCredentials(path string) (Credentials, error) {
	c := Credentials{AccessKey: "recount-" + rand.Text()[:12], SecretKey: rand.Text() + rand.Text()}
	raw, err := json.Marshal(c)
	if err != nil {
		return Credentials{}, fmt.Errorf("encode credentials: %w", err)
	}
	if err := (durable.File{Path: path, Mode: 0o600}).WriteAll(raw); err != nil {
		return Credentials{}, fmt.Errorf("write credentials: %w", err)
	}
	return c, nil
}
