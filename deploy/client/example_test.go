package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"recount/deploy/client"
	"recount/schemas/query"
)

// Example sends an event and queries a view.
func Example() {
	ctx := context.Background()
	c, err := client.New(client.Config{URL: address, Transport: fake{}}) // In a program: URL and Key.
	if err != nil {
		log.Fatal(err)
	}
	result, err := c.Send(ctx, []client.Event{{Type: "page.viewed", Data: map[string]any{"page": "/"}}})
	fmt.Println(result.Accepted, err)

	var rows []struct {
		Page  string
		Views int64
	}
	day := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	accuracy, err := c.Query(ctx, &query.Query{View: "page_views", From: day, To: day.AddDate(0, 0, 1)}, &rows)
	fmt.Println(rows, accuracy.Exact, err)
	// Output:
	// 1 <nil>
	// [{/ 3}] true <nil>
}
