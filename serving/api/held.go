package api

import (
	"net/http"
	"strconv"
)

// heldPart is the smallest memory for a part of an answer, because encoders also write small pieces.
const heldPart = 4 << 10

// held is an answer that waits for its client. The answer is held in memory, and the query's place
// is free before the client reads anything, so a slow client blocks no other query. If more than
// Config.MaxHeld bytes would be held, the answer is written directly instead, and the query keeps
// its place until then. Otherwise slow clients could fill the memory.
type held struct {
	http.ResponseWriter
	gate *gate
	// leave gives the query's place back.
	leave func()

	parts [][]byte
	// bytes is how much memory the parts have reserved, and size is how much of it is used.
	bytes int64
	size  int
	// flowing says that nothing is held any more.
	flowing bool
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

// flow writes the held parts and gives their memory back.
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

// send gives the query's place back and then sends the answer.
func (h *held) send() error {
	h.leave()
	if h.flowing {
		return nil
	}
	h.Header().Set("Content-Length", strconv.Itoa(h.size))
	return clientGone(h.flow())
}

// drop discards the held parts and gives their memory back.
func (h *held) drop() {
	h.gate.hold(-h.bytes)
	h.parts = nil
	h.bytes = 0
}
