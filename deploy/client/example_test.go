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

// ExampleClient_QueryAll asks for the numbers of two panels of a dashboard, of one publication.
func ExampleClient_QueryAll() {
	c, err := client.New(client.Config{URL: address, Transport: fake{}})
	if err != nil {
		log.Fatal(err)
	}
	var pages, none []map[string]any
	results, err := c.QueryAll(context.Background(), []*query.Query{{View: "page_views"}, {View: "page_view"}},
		[]any{&pages, &none})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pages, results[0].Accuracy.Publication)
	fmt.Println(results[1].Problem)
	// Output:
	// [map[page:/ views:3]] 7
	// unknown_view:
}
