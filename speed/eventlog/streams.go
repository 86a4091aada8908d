package eventlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// dedupWindow is how long a resend of a message id is absorbed (L7). The server keeps
// the ids of that time in memory: one per batch, about 100 bytes each.
const dedupWindow = 30 * time.Second

// partitionsKey is the stream's own note of P, so that a start with another number of
// partitions is refused even when only some of the streams exist (L3).
const partitionsKey = "recount_partitions"

func (c Config) streamName(partition int) string { return fmt.Sprintf("%s-p%d", c.Prefix, partition) }
func (c Config) subject(partition int) string    { return fmt.Sprintf("%s.p%d", c.Prefix, partition) }

// stream is the whole configuration of a partition's stream (L4). Purge stays allowed
// because Trim and Advance need it; the default persist mode is the one that SyncAlways covers.
func (c Config) stream(partition int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              c.streamName(partition),
		Subjects:          []string{c.subject(partition)},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		PersistMode:       jetstream.DefaultPersistMode,
		Replicas:          c.Replicas,
		MaxBytes:          c.MaxBytes,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		MaxConsumers:      -1,
		Duplicates:        dedupWindow,
		DenyDelete:        true,
		Metadata:          map[string]string{partitionsKey: strconv.Itoa(c.Partitions)},
	}
}

// openStreams makes the missing streams and checks all of them.
func (l *Log) openStreams(ctx context.Context) error {
	if err := l.checkPartitions(ctx); err != nil {
		return err
	}
	for p := range l.cfg.Partitions {
		s, err := l.openStream(ctx, p)
		if err != nil {
			return err
		}
		l.streams = append(l.streams, s)
	}
	return nil
}

// checkPartitions refuses to make a stream while one of another number of partitions exists.
func (l *Log) checkPartitions(ctx context.Context) error {
	for p := range l.cfg.Partitions {
		s, err := l.js.Stream(ctx, l.cfg.streamName(p))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", l.cfg.streamName(p), classify(err))
		}
		got := s.CachedInfo().Config.Metadata[partitionsKey]
		want := strconv.Itoa(l.cfg.Partitions)
		if got != want {
			return fmt.Errorf("%w: log partitions is %s, stream %s was made for %q: the number is fixed (L3), set "+
				"it back or use another prefix and an empty lake",
				ErrAltered, want, l.cfg.streamName(p), got)
		}
	}
	return nil
}

// openStream returns the stream of a partition once the server's own account of its
// settings is the one we want (L1, L4).
func (l *Log) openStream(ctx context.Context, partition int) (jetstream.Stream, error) {
	want := l.cfg.stream(partition)
	s, err := l.js.Stream(ctx, want.Name)
	if l.cfg.ReadOnly {
		if err != nil {
			return nil, fmt.Errorf("open stream %s for reading: %w", want.Name, classify(err))
		}
		return s, nil
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		l.log.Info("create log stream", "stream", want.Name, "max_bytes", want.MaxBytes, "replicas", want.Replicas)
		s, err = l.js.CreateStream(ctx, want)
	} else if err == nil {
		err = l.resize(ctx, s.CachedInfo().Config, want.MaxBytes)
	}
	if err = classify(err); errors.Is(err, ErrFull) {
		return nil, fmt.Errorf("reserve log max bytes, %d, for stream %s: lower it or give the log server more disk: %w", want.MaxBytes, want.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read back stream %s: %w", want.Name, classify(err))
	}
	if diffs := differences(want, info.Config); len(diffs) > 0 {
		return nil, fmt.Errorf("%w: stream %s: %s: change the configuration to match or set the stream back with "+
			"`nats stream edit %s`",
			ErrAltered, want.Name, strings.Join(diffs, "; "), want.Name)
	}
	return s, nil
}

// resize follows a changed max bytes, the one setting an operator may need to change
// and that cannot lose a message: with discard new a smaller limit only fills up sooner.
func (l *Log) resize(ctx context.Context, found jetstream.StreamConfig, maxBytes int64) error {
	if found.MaxBytes == maxBytes {
		return nil
	}
	if found.Discard != jetstream.DiscardNew {
		return nil // differences reports it, and a smaller limit would delete messages
	}
	l.log.Info("resize log stream", "stream", found.Name, "from", found.MaxBytes, "to", maxBytes)
	found.MaxBytes = maxBytes
	_, err := l.js.UpdateStream(ctx, found)
	return err
}

// differences names each setting that is not as wanted, in the server's words. It
// compares everything the client knows, so a setting nobody thought of counts too.
func differences(want, got jetstream.StreamConfig) []string {
	w := settings(want)
	g := settings(got)
	var diffs []string
	for _, name := range slices.Sorted(maps.Keys(union(w, g))) {
		if !reflect.DeepEqual(w[name], g[name]) {
			diffs = append(diffs, fmt.Sprintf("%s is %v, want %v", name, orUnset(g[name]), orUnset(w[name])))
		}
	}
	return diffs
}

// settings flattens a stream configuration to its JSON fields that are set. The server
// adds metadata about itself, which is not ours to compare.
func settings(c jetstream.StreamConfig) map[string]any {
	c.Metadata = maps.Clone(c.Metadata)
	maps.DeleteFunc(c.Metadata, func(k, _ string) bool { return strings.HasPrefix(k, "_nats.") })
	raw, _ := json.Marshal(c) // a StreamConfig of ours or from JSON always encodes
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	_ = d.Decode(&fields)
	maps.DeleteFunc(fields, func(_ string, v any) bool { return unset(v) })
	return fields
}

func unset(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return v == nil || v == false || v == "" || v == json.Number("0")
}

func orUnset(v any) any {
	if v == nil {
		return "not set"
	}
	return v
}

func union(a, b map[string]any) map[string]any {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}
