package position

import (
	"time"

	"recount/schemas/setting"
)

// Settings lists what an operator may set of the rule.
func (r *CutRule) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Duration("landing.cut_interval", setting.Range(50*time.Millisecond, 24*time.Hour),
			"Longest time a segment stays open.", &r.Interval),
		setting.Count("landing.cut_rows", "events", setting.Range(1, 16_000_000),
			"Most events of a segment.", &r.Rows),
		setting.Size("landing.cut_bytes", setting.Range(1<<10, 1<<30),
			"Most bytes of a segment, in the log or in memory.", &r.Bytes),
	}
}

// Validate returns a *setting.Error for each field that is out of bounds, joined.
func (r CutRule) Validate() error { return setting.Check(r.Settings()) }
