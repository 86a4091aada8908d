package server

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	for format, is := range map[string]func(line []byte) bool{
		"text": func(line []byte) bool { return bytes.Contains(line, []byte("level=WARN msg=heard partition=3\n")) },
		"json": func(line []byte) bool {
			var l struct {
				Level, Msg string
				Partition  int
			}
			return json.Unmarshal(line, &l) == nil && l.Level == "WARN" && l.Msg == "heard" && l.Partition == 3
		},
	} {
		c, err := Load("", map[string]string{"log-format": format, "log-level": "warn"})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		logger := c.Logger.New(&out)
		logger.Info("too unimportant")
		logger.Warn("heard", "partition", 3)
		if !is(out.Bytes()) {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
