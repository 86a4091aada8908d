package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"recount/deploy/client"
	"recount/schemas/openapi"
)

// describe asks the server for the view of that name, or for its first view if the name is empty.
func describe(ctx context.Context, c *client.Client, name string) (openapi.View, error) {
	views, err := c.Views(ctx)
	var network *net.OpError
	switch {
	case errors.As(err, &network):
		return openapi.View{}, fmt.Errorf("%w (is a server running? try: recount up)", err)
	case err != nil:
		return openapi.View{}, fmt.Errorf("list views: %w", err)
	}
	var names []string
	for _, v := range views {
		if v.Name == name || name == "" {
			return v, nil
		}
		names = append(names, v.Name)
	}
	return openapi.View{}, fmt.Errorf("view %q is not served; the server has: %s", name, strings.Join(names, ", "))
}
