package api

import (
	"net/http"
	"strconv"
)

// heldPart is the least memory taken for a part of an answer. Encoders write small pieces too.
const heldPart = 4 << 10

// held is an answer on its way to its reader. It is held in memory while it is made, so that the
// query's place is free before the reader has to do anything: how long that takes is up to the
// reader. When Config.MaxHeld of answers wait, the rest is written as it is made and the place
// kept meanwhile; else slow readers could have any number of answers in memory.
type held struct {
	http.ResponseWriter
	gate  *gate
	leave func() // gives the query's place back

	parts   [][]byte
	bytes   int64 // memory of the parts
	size    int
	flowing bool // nothing is held any more
}

// Write holds p, or writes it when there is no room.
func (h *held) Write(p []byte) (int, error) {
	if h.flowing {
		return h.ResponseWriter.Write(p)
	}
	if last := len(h.parts) - 1; last >= 0 && cap(h.parts[last])-len(h.parts[last]) >= len(p) {
		h.parts[last] = append(h.parts[last], p...)
		h.size += len(p)
		return len(p), nil
	}
	room := max(len(p), heldPart)
	if !h.gate.hold(int64(room)) {
		if err := h.flow(); err != nil {
			return 0, err
		}
		return h.ResponseWriter.Write(p)
	}
	h.parts = append(h.parts, append(make([]byte, 0, room), p...))
	h.bytes += int64(room)
	h.size += len(p)
	return len(p), nil
}

// flow writes what is held, and gives its memory back.
func (h *held) flow() error {
	h.flowing = true
	for _, p := range h.parts {
		if _, err := h.ResponseWriter.Write(p); err != nil {
			return err
		}
	}
	h.drop()
	return nil
}

// send ends the answer, and the query before that.
func (h *held) send() error {
	h.leave()
	if h.flowing {
		return nil
	}
	h.Header().Set("Content-Length", strconv.Itoa(h.size))
	return clientGone(h.flow())
}

// drop forgets what is held.
func (h *held) drop() {
	h.gate.hold(-h.bytes)
	h.parts = nil
	h.bytes = 0
}
