package iceberg

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/schemas/position"
	"recount/schemas/record"
)

// The properties of tables and summaries that recount itself reads.
const (
	propertyAmbiguous = "recount.left-out"       // JSON of the columns that no schema may have
	propertyRetired   = "recount.retired-before" // the horizon of the objects that the table has
	summaryDigest     = "recount.digest"         // digest of the publication
	summaryCut        = "recount.cut"            // H of the publication, by partition and with commas between them
	summaryNumber     = "recount.publication"
)

// table is the metadata of an Iceberg table, as the file holds it, and what follows from it.
type table struct {
	FormatVersion   int               `json:"format-version"`
	UUID            string            `json:"table-uuid"`
	Location        string            `json:"location"`
	LastSequence    int64             `json:"last-sequence-number"`
	LastUpdated     int64             `json:"last-updated-ms"`
	LastColumn      int               `json:"last-column-id"`
	Schemas         []*schema         `json:"schemas"`
	CurrentSchema   int               `json:"current-schema-id"`
	Specs           json.RawMessage   `json:"partition-specs"`
	DefaultSpec     int               `json:"default-spec-id"`
	LastPartition   int               `json:"last-partition-id"`
	SortOrders      json.RawMessage   `json:"sort-orders"`
	DefaultSort     int               `json:"default-sort-order-id"`
	Properties      map[string]string `json:"properties"`
	CurrentSnapshot int64             `json:"current-snapshot-id"`
	Snapshots       []*snapshot       `json:"snapshots"`
	SnapshotLog     []logEntry        `json:"snapshot-log"`
	MetadataLog     []struct{}        `json:"metadata-log"`
	Refs            map[string]ref    `json:"refs"`

	columns   []column    // those of the newest schema
	ambiguous []column    // fields that had two types, with the number and type that they had first
	manifests []*manifest // those of the last snapshot
	rebuilt   bool        // the table is made anew, and replaces all that readers have
}

// snapshot is the table as of one publication. Its id is the number of the publication.
type snapshot struct {
	ID           int64             `json:"snapshot-id"`
	Parent       *int64            `json:"parent-snapshot-id,omitempty"`
	Sequence     int64             `json:"sequence-number"`
	Timestamp    int64             `json:"timestamp-ms"`
	ManifestList string            `json:"manifest-list"`
	Summary      map[string]string `json:"summary"`
	Schema       int               `json:"schema-id"`
}

type logEntry struct {
	Timestamp int64 `json:"timestamp-ms"`
	Snapshot  int64 `json:"snapshot-id"`
}

type ref struct {
	Snapshot int64  `json:"snapshot-id"`
	Type     string `json:"type"`
}

// newTable returns a table without snapshots. Its UUID follows from the installation and the event type, so a table
// that is made again is the same table.
func newTable(location, installation, eventType string) *table {
	id := sha256.Sum256([]byte(installation + "/" + eventType))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return &table{
		FormatVersion: 2, UUID: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		Location: location, LastColumn: firstField - 1, LastPartition: 999,
		Specs:      json.RawMessage(`[{"spec-id":0,"fields":[]}]`),
		SortOrders: json.RawMessage(`[{"order-id":0,"fields":[]}]`),
		Properties: map[string]string{
			// The bounds of time are those of buckets. A program that took them for the least and the greatest time
			// would answer wrongly, and this property tells it not to.
			"write.metadata.metrics.default": "none",
		},
		MetadataLog: []struct{}{}, Refs: map[string]ref{}, columns: slices.Clone(baseColumns),
	}
}

// decodeTable reads a metadata file.
func decodeTable(raw []byte) (*table, error) {
	t := &table{}
	if err := json.Unmarshal(raw, t); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	if len(t.Snapshots) == 0 || t.Properties == nil || t.FormatVersion != 2 {
		return nil, fmt.Errorf("%w: it has no snapshot", errUnusable)
	}
	i := slices.IndexFunc(t.Schemas, func(s *schema) bool { return s.ID == t.CurrentSchema })
	if i < 0 {
		return nil, fmt.Errorf("%w: it has no schema %d", errUnusable, t.CurrentSchema)
	}
	t.columns = slices.Clone(t.Schemas[i].Columns) // Old snapshots keep the schema.
	if text := t.Properties[propertyAmbiguous]; text != "" {
		if err := json.Unmarshal([]byte(text), &t.ambiguous); err != nil {
			return nil, fmt.Errorf("%w: property %s: %w", errUnusable, propertyAmbiguous, err)
		}
	}
	return t, nil
}

// errUnusable is wrapped by errors about stored files that are missing or not what they should be. The table is then
// made anew.
var errUnusable = errors.New("the table cannot be continued")

// last returns the newest snapshot, or nil.
func (t *table) last() *snapshot {
	if len(t.Snapshots) == 0 {
		return nil
	}
	return t.Snapshots[len(t.Snapshots)-1]
}

// cut returns for each partition the first sequence that the last snapshot does not cover.
func (t *table) cut(partitions int) ([]uint64, error) {
	cut := slices.Repeat([]uint64{position.First}, partitions)
	s := t.last()
	if s == nil {
		return cut, nil
	}
	parts := strings.Split(s.Summary[summaryCut], ",")
	if len(parts) != partitions {
		return nil, fmt.Errorf("%w: snapshot %d has the cut %q", errUnusable, s.ID, s.Summary[summaryCut])
	}
	for i, text := range parts {
		var err error
		if cut[i], err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("%w: snapshot %d: %w", errUnusable, s.ID, err)
		}
	}
	return cut, nil
}

// horizon returns the time before which the objects that landed are not in the table.
func (t *table) horizon() time.Time {
	at, err := time.Parse(time.RFC3339Nano, t.Properties[propertyRetired])
	if err != nil {
		return time.Time{} // The table has no horizon.
	}
	return at
}

// addSnapshot makes the snapshot of a publication the newest. The manifests of the table are those of the snapshot.
func (t *table) addSnapshot(state *record.State, added []*manifest) *snapshot {
	s := &snapshot{ID: int64(state.N), Sequence: int64(state.N), Schema: t.currentSchema().ID,
		Timestamp: state.Publication.Created.UnixMilli()}
	if before := t.last(); before != nil {
		s.Parent = &before.ID
		s.Timestamp = max(s.Timestamp, before.Timestamp+1) // Clocks of publishers differ, and readers want an order.
	}
	cut := make([]string, len(state.H))
	for i, h := range state.H {
		cut[i] = strconv.FormatUint(h.Seq, 10)
	}
	s.Summary = map[string]string{"operation": "append", summaryNumber: strconv.FormatUint(state.N, 10),
		summaryDigest: state.Digest, summaryCut: strings.Join(cut, ","), "total-delete-files": "0"}
	count := func(prefix string, manifests []*manifest) {
		var files, rows int64
		for _, m := range manifests {
			files += int64(m.files())
			rows += m.AddedRows + m.ExistingRows
		}
		s.Summary[prefix+"-data-files"] = strconv.FormatInt(files, 10)
		s.Summary[prefix+"-records"] = strconv.FormatInt(rows, 10)
	}
	count("added", added)
	count("total", t.manifests)
	t.Snapshots = append(t.Snapshots, s)
	return s
}

// keepSnapshots drops the snapshots that no kept publication reads (P3), and what only they need. A publication without
// new objects has no snapshot: it reads the one before it.
func (t *table) keepSnapshots(kept []*record.State) {
	all := t.Snapshots
	t.Snapshots = nil
	used := map[int]bool{t.currentSchema().ID: true}
	for i, s := range all {
		needed := i == len(all)-1 || slices.ContainsFunc(kept, func(k *record.State) bool {
			return int64(k.N) >= s.ID && int64(k.N) < all[i+1].ID
		})
		if needed {
			t.Snapshots = append(t.Snapshots, s)
			used[s.Schema] = true
		}
	}
	t.Schemas = slices.DeleteFunc(t.Schemas, func(s *schema) bool { return !used[s.ID] })
}

// finish fills in what follows from snapshots and schemas.
func (t *table) finish(horizon time.Time) error {
	mapping, err := t.nameMapping()
	if err != nil {
		return err
	}
	t.Properties["schema.name-mapping.default"] = mapping
	if len(t.ambiguous) > 0 {
		raw, err := json.Marshal(t.ambiguous)
		if err != nil {
			return err
		}
		t.Properties[propertyAmbiguous] = string(raw)
	}
	if !horizon.IsZero() {
		t.Properties[propertyRetired] = horizon.UTC().Format(time.RFC3339Nano)
	}
	t.SnapshotLog = []logEntry{}
	for _, s := range t.Snapshots {
		t.SnapshotLog = append(t.SnapshotLog, logEntry{s.Timestamp, s.ID})
	}
	last := t.last()
	t.CurrentSchema = t.currentSchema().ID
	t.CurrentSnapshot = last.ID
	t.LastSequence = last.Sequence
	t.LastUpdated = last.Timestamp
	t.Refs["main"] = ref{last.ID, "branch"}
	return nil
}
