package jobs

import "recount/schemas/setting"

// Config is the schedule of each job. A job with an empty schedule runs on request only.
type Config struct {
	Recompute, Collect, Expire, Audit, Recheck, Score string
}

// DefaultConfig gives each job a schedule.
func DefaultConfig() Config {
	return Config{
		Recompute: "@every 1m", Collect: "@every 1h", Expire: "@every 5m", Audit: "@every 5m", Recheck: "23 4 * * *",
		Score: "@every 1m",
	}
}

// Settings lists the settings of an operator: the schedule of each job.
func (c *Config) Settings() []setting.Setting {
	schedule := func(job, does string, field *string) setting.Setting {
		return setting.Text("jobs."+job+".schedule", "cron expression in UTC, seconds optional, 0 or 7 for Sunday, or "+
			"@every 1m; may be empty", checkSchedule, "When the job "+job+" starts, which "+does+"; an empty schedule "+
			"starts it on request only.", field)
	}
	return []setting.Setting{
		schedule("recompute", "publishes exact counts of what has landed", &c.Recompute),
		schedule("collect", "removes what no kept publication needs", &c.Collect),
		schedule("expire", "trims the log and retires old dead letters", &c.Expire),
		schedule("audit", "checks that every accepted event is accounted for", &c.Audit),
		schedule("recheck", "has ClickHouse compute published buckets a second time", &c.Recheck),
		schedule("score", "compares the live answers with the exact ones", &c.Score),
	}
}

// Validate returns the joined errors of all schedules that cannot be read, each a *setting.Error.
func (c Config) Validate() error { return setting.Check(c.Settings()) }

// Names lists the jobs.
func Names() []string {
	var names []string
	for _, s := range new(Config).Settings() {
		names = append(names, s.Path[1])
	}
	return names
}

func checkSchedule(text string) error {
	if text == "" {
		return nil
	}
	_, err := ParseSchedule(text)
	return err
}
