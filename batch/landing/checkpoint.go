package landing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"recount/schemas/record"
)

// A checkpoint is a copy of the next records of a chain in one, a line each, so that a start
// needs a request for a thousand of them and not a thousand. It holds the records and no
// summary of them: the hash chain is checked from the first record on whichever way it was
// read (V1), and of each checkpoint the last record is compared with the one in its own
// place, whose digests reach back to all before it. So a checkpoint that is corrupt, forged
// or gone costs requests and nothing else.
//
//	chain/p{partition}/e{epoch}-{start}.ndjson
//
//	{"kind":"seal","epoch":0,…}\n       the first lines of stored records, whatever epoch they are of
//	{"kind":"segment","epoch":1,…}\n
//
// The key names the first record of the copy, in 3, 6 and 20 digits. A checkpoint is stored like
// a record, with its digest on one more line.
const (
	checkpointRecords = 1000
	checkpointBytes   = 8 << 20 // one is closed behind the record that reaches this
)

// checkpointKey is the key of the checkpoint that continues the chain.
func checkpointKey(c *record.Chain) string {
	return fmt.Sprintf("%se%06d-%020d.ndjson", record.CheckpointPrefix(c.Partition), c.Head.Epoch, c.Head.Seq)
}

// skipAhead moves the chain to the end of its checkpoints. A fault of them, or of asking for
// them, says nothing about the chain: what is left is walked.
func skipAhead(ctx context.Context, records record.CommitLog, c *record.Chain) {
	read := record.NewChain(c.Partition)
	_ = readCheckpoints(ctx, records, read)
	if read.Head.Seq > c.Head.Seq {
		*c = *read
	}
}

// readCheckpoints extends the chain by all checkpoints that continue it. One that does not
// hold what the chain does is an error, and leaves the chain as it was before it.
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
			return nil // What lies between must be read record by record, and then all may be.
		}
		if err := readCheckpoint(ctx, records, c, key); err != nil {
			return err
		}
	}
	return nil
}

// errUseless is wrapped by the error about a checkpoint that does not hold what the chain does.
var errUseless = errors.New("a checkpoint is of no use")

func readCheckpoint(ctx context.Context, records record.CommitLog, c *record.Chain, key string) error {
	err := copyCheckpoint(ctx, records, c, key)
	if errors.Is(err, record.ErrInvalid) || errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrNotFound) {
		return fmt.Errorf("%w: %s, which may be removed: %w", errUseless, key, err)
	}
	return err
}

func copyCheckpoint(ctx context.Context, records record.CommitLog, c *record.Chain, key string) error {
	raw, err := records.Get(ctx, key)
	if err != nil {
		return err
	}
	read := snapshot(c)
	var lastKey string
	var last []byte
	for line := range bytes.Lines(raw) {
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

// Checkpointer makes checkpoints. It is not safe for concurrent use.
type Checkpointer struct {
	records record.CommitLog
	logger  *slog.Logger
	ends    []*record.Chain // by partition, up to the last checkpoint, without their segments
}

// NewCheckpointer returns a checkpointer of all partitions. A nil logger discards.
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

// Make makes the checkpoints that are due and returns how many. The chains, of all
// partitions, say what is. A partition with a checkpoint that is of no use has none behind it,
// as long as it takes its place: its chain is walked from there, and nothing else suffers.
func (k *Checkpointer) Make(ctx context.Context, chains []*record.Chain) (made int64, err error) {
	for p, end := range k.ends {
		n, err := k.makeDue(ctx, chains[p], end)
		made += n
		if errors.Is(err, errUseless) {
			k.logger.WarnContext(ctx, "a commit chain gets no more checkpoints", "partition", p, "error", err)
		} else if err != nil {
			return made, fmt.Errorf("checkpoint of the commit chain of partition %d: %w", p, err)
		}
	}
	return made, nil
}

func (k *Checkpointer) makeDue(ctx context.Context, c, end *record.Chain) (made int64, err error) {
	if !due(c, end) {
		return 0, nil
	}
	// The first time, and where another process makes them too.
	if err := readCheckpoints(ctx, k.records, end); err != nil {
		return 0, err
	}
	for ; due(c, end); made++ {
		if err := k.makeOne(ctx, end); err != nil {
			return made, err
		}
	}
	end.Segments = nil
	end.Holes = nil
	return made, nil
}

// due reports whether enough has landed behind the last checkpoint.
func due(c, end *record.Chain) bool {
	n := len(c.Segments)
	return n >= checkpointRecords && c.Segments[n-checkpointRecords].Start >= end.Head.Seq
}

// makeOne copies the records that follow, and goes on from what is there then, whoever made it.
func (k *Checkpointer) makeOne(ctx context.Context, end *record.Chain) error {
	key := checkpointKey(end)
	next := snapshot(end)
	var body []byte
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
