package lake

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Access is what another program needs to read the objects of the store over S3.
type Access struct {
	URL                         string // ends with a slash; the key of an object follows
	AccessKey, SecretKey, Token string // empty means that the program uses the credentials it has
}

// Access returns the URL and the credentials with which this process uses the store.
func (s *Store) Access(ctx context.Context) (a Access, err error) {
	a.URL = fmt.Sprintf("%s/%s/", strings.TrimRight(s.cfg.Endpoint, "/"), s.cfg.Bucket)
	if s.cfg.Endpoint == "" {
		a.URL = fmt.Sprintf("https://%s.s3.%s.amazonaws.com/", s.cfg.Bucket, s.client.Options().Region)
	}
	a.URL += (&url.URL{Path: s.cfg.Prefix}).EscapedPath()
	keys, err := s.client.Options().Credentials.Retrieve(ctx)
	if err != nil {
		return a, fmt.Errorf("get the credentials of the object store: %w", err)
	}
	a.AccessKey = keys.AccessKeyID
	a.SecretKey = keys.SecretAccessKey
	a.Token = keys.SessionToken
	return a, nil
}
