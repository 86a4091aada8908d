package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"recount/deploy/server"
)

// logFlag sets how much a server says.
type logFlag struct {
	LogLevel slog.Level `name:"log-level" default:"info" help:"debug, info, warn or error."`
}

func (l logFlag) logger(std streams) *slog.Logger {
	return slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: l.LogLevel}))
}

type upCmd struct {
	fileFlag
	logFlag
	settable
}

// Run serves every role until the context ends.
func (c *upCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	return serve(ctx, c.fileFlag, c.logFlag, s, std, server.AllRoles)
}

type serveCmd struct {
	fileFlag
	logFlag
	settable
	Role []string `required:"" enum:"ingest,speed,landing,batch,serving" help:"Roles of this process: ingest, speed, landing, batch, serving."`
}

// Run serves the chosen roles until the context ends.
func (c *serveCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	roles, err := server.ParseRoles(c.Role)
	if err != nil {
		return usageError{err}
	}
	return serve(ctx, c.fileFlag, c.logFlag, s, std, roles)
}

func serve(ctx context.Context, f fileFlag, l logFlag, s *settingsFlags, std streams, roles server.Roles) error {
	cfg, err := f.load(s)
	if err != nil {
		return err
	}
	st, err := server.Open(ctx, cfg, server.Options{Roles: roles, Logger: l.logger(std)})
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "recount %s serves %s on %s, data in %s\n", server.Version(),
		strings.Join(roles.Names(), ", "), st.URL(), cfg.DataDir)
	fmt.Fprintln(std.out, st.Access())
	return st.Run(ctx)
}
