package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"

	"recount/deploy/client"
	"recount/schemas/openapi"
)

type publicationsCmd struct {
	List publicationsListCmd `cmd:"" help:"List the publications that recount query --as-of can read, newest first."`
	Pin  publicationsPinCmd  `cmd:"" help:"Keep a publication for ever, for example one that was billed."`
}

type publicationsListCmd struct{ serverFlag }

// Run prints one line for each publication.
func (c *publicationsListCmd) Run(ctx context.Context, std streams) error {
	publications, err := fetch(c.serverFlag,
		func(server *client.Client) ([]openapi.Publication, error) { return server.Publications(ctx) })
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "PUBLICATION\tCREATED\tEVENTS\tKEPT")
	for _, p := range publications {
		kept := "for now"
		if p.Pinned {
			kept = "for ever"
		}
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\n", p.N, stamp(p.Created), p.Events, kept)
	}
	return w.Flush()
}

type publicationsPinCmd struct {
	serverFlag
	N publication `arg:"" name:"publication" help:"Number of the publication."`
}

// publication is the number of a publication on the command line.
type publication uint64

// UnmarshalText reads a number.
func (n *publication) UnmarshalText(text []byte) error {
	number, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not the number of a publication; recount publications list shows them", text)
	}
	*n = publication(number)
	return nil
}

// Run pins the publication and prints how to query it.
func (c *publicationsPinCmd) Run(ctx context.Context, std streams) error {
	p, err := fetch(c.serverFlag,
		func(server *client.Client) (openapi.Publication, error) {
			return server.PinPublication(ctx, uint64(c.N))
		})
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "publication %d of %s is kept for ever: recount query VIEW --as-of %d --mode exact\n", p.N,
		stamp(p.Created), p.N)
	return nil
}
