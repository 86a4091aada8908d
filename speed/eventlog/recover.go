package eventlog

import "fmt"

// Remembered is what is known about one partition at boot: what other places remember of its log,
// and the log's own end. Each sequence is a next one: the first message that is not counted
// in. 0 means that nothing is remembered.
type Remembered struct {
	Head      uint64 // chain head: the first message that has not landed
	Snapshot  uint64 // the first message that is not in the newest valid snapshot
	HighWater uint64 // the first message above the persisted high-water mark of acks
	Next      uint64 // the log's next sequence, from Bounds
	// OtherDigest says that the log has a message at a remembered sequence with another digest
	// than the remembered one. Another log is in this one's place.
	OtherDigest bool
}

// Verdict is what L5 requires before the log accepts an event.
type Verdict struct {
	// Seal says that the SEAL record must be created at (epoch, Head). The log continues as epoch+1.
	Seal bool
	// Next is the sequence of the next message, max(last+1, head).
	Next uint64
	// Jump says that the log must Advance to Next after the seal is created. Next is the chain
	// head then, so every message below it has landed.
	Jump bool
	// Reason says in words why the epoch must be sealed.
	Reason string
}

// Recover decides L5. It is a pure function. Without a seal the log continues where it is.
func Recover(m Remembered) Verdict {
	v := Verdict{Next: max(m.Next, m.Head), Jump: m.Next < m.Head}
	switch {
	case m.Next < m.Head:
		v.Reason = "the log ends below the chain head"
	case m.Next < m.Snapshot:
		v.Reason = "the log ends below the newest snapshot"
	case m.Next < m.HighWater:
		v.Reason = "the log ends below the high-water mark of acknowledged messages"
	case m.OtherDigest:
		v.Reason = "the log has another message at a remembered sequence"
	}
	v.Seal = v.Reason != ""
	if v.Seal {
		v.Reason += m.lost()
	}
	return v
}

// lost names the acknowledged messages that have not landed and that the log does not have. It returns nothing if none
// is known.
func (m Remembered) lost() string {
	from := max(m.Next, m.Head)
	certainty := "are"
	if m.OtherDigest {
		from = m.Head
		certainty = "may be"
	}
	end := max(m.Snapshot, m.HighWater)
	if from >= end {
		return ""
	}
	return fmt.Sprintf("; the acknowledged messages [%d, %d) %s lost", from, end, certainty)
}
