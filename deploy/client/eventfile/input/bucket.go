package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"recount/batch/lake"
)

// maxObjects is how many objects a prefix may have, so that their list fits into memory.
const maxObjects = 100_000

// Bucket returns the objects whose keys begin with the path of an s3:// URL, or the one object that has it as its key.
// Objects with names that wanted refuses are left out. Parameters of the URL are those of object_store.url: endpoint,
// region and path_style. Credentials are found as the tools of AWS find them. The identity of an object is its URL.
func Bucket(ctx context.Context, address string, wanted func(name string) bool) ([]File, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	prefix := strings.TrimPrefix(u.Path, "/")
	bucket := url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: u.RawQuery}
	cfg := lake.DefaultConfig(bucket.String())
	cfg.ReadOnly = true
	store, err := lake.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	var found []File
	others := 0
	for object, err := range store.List(ctx, prefix, "") {
		switch {
		case err != nil:
			return nil, err
		case object.Size == 0 && strings.HasSuffix(object.Key, "/"): // Consoles mark folders like this.
			continue
		case object.Key == prefix && !strings.HasSuffix(prefix, "/"): // It comes first, because the keys are in order.
			return []File{objectFile(ctx, store, u.Host, object.Key)}, nil
		case !wanted(object.Key):
			others++
			continue
		case len(found) == maxObjects:
			return nil, fmt.Errorf("more than %d objects begin with it; name a longer prefix", maxObjects)
		}
		found = append(found, objectFile(ctx, store, u.Host, object.Key))
	}
	if len(found) == 0 && others > 0 {
		return nil, fmt.Errorf("none of the %d objects that begin with it is of a known kind; say --format to read "+
			"them", others)
	}
	if len(found) == 0 {
		return nil, errors.New("no object begins with it")
	}
	return found, nil
}

func objectFile(ctx context.Context, store *lake.Store, bucket, key string) File {
	name := "s3://" + bucket + "/" + key
	return File{Name: name, Identity: name, Open: func() (*Content, error) {
		object, err := store.Open(ctx, key)
		if err != nil {
			return nil, err
		}
		size := object.Size()
		return &Content{Reader: io.NewSectionReader(object, 0, size), At: object, Size: size,
			Close: func() error { return nil }}, nil
	}}
}
