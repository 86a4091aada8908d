package lake

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"

	"recount/schemas/failpoint"
	"recount/schemas/record"
)

// ProbePrefix is the prefix of the keys that Probe creates and deletes.
const ProbePrefix = "probe/"

// Probe creates one random key twice. It fails unless the store keeps the first record and says so (C9);
// SeaweedFS 3.96 accepted If-None-Match and overwrote. The bodies differ, so a read-back cannot
// confuse them.
func (s *Store) Probe(ctx context.Context) error {
	key := ProbePrefix + rand.Text()
	defer s.removeProbe(ctx, key)
	return NewCommitLog(s).Probe(ctx, key)
}

// Probe creates key, which was never used, twice.
func (l *CommitLog) Probe(ctx context.Context, key string) error {
	if failpoint.Off(failpoint.C9) {
		return nil
	}
	first := []byte("first " + rand.Text())
	second := []byte("second " + rand.Text())
	outcome, _, err := l.Create(ctx, key, first)
	if err != nil {
		return fmt.Errorf("probe the object store: a create-only write failed: %w", err)
	}
	if outcome != record.Created {
		return fmt.Errorf("probe the object store: the new random key %s exists already: use a store that keeps "+
			"keys apart", key)
	}
	outcome, there, err := l.Create(ctx, key, second)
	switch {
	case err != nil:
		return fmt.Errorf("probe the object store: second write of %s: %w", key, err)
	case outcome != record.Exists:
		return fmt.Errorf("probe the object store: it ignored If-None-Match and overwrote %s, "+
			"so two writers could both win a commit: use a store with conditional writes (S3, R2, MinIO, Ceph) or "+
			"the embedded one", key)
	case !bytes.Equal(there, first):
		return fmt.Errorf("probe the object store: it refused the second write of %s and still changed the record", key)
	}
	return nil
}

// removeProbe deletes the key of the probe. No other deletion may come so early (C8). A key that stays
// does no harm.
func (s *Store) removeProbe(ctx context.Context, key string) {
	if err := s.Delete(context.WithoutCancel(ctx), key); err != nil {
		s.cfg.Logger.WarnContext(ctx, "cannot delete the key of the probe of the object store; it does no harm",
			"key", key, "error", err)
	}
}
