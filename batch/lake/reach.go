package lake

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Reach is what another program needs to read the store's objects over S3.
type Reach struct {
	URL                         string // with a slash at its end; keys follow
	AccessKey, SecretKey, Token string // empty: those of that program's own surroundings
}

// Reach says how this process reaches the store.
func (s *Store) Reach(ctx context.Context) (r Reach, err error) {
	r.URL = fmt.Sprintf("%s/%s/", strings.TrimRight(s.cfg.Endpoint, "/"), s.cfg.Bucket)
	if s.cfg.Endpoint == "" {
		r.URL = fmt.Sprintf("https://%s.s3.%s.amazonaws.com/", s.cfg.Bucket, s.client.Options().Region)
	}
	r.URL += (&url.URL{Path: s.cfg.Prefix}).EscapedPath()
	keys, err := s.client.Options().Credentials.Retrieve(ctx)
	if err != nil {
		return r, fmt.Errorf("credentials of the object store: %w", err)
	}
	r.AccessKey = keys.AccessKeyID
	r.SecretKey = keys.SecretAccessKey
	r.Token = keys.SessionToken
	return r, nil
}
