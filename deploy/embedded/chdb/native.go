package chdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// recode turns Native blocks as the engine writes them, of revision 0, into blocks of the revision that the
// client reads. The result shares nothing with in, which is memory of the engine. A type that the driver
// does not know is an error, also where the driver panics on it.
func recode(in []byte, revision uint64) ([]byte, error) {
	if revision == 0 {
		return bytes.Clone(in), nil
	}
	if out, ok := recodePlain(in, revision); ok {
		return out, nil
	}
	return recodeDecoded(in, revision)
}

// recodeDecoded is recode for all types that the driver knows. It decodes every value.
func recodeDecoded(in []byte, revision uint64) (_ []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("recode native block: %v", r)
		}
	}()
	out := chproto.Buffer{Buf: make([]byte, 0, len(in)+len(in)/8+256)}
	rd := chproto.NewReader(bytes.NewReader(in))
	for {
		block := proto.NewBlock()
		err := block.Decode(rd, 0)
		if errors.Is(err, io.EOF) && len(block.Columns) == 0 {
			return out.Buf, nil
		}
		if err == nil {
			err = block.Encode(&out, revision)
		}
		if err != nil {
			return nil, fmt.Errorf("recode native block: %w", err)
		}
	}
}
