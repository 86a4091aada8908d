package eventlog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The streams of a log carry these two ids in their metadata (I8, L8).
const (
	logKey          = "recount_log"          // id of the log, the same in all of its streams
	installationKey = "recount_installation" // id of the installation that the log belongs to
)

// ID returns the id of the log. A log gets it when its first stream is created, and keeps it. It is empty
// only in a log that is open for reading alone and has no id yet.
func (l *Log) ID() string { return l.id }

// Installation returns the id of the installation that the log belongs to, or "" if it belongs to none yet.
func (l *Log) Installation() string { return l.installation }

// newID returns the id for streams that have none: of a new log, or of one from before logs had ids.
// The id of an old log is made from the time at which its first stream was created, so that all
// processes that start at once give it the same id.
func newID(first *jetstream.StreamInfo) string {
	if first == nil {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte(first.Config.Name + " " + first.Created.UTC().Format(time.RFC3339Nano)))
	return base32.StdEncoding.EncodeToString(sum[:])[:len(rand.Text())]
}

// learnIDs reads the ids in the metadata of a stream. The streams of one log agree about them.
func (l *Log) learnIDs(c jetstream.StreamConfig) error {
	for _, id := range []struct {
		key   string
		known *string
	}{{logKey, &l.id}, {installationKey, &l.installation}} {
		switch got := c.Metadata[id.key]; {
		case got == "" || got == *id.known:
		case *id.known == "":
			*id.known = got
		default:
			return fmt.Errorf("%w: stream %s belongs to %s %s, and another stream to %s: put back the streams of "+
				"one log", ErrAltered, c.Name, id.key[len("recount_"):], got, *id.known)
		}
	}
	return nil
}

// Claim writes the ids of the log and of its installation into every stream that lacks one of them.
func (l *Log) Claim(ctx context.Context, installation string) error {
	if l.installation != "" && l.installation != installation {
		return fmt.Errorf("%w: the log belongs to installation %s, not to %s", ErrAltered, l.installation, installation)
	}
	for p, s := range l.streams {
		info, err := s.Info(ctx)
		if err != nil {
			return fmt.Errorf("claim stream %s: %w", l.cfg.streamName(p), classify(err))
		}
		c := info.Config
		if c.Metadata[logKey] == l.id && c.Metadata[installationKey] == installation {
			continue
		}
		c.Metadata = maps.Clone(c.Metadata)
		c.Metadata[logKey] = l.id
		c.Metadata[installationKey] = installation
		if _, err := l.js.UpdateStream(ctx, c); err != nil {
			return fmt.Errorf("claim stream %s: %w", c.Name, classify(err))
		}
	}
	l.installation = installation
	return nil
}

// Unclaimed returns the partitions whose streams are empty and belong to no installation, although other streams of
// the log do. Such a stream was created in place of one that is missing, or its first start was interrupted.
func (l *Log) Unclaimed(ctx context.Context) (partitions []int, err error) {
	if l.installation == "" {
		return nil, nil
	}
	for p, s := range l.streams {
		info, err := s.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", l.cfg.streamName(p), classify(err))
		}
		if info.Config.Metadata[installationKey] == "" && info.State.LastSeq == 0 {
			partitions = append(partitions, p)
		}
	}
	return partitions, nil
}

// Used reports whether the log ever held a message.
func (l *Log) Used(ctx context.Context) (bool, error) {
	for p := range l.streams {
		s, err := l.state(ctx, p)
		if err != nil || s.LastSeq > 0 {
			return true, err
		}
	}
	return false, nil
}
