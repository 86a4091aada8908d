package main

import (
	"context"
	"fmt"
	"strings"

	"recount/deploy/server"
)

type upCmd struct {
	fileFlag
	settable
}

// Run runs every role until the context ends.
func (c *upCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	return serve(ctx, c.fileFlag, s, std, server.AllRoles)
}

type serveCmd struct {
	fileFlag
	settable
	Role []string `required:"" enum:"ingest,speed,landing,batch,serving" help:"Roles of this process: ${enum}."`
}

// Run runs the chosen roles until the context ends.
func (c *serveCmd) Run(ctx context.Context, s *settingsFlags, std streams) error {
	roles, err := server.ParseRoles(c.Role)
	if err != nil {
		return usageError{err}
	}
	return serve(ctx, c.fileFlag, s, std, roles)
}

func serve(ctx context.Context, f fileFlag, s *settingsFlags, std streams, roles server.Roles) error {
	cfg, err := f.load(s)
	if err != nil {
		return err
	}
	running, err := server.Open(ctx, cfg, server.Options{Roles: roles, Logger: cfg.Logger.New(std.err)})
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "recount %s serves %s on %s, data in %s\n", server.Version(),
		strings.Join(roles.Names(), ", "), running.URL(), cfg.DataDir)
	fmt.Fprintln(std.out, running.Access())
	return running.Run(ctx)
}
