package jobs

import "fmt"

// count returns a number with its noun, such as "1 event" or "2 events".
func count[N int | int64 | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
