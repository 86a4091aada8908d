package eventlog

// Remembered is what is known at boot about one partition from outside its log, and the
// log's bounds. Sequences are "next" ones: the first that has not landed, that is not in
// the snapshot, that was never acknowledged. 0 means that nothing is remembered.
type Remembered struct {
	Head      uint64 // chain head
	Snapshot  uint64 // newest valid snapshot
	HighWater uint64 // persisted high-water mark of acks
	Next      uint64 // the log's next sequence, from Bounds
	// OtherDigest says that the log has a message at a remembered sequence and its digest
	// is not the remembered one: another log sits in this one's place.
	OtherDigest bool
}

// Verdict is what L5 says to do before anything is accepted.
type Verdict struct {
	// Seal says to create the SEAL record at (epoch, Head) and go on as epoch+1.
	Seal bool
	// Next is the sequence of the next message, max(last+1, head).
	Next uint64
	// Jump says that the log must Advance to Next, after the seal is created. Everything
	// below has landed then, because Next is the head.
	Jump bool
	// Reason says in words why the epoch must be sealed.
	Reason string
}

// Recover decides L5. It is pure. Without a seal the log goes on where it is.
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
	return v
}
