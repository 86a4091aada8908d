package cells

import (
	"fmt"
	"strconv"
	"strings"

	"recount/schemas/record"
)

// pairsAtOnce is how many pairs of bucket and version one statement names.
const pairsAtOnce = 10_000

// pairSet returns the SELECT of pairs of bucket and version, for the right side of IN. ClickHouse parses each array
// from one string. Constants in a list become several syntax nodes for each pair: 10,000 pairs took 3 s, and take
// 30 ms.
func pairSet(versions []record.BucketVersion) string {
	var buckets, vers strings.Builder
	for i, b := range versions {
		if i > 0 {
			buckets.WriteByte(',')
			vers.WriteByte(',')
		}
		buckets.WriteString(strconv.FormatInt(b.Bucket, 10))
		vers.WriteString(strconv.FormatUint(b.Ver, 10))
	}
	return fmt.Sprintf("SELECT fromUnixTimestamp64Micro(b, 'UTC'), v FROM (SELECT CAST('[%s]', 'Array(Int64)') AS b, "+
		"CAST('[%s]', 'Array(UInt64)') AS v) ARRAY JOIN b, v", &buckets, &vers)
}
