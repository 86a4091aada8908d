package server

import (
	"io"
	"log/slog"

	"recount/schemas/setting"
)

// The values of LoggerConfig.Format.
const (
	LogText = "text"
	LogJSON = "json"
)

// LoggerConfig says how much the process logs, and in which form.
type LoggerConfig struct {
	Level  slog.Level
	Format string
}

// DefaultLoggerConfig logs messages from level info on, as text.
func DefaultLoggerConfig() LoggerConfig { return LoggerConfig{Level: slog.LevelInfo, Format: LogText} }

// Settings lists what an operator may set.
func (c *LoggerConfig) Settings() []setting.Setting {
	return []setting.Setting{
		setting.Word("log_level", "debug, info, warn or error", "Least important messages that the process logs.",
			&c.Level),
		setting.Choice("log_format", []string{LogText, LogJSON},
			"Form of the process's log on standard error: key=value pairs, or a JSON object a line.", &c.Format),
	}
}

// New returns a logger that writes to out.
func (c LoggerConfig) New(out io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == LogJSON {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}
