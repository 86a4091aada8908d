package catalog

import (
	"time"

	"recount/schemas/setting"
)

// Defaults of what an operator declares.
const (
	DefaultBucket = time.Hour
	// DefaultCell is the cell of a view that names none.
	DefaultCell = time.Minute
)

// LeastCell is the smallest cell of a view.
const LeastCell = time.Second

// BucketSetting is the setting of Catalog.Bucket.
func BucketSetting(width *time.Duration) setting.Setting {
	const day = 24 * time.Hour
	return setting.Duration("batch.bucket", setting.Range(time.Minute, day),
		"Width of the unit of recomputation; it is fixed once data exists.", width).
		Where("a divisor of a day such as 15m, 1h or 6h", func() bool { return day%*width == 0 })
}
