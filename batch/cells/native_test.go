package cells

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"recount/batch/exact"
)

// TestBlockReads reads a block in pieces of any size. A driver may read it so, or have it written.
func TestBlockReads(t *testing.T) {
	t.Parallel()
	c := testCatalog(wideView())
	b := blockOf(aggregate(randomEvents(rand.New(rand.NewPCG(1, 2)), 300, 2)))
	rows := []exact.BlockRows{{Block: b, From: 1, To: 100}, {Block: b, From: 100, To: b.Rows()}}
	l := newLayout(c, c.Views["wide"], 1)
	var written bytes.Buffer
	if n, err := l.block(rows, nil).WriteTo(&written); err != nil || n != int64(written.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, written.Len(), err)
	}
	if err := iotest.TestReader(l.block(rows, nil), written.Bytes()); err != nil {
		t.Error(err)
	}
	half := l.block(rows, nil)
	head := make([]byte, 100)
	if _, err := io.ReadFull(half, head); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	if _, err := half.WriteTo(&rest); err != nil || !bytes.Equal(append(head, rest.Bytes()...), written.Bytes()) {
		t.Errorf("a block that is read, then written, differs: %v", err)
	}
}
