package query

import (
	"time"

	"recount/schemas/position"
)

// Explanation says how a query was answered. Its numbers are about all tenants.
type Explanation struct {
	Publication  uint64             `json:"publication"`
	Attempts     int                `json:"attempts"`          // the last one gave the answer
	Batch        *BatchReading      `json:"batch,omitempty"`   // absent where the batch layer was not asked
	Live         []LiveReading      `json:"live"`              // by partition, those with messages that were read
	Objects      *ObjectList        `json:"objects,omitempty"` // absent where the batch layer was not asked
	Milliseconds map[string]float64 `json:"milliseconds"`      // by stage, of the last attempt
}

// BatchReading is what the batch layer read.
type BatchReading struct {
	Buckets int   `json:"buckets"` // buckets with rows that the range touches
	Rows    int64 `json:"rows"`    // rows of those buckets in ClickHouse
	Groups  int   `json:"groups"`  // rows of the part that the batch layer gave
	Kept    bool  `json:"kept"`    // the part was in memory, from the same question before (query.cache)
}

// LiveReading is the range of messages of a partition that the speed layer gave.
type LiveReading struct {
	Partition int    `json:"partition"`
	From      uint64 `json:"from"` // sequence of the first message, which is H
	To        uint64 `json:"to"`   // sequence of the next message that is not in the answer
}

// ObjectList names the Parquet objects from which the rows of the batch layer were computed.
type ObjectList struct {
	Keys  []string `json:"keys"`  // at most MaxObjects of them
	Count int      `json:"count"` // how many there are
	Rows  int64    `json:"rows"`  // events of the type in them, in the buckets that the range touches
}

// Add adds an object with rows in the range.
func (l *ObjectList) Add(key string, rows int64) {
	if rows == 0 {
		return
	}
	l.Rows += rows
	l.Count++
	if len(l.Keys) < MaxObjects {
		l.Keys = append(l.Keys, key)
	}
}

// MaxObjects is how many objects an explanation names.
const MaxObjects = 1000

// Time adds to the time of a stage. It does nothing without an explanation.
func (e *Explanation) Time(stage string, took time.Duration) {
	if e != nil {
		e.Milliseconds[stage] += float64(took.Microseconds()) / 1000
	}
}

// SetLive says which messages the speed layer gave. It does nothing without an explanation.
func (e *Explanation) SetLive(cut, through []position.Offset) {
	if e == nil {
		return
	}
	for p := range through {
		if through[p].Seq > cut[p].Seq {
			e.Live = append(e.Live, LiveReading{p, cut[p].Seq, through[p].Seq})
		}
	}
}
