package eventlog

import (
	"bytes"
	"cmp"
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

// resendWindow is how long the server absorbs a resend of a message id (L7). It keeps the ids
// of that time in memory: one for each batch, about 100 bytes each.
const resendWindow = 30 * time.Second

// partitionsKey is the metadata key under which each stream stores P. A start with another number
// of partitions is refused even if only some of the streams exist (L3).
const partitionsKey = "recount_partitions"

func (c Config) streamName(partition int) string { return fmt.Sprintf("%s-p%d", c.Prefix, partition) }
func (c Config) subject(partition int) string    { return fmt.Sprintf("%s.p%d", c.Prefix, partition) }

// streamConfig is the whole configuration of a partition's stream (L4). Purge is allowed because
// Trim and Advance need it. SyncAlways only works with the default persist mode.
func (c Config) streamConfig(partition int) jetstream.StreamConfig {
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
		Duplicates:        resendWindow,
		DenyDelete:        true,
		Metadata:          map[string]string{partitionsKey: strconv.Itoa(c.Partitions)},
	}
}

// metadata returns the metadata of a stream that is created for the log with the id. It names no installation until
// Claim: a stream that is created in place of a lost one must be told from it (Unclaimed).
func (l *Log) metadata(id string) map[string]string {
	return map[string]string{partitionsKey: strconv.Itoa(l.cfg.Partitions), logKey: id}
}

// openStreams creates the missing streams and checks all streams.
func (l *Log) openStreams(ctx context.Context) error {
	var first *jetstream.StreamInfo // of the first stream that exists, or nil
	for p := range l.cfg.Partitions {
		what := "stream " + l.cfg.streamName(p) + " of the log"
		err := l.await(ctx, what, func(ctx context.Context) error {
			info, err := l.checkMetadata(ctx, p)
			if first == nil {
				first = info
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	id := newID(first)
	for p := range l.cfg.Partitions {
		what := "stream " + l.cfg.streamName(p) + " of the log"
		err := l.await(ctx, what, func(ctx context.Context) error {
			s, err := l.openStream(ctx, p, cmp.Or(l.id, id))
			if err == nil {
				l.streams = append(l.streams, s)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if !l.cfg.ReadOnly {
		l.id = cmp.Or(l.id, id) // All streams are from before logs had ids.
	}
	return nil
}

// checkMetadata reads the ids of the log from a stream. It returns an error if the stream was created for another
// number of partitions, or belongs to another log than the streams before. It returns nil if there is no stream.
func (l *Log) checkMetadata(ctx context.Context, partition int) (*jetstream.StreamInfo, error) {
	name := l.cfg.streamName(partition)
	s, err := l.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, classify(err))
	}
	info := s.CachedInfo()
	got := info.Config.Metadata[partitionsKey]
	want := strconv.Itoa(l.cfg.Partitions)
	if got != want {
		return nil, fmt.Errorf("%w: log partitions is %s, but stream %s was made for %q: the number is fixed (L3); "+
			"set it back, or use another prefix and an empty lake", ErrAltered, want, name, got)
	}
	return info, l.learnIDs(info.Config)
}

// openStream creates the stream of a partition if it is missing, and returns it if the settings that
// the server reports are the wanted ones (L1, L4). A stream that it creates gets the id of the log.
func (l *Log) openStream(ctx context.Context, partition int, id string) (jetstream.Stream, error) {
	want := l.cfg.streamConfig(partition)
	s, err := l.js.Stream(ctx, want.Name)
	if l.cfg.ReadOnly {
		if err != nil {
			return nil, fmt.Errorf("open stream %s for reading: %w", want.Name, classify(err))
		}
		return s, nil
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		l.logger.Info("create log stream", "stream", want.Name, "max_bytes", want.MaxBytes, "replicas", want.Replicas)
		want.Metadata = l.metadata(id)
		s, err = l.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // Another process was first, with an id of its own.
			s, err = l.js.Stream(ctx, want.Name)
		}
	} else if err == nil {
		err = l.resize(ctx, s.CachedInfo().Config, want.MaxBytes)
	}
	if err = classify(err); errors.Is(err, ErrFull) {
		return nil, fmt.Errorf("reserve log max bytes, %d, for stream %s: lower it or give the log server more "+
			"disk: %w", want.MaxBytes, want.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read back stream %s: %w", want.Name, classify(err))
	}
	if err := l.learnIDs(info.Config); err != nil {
		return nil, err
	}
	if diffs := differences(want, info.Config); len(diffs) > 0 {
		return nil, fmt.Errorf("%w: stream %s: %s: change the configuration to match or set the stream back with "+
			"`nats stream edit %s`",
			ErrAltered, want.Name, strings.Join(diffs, "; "), want.Name)
	}
	return s, nil
}

// resize applies a changed max bytes. It is the one setting that an operator may need to change.
// The change loses no message: with discard new, a smaller limit is only reached sooner.
func (l *Log) resize(ctx context.Context, found jetstream.StreamConfig, maxBytes int64) error {
	if found.MaxBytes == maxBytes {
		return nil
	}
	if found.Discard != jetstream.DiscardNew {
		return nil // A smaller limit would delete messages. The caller finds and reports the difference.
	}
	l.logger.Info("resize log stream", "stream", found.Name, "from", found.MaxBytes, "to", maxBytes)
	found.MaxBytes = maxBytes
	_, err := l.js.UpdateStream(ctx, found)
	return err
}

// differences names each setting that is not as wanted, by its name on the server. It compares
// every setting the client knows, so that it also finds changes this package did not foresee.
func differences(want, got jetstream.StreamConfig) []string {
	w := setFields(want)
	g := setFields(got)
	var diffs []string
	for _, name := range slices.Sorted(maps.Keys(union(w, g))) {
		if !reflect.DeepEqual(w[name], g[name]) {
			diffs = append(diffs, fmt.Sprintf("%s is %v, want %v", name, displayValue(g[name]), displayValue(w[name])))
		}
	}
	return diffs
}

// setFields returns the JSON fields of a stream configuration that are set. It leaves out the ids, which
// learnIDs compares, and the metadata that the server adds about itself.
func setFields(c jetstream.StreamConfig) map[string]any {
	c.Metadata = maps.Clone(c.Metadata)
	maps.DeleteFunc(c.Metadata, func(k, _ string) bool {
		return k == logKey || k == installationKey || strings.HasPrefix(k, "_nats.")
	})
	raw, _ := json.Marshal(c) // A StreamConfig always encodes.
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	_ = d.Decode(&fields)
	maps.DeleteFunc(fields, func(_ string, v any) bool { return isUnset(v) })
	return fields
}

func isUnset(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return v == nil || v == false || v == "" || v == json.Number("0")
}

func displayValue(v any) any {
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
