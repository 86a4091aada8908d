package main

import (
	"context"
	"fmt"

	"recount/deploy/client"
)

type healthCmd struct {
	serverFlag
	Ready bool `help:"Ask whether queries can be answered, too."`
}

// Run fails when the server does not answer, or says that only a restart helps.
func (c *healthCmd) Run(ctx context.Context, std streams) error {
	_, err := fetch(c.serverFlag, func(server *client.Client) (any, error) {
		if c.Ready {
			return nil, server.Ready(ctx)
		}
		return nil, server.Health(ctx)
	})
	if err == nil {
		fmt.Fprintln(std.out, "ok")
	}
	return err
}
