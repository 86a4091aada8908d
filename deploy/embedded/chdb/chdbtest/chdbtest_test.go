package chdbtest_test

import (
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recount/deploy/embedded/chdb/chdbtest"
)

func TestOpenGivesEachTestItsOwnDatabase(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			conn, err := clickhouse.Open(chdbtest.Open(t))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.Exec(t.Context(), "CREATE TABLE mine (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
