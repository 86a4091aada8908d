package janitor

import (
	"bytes"
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
	"recount/schemas/record"
	"recount/speed/eventlog"
)

// mark is the high-water mark of one partition. It remembers a message that the log acknowledged, with
// a digest of its bytes, so that another log in its place is noticed (L5).
type mark struct {
	Epoch  uint32 `json:"epoch"` // epoch of the chain's head when this owner remembered the message
	Next   uint64 `json:"next"`  // one more than the message's sequence
	Digest uint32 `json:"crc32c"`

	// Promised counts the acknowledged events, and Voided those of them that a seal or a hole has given up
	// (A1). Holes counts the holes whose events are in Voided. All three outlive a seal.
	Promised int64 `json:"promised,omitempty"`
	Voided   int64 `json:"voided,omitempty"`
	Holes    int   `json:"holes,omitempty"`
}

// Marks are the high-water marks of all partitions. A mark may be too low, which L5 allows, but never
// too high. The file is high-water.json beside the snapshots, and it is replaced as a whole:
//
//	{"format":1,"installation":"…","partitions":[
//	  {"epoch":1,"next":43,"crc32c":305419896,"promised":1200,"voided":3,"holes":1}],"sum":1415856643}
//
// sum is the CRC-32C of the file as it would be without sum, which is its last member. Older programs wrote none. The
// first format was the array of partitions alone, which is still read. installation is the id of the
// installation whose log was remembered.
// next is one more than the sequence of the remembered message, and crc32c is the CRC-32C of its frame.
// Both are 0 where no message is remembered. promised, voided and holes are left out where they are 0.
type Marks struct {
	path string

	installation string // id of the installation; empty until Begin in a folder of the first format
	log          Log
	logger       *slog.Logger
	marks        []mark
	unsaved      bool // marks differ from the file, because a write failed or is due

	mu     sync.Mutex
	epochs []uint32 // epochs of the chain heads by partition, from Begin or a later Renew; mu guards them

	// Promised returns how many events of a partition were acknowledged so far. Set it after Settle and
	// before Run. It is nil in a process that does not count them.
	Promised func(partition int) int64
}

const markEvery = time.Second

const marksName = "high-water.json"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenMarks reads the marks kept in dir.
func OpenMarks(dir string, log Log, logger *slog.Logger) (*Marks, error) {
	m := &Marks{path: filepath.Join(dir, marksName), log: log, logger: logger,
		marks: make([]mark, log.Partitions()), epochs: make([]uint32, log.Partitions())}
	raw, err := os.ReadFile(m.path)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the high-water marks: %w", err)
	}
	f, err := decodeMarks(raw)
	if err == nil && len(f.Partitions) != len(m.marks) {
		err = fmt.Errorf("it has marks of %d partitions, want %d", len(f.Partitions), len(m.marks))
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; it may be removed, but then a log that lost its end may be "+
			"noticed later", m.path, err)
	}
	m.marks = f.Partitions
	m.installation = f.Installation
	return m, nil
}

// marksFile is the content of high-water.json.
type marksFile struct {
	record.Header
	Installation string `json:"installation,omitempty"`
	Partitions   []mark `json:"partitions"`
}

const sumMember = `,"sum":`

func decodeMarks(raw []byte) (f marksFile, err error) {
	if bytes.HasPrefix(raw, []byte("[")) {
		return f, json.Unmarshal(raw, &f.Partitions)
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, err
	}
	if err := f.Check(); err != nil {
		return f, err
	}
	if at := bytes.LastIndex(raw, []byte(sumMember)); at >= 0 {
		if want := appendSum(append(raw[:at:at], '}')); !bytes.Equal(raw, want) {
			return f, errors.New("its sum is not that of its content")
		}
	}
	return f, nil
}

// appendSum adds the last member to an encoded marksFile. A changed digit would otherwise look like a log that lost
// what it acknowledged, and the epoch would be sealed.
func appendSum(raw []byte) []byte {
	sum := crc32.Checksum(raw, castagnoli)
	return fmt.Appendf(raw[:len(raw)-1:len(raw)-1], "%s%d}", sumMember, sum)
}

// claim makes the marks belong to an installation. Marks of another one are refused: the snapshots beside
// them are of another log too.
func (m *Marks) claim(installation string) error {
	if m.installation != "" && m.installation != installation {
		return fmt.Errorf("%s belongs to installation %s, and the object store to %s: put the right folder back, or "+
			"move it away, and the real-time views begin again", filepath.Dir(m.path), m.installation, installation)
	}
	m.installation = installation
	return nil
}

// FolderInstallation returns the id of the installation that the marks in a folder belong to, or "" if there are no
// marks, or marks of the first format.
func FolderInstallation(dir string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, marksName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the high-water marks: %w", err)
	}
	f, err := decodeMarks(raw)
	if err != nil {
		return "", nil // OpenMarks says what is wrong.
	}
	return f.Installation, nil
}

// Remembered returns, by partition, one more than the sequence of the message that the marks in a folder remember. It
// is nil if there are no marks.
func Remembered(dir string) ([]uint64, error) {
	path := filepath.Join(dir, marksName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the high-water marks: %w", err)
	}
	f, err := decodeMarks(raw)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	next := make([]uint64, len(f.Partitions))
	for p, m := range f.Partitions {
		next[p] = m.Next
	}
	return next, nil
}

// otherDigest reports whether the log has another message in place of the remembered message.
func otherDigest(ctx context.Context, log Log, p int, remembered mark) (bool, error) {
	if remembered.Next < 2 {
		return false, nil
	}
	msg, err := log.Get(ctx, p, remembered.Next-1)
	if errors.Is(err, position.ErrTrimmed) || errors.Is(err, eventlog.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare the remembered message: %w", err)
	}
	return crc32.Checksum(msg.Data, castagnoli) != remembered.Digest, nil
}

// OtherLog reports whether the log has another message than an acknowledged one in one of its partitions.
func (m *Marks) OtherLog(ctx context.Context) (bool, error) {
	for p := range m.marks {
		if other, err := otherDigest(ctx, m.log, p, m.marks[p]); other || err != nil {
			return other, err
		}
	}
	return false, nil
}

// Run advances the marks every second until ctx ends. If they cannot be written, they stay too low,
// which is allowed, and Run continues.
func (m *Marks) Run(ctx context.Context) error {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := m.Advance(ctx); err != nil && ctx.Err() == nil {
				m.logger.Warn("the high-water marks could not be written; they are tried again every second", "error",
					err)
			}
		}
	}
}

// Advance moves the marks to the log's end once. If a partition does not answer, its mark stays.
func (m *Marks) Advance(ctx context.Context) error {
	for p := range m.marks {
		promised := m.marks[p].Promised
		if m.Promised != nil {
			promised = m.Promised(p) // It is read before the bounds, so all these events are below next.
		}
		first, next, err := m.log.Bounds(ctx, p)
		if err != nil || next <= m.marks[p].Next || next <= first {
			continue
		}
		msg, err := m.log.Get(ctx, p, next-1)
		if err != nil {
			continue
		}
		m.marks[p].Epoch = m.epoch(p)
		m.marks[p].Next = next
		m.marks[p].Digest = crc32.Checksum(msg.Data, castagnoli)
		m.marks[p].Promised = promised
		m.unsaved = true
	}
	if !m.unsaved {
		return nil
	}
	return m.write()
}

func (m *Marks) epoch(p int) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epochs[p]
}

// setEpoch records the epoch of a partition's chain head. An earlier mark keeps its epoch.
func (m *Marks) setEpoch(p int, epoch uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epochs[p] = epoch
}

// forget clears a partition's mark after its epoch was sealed.
func (m *Marks) forget(p int) error {
	m.marks[p].Epoch = 0
	m.marks[p].Next = 0
	m.marks[p].Digest = 0
	return m.write()
}

// Settle starts the count of a partition's acknowledged events with the events that are logged. If
// fewer are logged than were acknowledged before, some are lost. If the mark was cleared, a seal has
// given the lost events up. If the chain has more holes than before, an operator has. Settle adds these
// events to Voided. Other lost events the audit keeps reporting.
func (m *Marks) Settle(p int, logged int64, holes int) (promised int64, err error) {
	k := &m.marks[p]
	givenUp := k.Next == 0 || holes > k.Holes
	k.Holes = holes
	if lost := k.Promised - k.Voided - logged; lost > 0 {
		m.logger.Error("the log has lost events that were acknowledged", "partition", p, "events", lost,
			"given_up", givenUp)
		if givenUp {
			k.Voided += lost
		}
	}
	if now := logged + k.Voided; now > k.Promised {
		k.Promised = now
	}
	return k.Promised, m.write()
}

// Remembered returns how many events of a partition were acknowledged according to its mark. The count
// continues from there if the log cannot be counted, because Settle would then give up too many events.
func (m *Marks) Remembered(p int) int64 { return m.marks[p].Promised }

// Voided returns how many acknowledged events of a partition were given up by seals and holes.
func (m *Marks) Voided(p int) int64 { return m.marks[p].Voided }

func (m *Marks) write() error {
	raw, err := json.Marshal(marksFile{record.NewHeader(), m.installation, m.marks})
	if err != nil {
		return err
	}
	err = durable.File{Path: m.path, Mode: 0o640, Points: "mark"}.WriteAll(appendSum(raw))
	m.unsaved = err != nil
	return err
}
