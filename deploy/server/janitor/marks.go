package janitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"recount/schemas/durable"
	"recount/schemas/position"
	"recount/speed/eventlog"
)

// mark is the high-water mark of one partition: a message the log has acknowledged,
// and what its bytes hash to, so that another log in its place is noticed (L5).
type mark struct {
	Epoch  uint32 `json:"epoch"` // in which it was acknowledged, as this owner knew it
	Next   uint64 `json:"next"`  // sequence behind the remembered message
	Digest uint32 `json:"crc32c"`

	// Promised and Voided outlive a seal: events that were acknowledged, and those of them
	// that the log has lost since (A1).
	Promised int64 `json:"promised,omitempty"`
	Voided   int64 `json:"voided,omitempty"`
}

// Marks are the high-water marks of all partitions in a small file beside the
// snapshots. They are only ever too low, which L5 allows. The file is high-water.json, a
// JSON array by partition, replaced as a whole:
//
//	[{"epoch":1,"next":43,"crc32c":305419896,"promised":1200,"voided":3}]
//
// next is one more than the sequence of the remembered message, crc32c the CRC-32C of its frame.
// Both are 0 where nothing is remembered. promised and voided are left out where they are 0.
type Marks struct {
	path   string
	log    Log
	logger *slog.Logger
	marks  []mark
	ahead  bool // of the file: it could not be written, or is about to be

	mu     sync.Mutex
	epochs []uint32 // of the heads, by partition, as Begin found or made them, or Renew since; mu guards them

	// Promised says how many events of a partition were acknowledged so far, after Settle;
	// nil where nobody counts. Set it before Run.
	Promised func(partition int) int64
}

const markEvery = time.Second

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenMarks reads the marks kept in dir.
func OpenMarks(dir string, log Log, logger *slog.Logger) (*Marks, error) {
	h := &Marks{path: filepath.Join(dir, "high-water.json"), log: log, logger: logger,
		marks: make([]mark, log.Partitions()), epochs: make([]uint32, log.Partitions())}
	raw, err := os.ReadFile(h.path)
	if errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the high-water marks: %w", err)
	}
	var marks []mark
	err = json.Unmarshal(raw, &marks)
	if err == nil && len(marks) != len(h.marks) {
		err = fmt.Errorf("it has marks of %d partitions, want %d", len(marks), len(h.marks))
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; it may be removed, and then a log that lost its end is noticed "+
			"later", h.path, err)
	}
	h.marks = marks
	return h, nil
}

// otherDigest reports whether the log has another message than the remembered one.
func (h *Marks) otherDigest(ctx context.Context, p int) (bool, error) {
	if h.marks[p].Next < 2 {
		return false, nil
	}
	m, err := h.log.Get(ctx, p, h.marks[p].Next-1)
	if errors.Is(err, position.ErrTrimmed) || errors.Is(err, eventlog.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare the remembered message: %w", err)
	}
	return crc32.Checksum(m.Data, castagnoli) != h.marks[p].Digest, nil
}

// Run brings the marks up to date every second until ctx ends. A mark that cannot be
// written stays too low, which is no reason to stop counting.
func (h *Marks) Run(ctx context.Context) error {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := h.Advance(ctx); err != nil && ctx.Err() == nil {
				h.logger.Warn("the high-water marks could not be written", "error", err)
			}
		}
	}
}

// Advance brings the marks up to date once. A partition that does not answer leaves its own where it is.
func (h *Marks) Advance(ctx context.Context) error {
	for p := range h.marks {
		promised := h.marks[p].Promised
		if h.Promised != nil {
			promised = h.Promised(p) // Before the bounds: all of it lies below next.
		}
		first, next, err := h.log.Bounds(ctx, p)
		if err != nil || next <= h.marks[p].Next || next <= first {
			continue
		}
		m, err := h.log.Get(ctx, p, next-1)
		if err != nil {
			continue
		}
		h.marks[p].Epoch = h.epoch(p)
		h.marks[p].Next = next
		h.marks[p].Digest = crc32.Checksum(m.Data, castagnoli)
		h.marks[p].Promised = promised
		h.ahead = true
	}
	if !h.ahead {
		return nil
	}
	return h.write()
}

func (h *Marks) epoch(p int) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.epochs[p]
}

// renew notes that a partition is in another epoch. A mark from before it keeps its own.
func (h *Marks) renew(p int, epoch uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epochs[p] = epoch
}

// forget drops a partition's mark after its epoch was sealed.
func (h *Marks) forget(p int) error {
	h.marks[p].Epoch = 0
	h.marks[p].Next = 0
	h.marks[p].Digest = 0
	return h.write()
}

// Settle begins a count of promises: what the log has counts as promised, whoever was told.
// If it has fewer events than were promised before, they are lost; where the mark was
// forgotten a seal has given them up, else the audit goes on saying so.
func (h *Marks) Settle(p int, logged int64) (promised int64, err error) {
	m := &h.marks[p]
	if lost := m.Promised - m.Voided - logged; lost > 0 {
		h.logger.Error("the log lacks events that were acknowledged", "partition", p, "events", lost,
			"given_up_by_a_seal", m.Next == 0)
		if m.Next == 0 {
			m.Voided += lost
		}
	}
	if now := logged + m.Voided; now > m.Promised {
		m.Promised = now
	}
	return m.Promised, h.write()
}

// Remembered is how many events of a partition were promised as far as the marks know: what is
// gone on from where nobody can count what the log has, and Settle would give up too much.
func (h *Marks) Remembered(p int) int64 { return h.marks[p].Promised }

// Voided is how many acknowledged events of a partition seals have given up.
func (h *Marks) Voided(p int) int64 { return h.marks[p].Voided }

func (h *Marks) write() error {
	raw, err := json.Marshal(h.marks)
	if err != nil {
		return err
	}
	err = durable.File{Path: h.path, Mode: 0o640, Points: "mark"}.WriteAll(raw)
	h.ahead = err != nil
	return err
}
