package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"recount/schemas/position"
	"recount/schemas/record"
)

// checkCheckpoints compares the chain's checkpoints, which are copies of its records, with the records
// (V1). A start that finds a checkpoint to be wrong reads the records instead. So a finding means no
// wrong count, but it shows that stored bytes were changed.
func (c *chain) checkCheckpoints(ctx context.Context, e *Evidence, r *recorder) error {
	keys, err := e.Records.List(ctx, record.CheckpointPrefix(c.partition))
	if err != nil {
		return err
	}
	for _, key := range keys {
		raw, err := e.Records.Get(ctx, key)
		if err != nil && !errors.Is(err, record.ErrCorrupt) {
			return err
		}
		if err == nil {
			err = c.checkCheckpoint(key, raw)
		}
		if err != nil {
			r.find(V1, placeOf(c.partition).InFile(key), "remove it: a start takes longer until the job collect has "+
				"made another",
				"the checkpoint is not a copy of the chain's records: %v", err)
		}
	}
	return nil
}

func (c *chain) checkCheckpoint(key string, raw []byte) error {
	var at position.Offset
	name := strings.TrimPrefix(key, record.CheckpointPrefix(c.partition))
	if _, err := fmt.Sscanf(name, "e%d-%d.ndjson", &at.Epoch, &at.Seq); err != nil {
		return fmt.Errorf("its key does not name an epoch and a sequence: %w", err)
	}
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		rec, err := record.DecodeCommit(line)
		if err != nil {
			return err
		}
		if rec.Partition != c.partition || rec.Epoch != at.Epoch || rec.Start != at.Seq {
			return fmt.Errorf("it has a record of partition %d, epoch %d, start %d where epoch %d, sequence %d "+
				"should follow", rec.Partition, rec.Epoch, rec.Start, at.Epoch, at.Seq)
		}
		at = rec.EndOffset()
		if c.boundaries[at] != record.Digest(line) {
			return fmt.Errorf("its record at %d differs from the chain's", rec.Start)
		}
	}
	return nil
}
