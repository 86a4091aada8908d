package landing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"recount/schemas/record"
)

// A checkpoint is one object that holds copies of the next thousand records of a chain, one a
// line, so that a start needs one request for them. It holds the records themselves and no
// summary: the hash chain is checked from the first record on, whichever way it is read (V1).
// The last record of each checkpoint is compared with the original, whose digest reaches back
// to all records before it. So a checkpoint that is corrupt, forged or missing costs requests
// and nothing else.
//
//	chain/p{partition}/e{epoch}-{start}.ndjson
//
//	{"format":1}\n                      absent in checkpoints from before formats were numbered
//	{"format":1,"kind":"seal",…}\n      the first lines of stored records, of any epoch and format
//	{"format":1,"kind":"segment",…}\n
//
// The key names the partition, epoch and start of the first copied record, in 3, 6 and 20
// digits. A checkpoint is stored like a record, with its digest on one more line.
const (
	checkpointRecords = 1000
	checkpointBytes   = 8 << 20 // a checkpoint ends after the record that reaches this size
)

// checkpointKey is the key of the checkpoint that continues the chain.
func checkpointKey(c *record.Chain) string {
	return fmt.Sprintf("%se%06d-%020d.ndjson", record.CheckpointPrefix(c.Partition), c.Head.Epoch, c.Head.Seq)
}

// skipAhead moves the chain to the end of its checkpoints. An error in them, or in reading them,
// says nothing about the chain: the caller walks the records after them.
func skipAhead(ctx context.Context, records record.CommitLog, c *record.Chain) {
	read := record.NewChain(c.Partition)
	_ = readCheckpoints(ctx, records, read)
	if read.Head.Seq > c.Head.Seq {
		*c = *read
	}
}

// readCheckpoints extends the chain by all checkpoints that continue it. A checkpoint that does
// not hold the records of the chain is an error, and leaves the chain as it was before it.
func readCheckpoints(ctx context.Context, records record.CommitLog, c *record.Chain) error {
	keys, err := records.List(ctx, record.CheckpointPrefix(c.Partition))
	if err != nil {
		return err
	}
	for _, key := range keys {
		if key < checkpointKey(c) {
			continue
		}
		if key != checkpointKey(c) {
			return nil // Records before this checkpoint must be read one by one, so all others are too.
		}
		if err := readCheckpoint(ctx, records, c, key); err != nil {
			return err
		}
	}
	return nil
}

// errUnusable is wrapped by the error about a checkpoint that does not hold the records of the chain.
var errUnusable = errors.New("unusable checkpoint")

// readCheckpoint extends the chain by the checkpoint at key.
func readCheckpoint(ctx context.Context, records record.CommitLog, c *record.Chain, key string) error {
	err := checkAndExtend(ctx, records, c, key)
	if errors.Is(err, record.ErrInvalid) || errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrNotFound) {
		return fmt.Errorf("%w %s, which may be deleted: %w", errUnusable, key, err)
	}
	return err
}

// checkAndExtend reads the checkpoint at key into a copy of the chain, and replaces the chain by
// the copy if the last record is the original.
func checkAndExtend(ctx context.Context, records record.CommitLog, c *record.Chain, key string) error {
	raw, err := records.Get(ctx, key)
	if err != nil {
		return err
	}
	read := cloneChain(c)
	var lastKey string
	var last []byte
	body, err := checkpointBody(raw)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(body) {
		lastKey = read.NextKey()
		last = bytes.TrimSuffix(line, []byte("\n"))
		if _, err := read.Extend(last); err != nil {
			return err
		}
	}
	there, err := records.Get(ctx, lastKey)
	if err != nil {
		return err
	}
	if !bytes.Equal(there, last) {
		return fmt.Errorf("%w: its last record is not the one at %s", record.ErrInvalid, lastKey)
	}
	*c = *read
	return nil
}

// checkpointBody returns the copied records of a checkpoint.
func checkpointBody(raw []byte) ([]byte, error) {
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	var first struct {
		record.Header
		Kind record.Kind `json:"kind"`
	}
	if err := json.Unmarshal(line, &first); err != nil {
		return nil, fmt.Errorf("%w: its first line: %w", record.ErrInvalid, err)
	}
	if first.Kind != "" {
		return raw, nil // It has no header.
	}
	return rest, first.Check()
}

// Checkpointer writes checkpoints. It is not safe for concurrent use.
type Checkpointer struct {
	records record.CommitLog
	logger  *slog.Logger
	ends    []*record.Chain // by partition: the chain up to its last checkpoint, without segments
}

// NewCheckpointer returns a checkpointer of all partitions. A nil logger discards log lines.
func NewCheckpointer(records record.CommitLog, partitions int, logger *slog.Logger) *Checkpointer {
	k := &Checkpointer{records: records, logger: logger}
	if logger == nil {
		k.logger = slog.New(slog.DiscardHandler)
	}
	for p := range partitions {
		k.ends = append(k.ends, record.NewChain(p))
	}
	return k
}

// Make writes the checkpoints that are due and returns their number. The chains, of all
// partitions, say which are due. An unusable checkpoint keeps its key, so its partition gets no
// later ones until it is deleted. A start then walks the chain from there, and nothing else suffers.
func (k *Checkpointer) Make(ctx context.Context, chains []*record.Chain) (made int64, err error) {
	for p, end := range k.ends {
		n, err := k.writeDue(ctx, chains[p], end)
		made += n
		if errors.Is(err, errUnusable) {
			k.logger.WarnContext(ctx, "a commit chain gets no more checkpoints, so a start reads it record by record",
				"partition", p, "error", err)
		} else if err != nil {
			return made, fmt.Errorf("write a checkpoint of the commit chain of partition %d: %w", p, err)
		}
	}
	return made, nil
}

// writeDue writes the checkpoints that the chain c needs after end, and moves end past them.
func (k *Checkpointer) writeDue(ctx context.Context, c, end *record.Chain) (made int64, err error) {
	if !isDue(c, end) {
		return 0, nil
	}
	// Another process may have written checkpoints, or this one before its start.
	if err := readCheckpoints(ctx, k.records, end); err != nil {
		return 0, err
	}
	for ; isDue(c, end); made++ {
		if err := k.writeNext(ctx, end); err != nil {
			return made, err
		}
	}
	end.Segments = nil
	end.Holes = nil
	end.Ends = nil
	return made, nil
}

// isDue reports whether enough records have landed after the last checkpoint.
func isDue(c, end *record.Chain) bool {
	n := len(c.Segments)
	return n >= checkpointRecords && c.Segments[n-checkpointRecords].Start >= end.Head.Seq
}

// writeNext copies the records after end into a checkpoint. Then it moves end past the checkpoint
// that is stored, because another process may have been first.
func (k *Checkpointer) writeNext(ctx context.Context, end *record.Chain) error {
	key := checkpointKey(end)
	next := cloneChain(end)
	body := fmt.Appendf(nil, "{\"format\":%d}\n", record.CurrentFormat)
	for n := 0; n < checkpointRecords && len(body) < checkpointBytes; n++ {
		raw, err := k.records.Get(ctx, next.NextKey())
		if err != nil {
			return err
		}
		if _, err := next.Extend(raw); err != nil {
			return err
		}
		body = append(append(body, raw...), '\n')
	}
	if _, _, err := k.records.Create(ctx, key, body); err != nil {
		return err
	}
	return readCheckpoint(ctx, k.records, end, key)
}
