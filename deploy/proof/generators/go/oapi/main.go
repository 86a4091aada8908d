// Command oapi uses the client that oapi-codegen generates from the OpenAPI document:
//
//	oapi URL KEY
package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"generators/oapi/api"
)

const (
	name   = "oapi"
	events = 100
)

// answered is an answer of any operation.
type answered interface{ StatusCode() int }

// want ends the program unless the answer has the status.
func want[R answered](operation string, status int) func(R, error) R {
	return func(answer R, err error) R {
		if err != nil || answer.StatusCode() != status {
			fmt.Fprintf(os.Stderr, "%s: %+v, %v, want status %d\n", operation, answer, err, status)
			os.Exit(1)
		}
		fmt.Println(operation, status)
		return answer
	}
}

// check ends the program unless got is want.
func check(what string, got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		fmt.Fprintf(os.Stderr, "%s: got %v, want %v\n", what, got, want)
		os.Exit(1)
	}
}

func pointer[T any](v T) *T { return &v }

func main() {
	ctx := context.Background()
	c, err := api.NewClientWithResponses(os.Args[1], api.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+os.Args[2])
			return nil
		}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	want[*api.HealthResponse]("health", 200)(c.HealthWithResponse(ctx))
	want[*api.ReadyResponse]("ready", 200)(c.ReadyWithResponse(ctx))
	want[*api.OpenapiResponse]("openapi", 200)(c.OpenapiWithResponse(ctx))
	want[*api.MetricsResponse]("metrics", 200)(c.MetricsWithResponse(ctx))
	declare(ctx, c)
	receipt := send(ctx, c)
	ask(ctx, c, receipt)
	publish(ctx, c, receipt)
	askExactly(ctx, c)
	inspect(ctx, c)
	want[*api.DeleteViewResponse]("deleteView", 204)(c.DeleteViewWithResponse(ctx, name+"_clicks", nil))
	want[*api.DeleteEventTypeResponse]("deleteEventType", 204)(c.DeleteEventTypeWithResponse(ctx, name+".clicked", nil))
}

func declare(ctx context.Context, c *api.ClientWithResponses) {
	var page, delay api.FieldDeclaration
	check("union", page.FromFieldType("string"), nil)
	check("union", delay.FromFieldSpecification(api.FieldSpecification{Type: "int64", Path: "delay.ms"}), nil)
	want[*api.PutEventTypeResponse]("putEventType", 201)(c.PutEventTypeWithResponse(ctx, name+".clicked", nil,
		api.EventTypeDeclaration{Fields: &map[string]api.FieldDeclaration{"page": page, "delay": delay}}))
	want[*api.PutViewResponse]("putView", 201)(c.PutViewWithResponse(ctx, name+"_clicks", nil, api.ViewDeclaration{
		Event: name + ".clicked", Dimensions: &[]string{"page"},
		Where: &[]api.ConditionDeclaration{{Field: "delay", Op: "ge", Value: 0}},
		Measures: map[string]api.MeasureDeclaration{
			"clicks": {Count: &map[string]any{}}, "slowest": {Max: pointer("delay")}}}))
	view := want[*api.GetViewResponse]("getView", 200)(c.GetViewWithResponse(ctx, name+"_clicks"))
	check("measures", len(view.JSON200.Measures), 2)
	want[*api.ListViewsResponse]("listViews", 200)(c.ListViewsWithResponse(ctx))
	want[*api.GetEventTypeResponse]("getEventType", 200)(c.GetEventTypeWithResponse(ctx, name+".clicked"))
	want[*api.ListEventTypesResponse]("listEventTypes", 200)(c.ListEventTypesWithResponse(ctx))
	catalog := want[*api.GetCatalogResponse]("getCatalog", 200)(c.GetCatalogWithResponse(ctx))
	want[*api.PutCatalogResponse]("putCatalog", 200)(c.PutCatalogWithResponse(ctx,
		&api.PutCatalogParams{DryRun: pointer(true)}, catalog.JSON200.Declarations))
}

func event(id int, data map[string]any) api.CloudEvent {
	return api.CloudEvent{Id: fmt.Sprint(id), Source: pointer(name), Type: "page.viewed", Data: &data,
		AdditionalProperties: map[string]any{"traceid": "abc"}}
}

// send sends events and returns their receipt.
func send(ctx context.Context, c *api.ClientWithResponses) string {
	batch := []api.CloudEvent{event(events, map[string]any{"page": 7})}
	refused := want[*api.SendEventsResponse]("sendEvents", 400)(c.SendEventsWithResponse(ctx, batch))
	check("code", refused.ApplicationproblemJSON400.Code, "all_rejected")
	for id := range events {
		batch = append(batch, event(id, map[string]any{"page": "/", "country": name, "milliseconds": id}))
	}
	sent := want[*api.SendEventsResponse]("sendEvents", 200)(c.SendEventsWithResponse(ctx, batch))
	check("accepted", sent.JSON200.Accepted, events)
	check("rejected", len(sent.JSON200.Rejected), 1)
	line := fmt.Sprintf(`{"id":"0","source":%q,"type":"page.viewed","time":"2024-05-01T10:00:00Z","data":{}}`, name)
	want[*api.SendEventsResponse]("sendEvents", 200)(c.SendEventsWithBodyWithResponse(ctx, "application/x-ndjson",
		strings.NewReader(line)))
	return sent.JSON200.Receipt
}

// publish runs the job recompute until the events have landed and are published.
func publish(ctx context.Context, c *api.ClientWithResponses, receipt string) {
	for try := 0; ; try++ {
		want[*api.RunJobResponse]("runJob", 200)(c.RunJobWithResponse(ctx, "recompute"))
		at := want[*api.GetReceiptResponse]("getReceipt", 200)(c.GetReceiptWithResponse(ctx, receipt))
		if at.JSON200.Places[0].State == "published" {
			return
		}
		check("published", try < 100, true)
		time.Sleep(100 * time.Millisecond)
	}
}

// viewsOf asks for the views of this client's events.
func viewsOf(mode *api.QueryMode) api.Query {
	return api.Query{View: "page_views", Measures: &[]string{"views"}, GroupBy: &[]string{"country"}, Mode: mode,
		Where: &[]api.Condition{{Not: &api.Condition{Dimension: pointer("country"), Op: pointer(api.ConditionOp("ne")),
			Value: name}}}}
}

// ask waits for the events of receipt: an answer to their sending may come before they are counted.
func ask(ctx context.Context, c *api.ClientWithResponses, receipt string) {
	views := viewsOf(nil)
	views.MinThrough = receipt
	answer := want[*api.QueryResponse]("query", 200)(c.QueryWithResponse(ctx, nil, views))
	check("views", answer.JSON200.Rows[0].AdditionalProperties["views"], events)
	check("live", (*answer.JSON200.Rows[0].Live)["views"], events)
}

func askExactly(ctx context.Context, c *api.ClientWithResponses) {
	answer := want[*api.QueryResponse]("query", 200)(c.QueryWithResponse(ctx, nil,
		viewsOf(pointer(api.QueryMode("exact")))))
	check("exact views", answer.JSON200.Rows[0].AdditionalProperties["views"], events)
	check("exact", answer.JSON200.Accuracy.Exact, true)
	got := want[*api.QueryByParametersResponse]("queryByParameters", 200)(c.QueryByParametersWithResponse(ctx,
		&api.QueryByParametersParams{View: "page_views", Measures: &[]string{"views", "slowest"},
			GroupBy: &[]string{"country"}, Where: &[]string{"not (country != '" + name + "')"}}))
	check("slowest", got.JSON200.Rows[0].AdditionalProperties["slowest"], events-1)
	sql := want[*api.RunSQLResponse]("runSQL", 200)(c.RunSQLWithResponse(ctx, api.Statement{
		Query:      "SELECT sum(views) AS views FROM page_views WHERE country = {c:String}",
		Parameters: &map[string]any{"c": name}}))
	check("SQL", (*sql.JSON200)["data"], fmt.Sprintf("[map[views:%d]]", events))
	refused := want[*api.RunSQLResponse]("runSQL", 400)(c.RunSQLWithResponse(ctx,
		api.Statement{Query: "DROP TABLE page_views"}))
	check("code", refused.ApplicationproblemJSON400.Code, "statement_refused")
	unknown := want[*api.QueryResponse]("query", 404)(c.QueryWithResponse(ctx, nil, api.Query{View: "nothing"}))
	check("code", unknown.ApplicationproblemJSON404.Code, "unknown_view")
	both := want[*api.QueryAllResponse]("queryAll", 200)(c.QueryAllWithResponse(ctx,
		api.Queries{Queries: []api.Query{viewsOf(nil), {View: "nothing"}}}))
	check("views of several", (*both.JSON200.Answers[0].Rows)[0].AdditionalProperties["views"], events)
	check("code", both.JSON200.Answers[1].Problem.Code, "unknown_view")
}

func inspect(ctx context.Context, c *api.ClientWithResponses) {
	all := want[*api.ListPublicationsResponse]("listPublications", 200)(c.ListPublicationsWithResponse(ctx))
	n := all.JSON200.Publications[0].N
	want[*api.GetPublicationResponse]("getPublication", 200)(c.GetPublicationWithResponse(ctx, n, nil))
	want[*api.PinPublicationResponse]("pinPublication", 200)(c.PinPublicationWithResponse(ctx, n))
	first := all.JSON200.Publications[len(all.JSON200.Publications)-1].N
	changed := want[*api.ChangesResponse]("changes", 200)(c.ChangesWithResponse(ctx, &api.ChangesParams{
		View: "page_views", FromPublication: first, Granularity: pointer("all"), GroupBy: &[]string{"country"},
		Where: &[]string{"country:eq:" + name}}))
	check("added", changed.JSON200.Summary.Added, 1)
	stored := want[*api.ListEventsResponse]("listEvents", 200)(c.ListEventsWithResponse(ctx, &api.ListEventsParams{
		Type: "page.viewed", Where: &[]string{"country:eq:" + name}, Limit: pointer(10)}))
	check("source", *stored.JSON200.Events[0].Event.Source, name)
	found := want[*api.ExplainEventResponse]("explainEvent", 200)(c.ExplainEventWithResponse(ctx, "1",
		&api.ExplainEventParams{Source: pointer(name)}))
	check("status", found.JSON200.Events[0].Status, "counted")
	letters := want[*api.ListDeadLettersResponse]("listDeadLetters", 200)(c.ListDeadLettersWithResponse(ctx, nil))
	letter := letters.JSON200.DeadLetters[0].Name
	want[*api.GetDeadLetterResponse]("getDeadLetter", 200)(c.GetDeadLetterWithResponse(ctx, letter))
	want[*api.ReplayDeadLettersResponse]("replayDeadLetters", 200)(c.ReplayDeadLettersWithResponse(ctx,
		&api.ReplayDeadLettersParams{Name: &letter, DryRun: pointer(true)}))
	want[*api.ListJobsResponse]("listJobs", 200)(c.ListJobsWithResponse(ctx))
	want[*api.RunJobResponse]("runJob", 200)(c.RunJobWithResponse(ctx, "audit"))
	audit := want[*api.GetAuditResponse]("getAudit", 200)(c.GetAuditWithResponse(ctx, nil))
	check("residue", audit.JSON200.Residue, 0)
	want[*api.RunJobResponse]("runJob", 200)(c.RunJobWithResponse(ctx, "score"))
	want[*api.GetScoresResponse]("getScores", 200)(c.GetScoresWithResponse(ctx))
	proof := want[*api.VerifyResponse]("verify", 200)(c.VerifyWithBodyWithResponse(ctx, "", http.NoBody))
	check("report", bytes.Contains(proof.Body, []byte(`"findings":[]`)), true)
}
