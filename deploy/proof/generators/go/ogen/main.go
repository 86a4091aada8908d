// Command ogen uses the client that ogen generates from the OpenAPI document:
//
//	ogen URL KEY
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-faster/jx"

	"generators/ogen/api"
)

const (
	name   = "ogen"
	events = 100
)

// key is the API key, which the generated client asks for.
type key string

// Key implements api.SecuritySource.
func (k key) Key(context.Context, api.OperationName) (api.Key, error) {
	return api.Key{Token: string(k)}, nil
}

// want ends the program unless the answer is of type T.
func want[T, R any](operation string, status int) func(R, error) T {
	return func(answer R, err error) T {
		got, ok := any(answer).(T)
		if err != nil || !ok {
			fmt.Fprintf(os.Stderr, "%s: %T %+v, %v, want status %d\n", operation, answer, answer, err, status)
			os.Exit(1)
		}
		fmt.Println(operation, status)
		return got
	}
}

// check ends the program unless got is want.
func check(what string, got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		fmt.Fprintf(os.Stderr, "%s: got %v, want %v\n", what, got, want)
		os.Exit(1)
	}
}

func main() {
	ctx := context.Background()
	c, err := api.NewClient(os.Args[1], key(os.Args[2]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	want[*api.Status, api.HealthRes]("health", 200)(c.Health(ctx))
	want[*api.Status, api.ReadyRes]("ready", 200)(c.Ready(ctx))
	want[*api.OpenapiOK, api.OpenapiRes]("openapi", 200)(c.Openapi(ctx))
	want[*api.MetricsOK, api.MetricsRes]("metrics", 200)(c.Metrics(ctx))
	declare(ctx, c)
	receipt := send(ctx, c)
	ask(ctx, c, receipt)
	publish(ctx, c, receipt)
	askExactly(ctx, c)
	inspect(ctx, c)
	want[*api.DeleteViewNoContent, api.DeleteViewRes]("deleteView", 204)(c.DeleteView(ctx,
		api.DeleteViewParams{Name: name + "_clicks"}))
	want[*api.DeleteEventTypeNoContent, api.DeleteEventTypeRes]("deleteEventType", 204)(c.DeleteEventType(ctx,
		api.DeleteEventTypeParams{Name: name + ".clicked"}))
}

func declare(ctx context.Context, c *api.Client) {
	fields := api.EventTypeDeclarationFields{
		"page": api.NewFieldTypeFieldDeclaration("string"),
		"delay": api.NewFieldSpecificationFieldDeclaration(api.FieldSpecification{Type: "int64",
			Path: jx.Raw(`"delay.ms"`)}),
	}
	want[*api.PutEventTypeCreated, api.PutEventTypeRes]("putEventType", 201)(c.PutEventType(ctx,
		&api.EventTypeDeclaration{Fields: api.NewOptEventTypeDeclarationFields(fields)},
		api.PutEventTypeParams{Name: name + ".clicked"}))
	want[*api.PutViewCreated, api.PutViewRes]("putView", 201)(c.PutView(ctx, &api.ViewDeclaration{
		Event: name + ".clicked", Dimensions: []string{"page"},
		Where: []api.ConditionDeclaration{{Field: "delay", Op: "ge", Value: jx.Raw("0")}},
		Measures: api.ViewDeclarationMeasures{
			"clicks":  {Count: &api.MeasureDeclarationCount{}},
			"slowest": {Max: api.NewOptString("delay")}},
	}, api.PutViewParams{Name: name + "_clicks"}))
	view := want[*api.ViewHeaders, api.GetViewRes]("getView", 200)(c.GetView(ctx,
		api.GetViewParams{Name: name + "_clicks"}))
	check("measures", len(view.Response.Measures), 2)
	want[*api.ViewList, api.ListViewsRes]("listViews", 200)(c.ListViews(ctx))
	want[*api.EventTypeHeaders, api.GetEventTypeRes]("getEventType", 200)(c.GetEventType(ctx,
		api.GetEventTypeParams{Name: name + ".clicked"}))
	want[*api.EventTypeList, api.ListEventTypesRes]("listEventTypes", 200)(c.ListEventTypes(ctx))
	catalog := want[*api.Catalog, api.GetCatalogRes]("getCatalog", 200)(c.GetCatalog(ctx))
	want[*api.Changes, api.PutCatalogRes]("putCatalog", 200)(c.PutCatalog(ctx, &catalog.Declarations,
		api.PutCatalogParams{DryRun: api.NewOptBool(true)}))
}

func event(id int, data map[string]jx.Raw) api.CloudEvent {
	return api.CloudEvent{ID: fmt.Sprint(id), Source: api.NewOptString(name), Type: "page.viewed",
		Data:            api.NewOptCloudEventData(data),
		AdditionalProps: api.CloudEventAdditional{"traceid": jx.Raw(`"abc"`)}}
}

// send sends events and returns their receipt.
func send(ctx context.Context, c *api.Client) string {
	batch := api.SendEventsReqApplicationJSON{event(events, map[string]jx.Raw{"page": jx.Raw("7")})}
	refused := want[*api.SendEventsBadRequest, api.SendEventsRes]("sendEvents", 400)(c.SendEvents(ctx, &batch))
	check("code", refused.Code, "all_rejected")
	for id := range events {
		batch = append(batch, event(id, map[string]jx.Raw{"page": jx.Raw(`"/"`), "country": jx.Raw(`"` + name + `"`),
			"milliseconds": jx.Raw(fmt.Sprint(id))}))
	}
	sent := want[*api.Accepted, api.SendEventsRes]("sendEvents", 200)(c.SendEvents(ctx, &batch))
	check("accepted", sent.Accepted, events)
	check("rejected", len(sent.Rejected), 1)
	line := fmt.Sprintf(`{"id":"0","source":%q,"type":"page.viewed","time":"2024-05-01T10:00:00Z","data":{}}`, name)
	want[*api.Accepted, api.SendEventsRes]("sendEvents", 200)(c.SendEvents(ctx,
		&api.SendEventsReqApplicationXNdjson{Data: strings.NewReader(line)}))
	return sent.Receipt
}

// publish runs the job recompute until the events have landed and are published.
func publish(ctx context.Context, c *api.Client, receipt string) {
	for try := 0; ; try++ {
		want[*api.RunJobOK, api.RunJobRes]("runJob", 200)(c.RunJob(ctx, api.RunJobParams{Name: "recompute"}))
		at := want[*api.Receipt, api.GetReceiptRes]("getReceipt", 200)(c.GetReceipt(ctx,
			api.GetReceiptParams{Receipt: receipt}))
		if at.Places[0].State == api.ReceiptPlaceStatePublished {
			return
		}
		check("published", try < 100, true)
		time.Sleep(100 * time.Millisecond)
	}
}

// viewsOf asks for the views of this client's events.
func viewsOf(mode api.QueryMode) *api.Query {
	return &api.Query{View: "page_views", Measures: []string{"views"}, GroupBy: []string{"country"},
		Mode: api.NewOptQueryMode(mode),
		Where: []api.Condition{{Or: []api.Condition{{Dimension: api.NewOptString("country"),
			Op: api.NewOptConditionOp(api.ConditionOpEq), Value: jx.Raw(`"` + name + `"`)}}}}}
}

// ask waits for the events of receipt: an answer to their sending may come before they are counted.
func ask(ctx context.Context, c *api.Client, receipt string) {
	views := viewsOf(api.QueryModeMerged)
	views.MinThrough = jx.Raw(`"` + receipt + `"`)
	answer := want[*api.AnswerHeaders, api.QueryRes]("query", 200)(c.Query(ctx, views, api.QueryParams{}))
	check("views", answer.Response.Rows[0].AdditionalProps["views"], events)
	check("live", answer.Response.Rows[0].Live.Value["views"], events)
}

func askExactly(ctx context.Context, c *api.Client) {
	answer := want[*api.AnswerHeaders, api.QueryRes]("query", 200)(c.Query(ctx, viewsOf(api.QueryModeExact),
		api.QueryParams{}))
	check("exact views", answer.Response.Rows[0].AdditionalProps["views"], events)
	check("exact", answer.Response.Accuracy.Exact, true)
	got := want[*api.AnswerHeaders, api.QueryByParametersRes]("queryByParameters", 200)(c.QueryByParameters(ctx,
		api.QueryByParametersParams{View: "page_views", Measures: []string{"views", "slowest"},
			GroupBy: []string{"country"}, Where: []string{"country:eq:" + name}}))
	check("slowest", got.Response.Rows[0].AdditionalProps["slowest"], events-1)
	sql := want[*api.SQLResultHeaders, api.RunSQLRes]("runSQL", 200)(c.RunSQL(ctx, &api.Statement{
		Query:      "SELECT sum(views) AS views FROM page_views WHERE country = {c:String}",
		Parameters: api.NewOptStatementParameters(api.StatementParameters{"c": jx.Raw(`"` + name + `"`)})}))
	check("SQL", strings.Join(strings.Fields(string(sql.Response["data"])), ""), fmt.Sprintf(`[{"views":%d}]`, events))
	refused := want[*api.RunSQLBadRequest, api.RunSQLRes]("runSQL", 400)(c.RunSQL(ctx,
		&api.Statement{Query: "DROP TABLE page_views"}))
	check("code", refused.Code, "statement_refused")
	unknown := want[*api.QueryNotFound, api.QueryRes]("query", 404)(c.Query(ctx, &api.Query{View: "nothing"},
		api.QueryParams{}))
	check("code", unknown.Code, "unknown_view")
	both := want[*api.Answers, api.QueryAllRes]("queryAll", 200)(c.QueryAll(ctx,
		&api.Queries{Queries: []api.Query{*viewsOf(api.QueryModeMerged), {View: "nothing"}}}))
	check("views of several", both.Answers[0].Rows[0].AdditionalProps["views"], events)
	check("code", both.Answers[1].Problem.Value.Code, "unknown_view")
}

func inspect(ctx context.Context, c *api.Client) {
	all := want[*api.PublicationList, api.ListPublicationsRes]("listPublications", 200)(c.ListPublications(ctx))
	n := all.Publications[0].N
	want[*api.Publication, api.GetPublicationRes]("getPublication", 200)(c.GetPublication(ctx,
		api.GetPublicationParams{N: n}))
	want[*api.Publication, api.PinPublicationRes]("pinPublication", 200)(c.PinPublication(ctx,
		api.PinPublicationParams{N: n}))
	changed := want[*api.ComparisonHeaders, api.ChangesRes]("changes", 200)(c.Changes(ctx, api.ChangesParams{
		View: "page_views", FromPublication: all.Publications[len(all.Publications)-1].N,
		Granularity: api.NewOptString("all"), GroupBy: []string{"country"}, Where: []string{"country:eq:" + name}}))
	check("added", changed.Response.Summary.Added, 1)
	stored := want[*api.EventPage, api.ListEventsRes]("listEvents", 200)(c.ListEvents(ctx, api.ListEventsParams{
		Type: "page.viewed", Where: []string{"country:eq:" + name}, Limit: api.NewOptInt(10)}))
	check("source", stored.Events[0].Event.Source.Value, name)
	found := want[*api.Explanation, api.ExplainEventRes]("explainEvent", 200)(c.ExplainEvent(ctx,
		api.ExplainEventParams{ID: "1", Source: api.NewOptString(name)}))
	check("status", found.Events[0].Status, "counted")
	letters := want[*api.DeadLetters, api.ListDeadLettersRes]("listDeadLetters", 200)(c.ListDeadLetters(ctx,
		api.ListDeadLettersParams{}))
	letter := letters.DeadLetters[0].Name
	want[*api.DeadLetter, api.GetDeadLetterRes]("getDeadLetter", 200)(c.GetDeadLetter(ctx,
		api.GetDeadLetterParams{Name: letter}))
	want[*api.Replay, api.ReplayDeadLettersRes]("replayDeadLetters", 200)(c.ReplayDeadLetters(ctx,
		api.ReplayDeadLettersParams{Name: api.NewOptString(letter), DryRun: api.NewOptBool(true)}))
	want[*api.JobList, api.ListJobsRes]("listJobs", 200)(c.ListJobs(ctx))
	want[*api.RunJobOK, api.RunJobRes]("runJob", 200)(c.RunJob(ctx, api.RunJobParams{Name: "audit"}))
	audit := want[*api.Audit, api.GetAuditRes]("getAudit", 200)(c.GetAudit(ctx, api.GetAuditParams{}))
	check("residue", audit.Residue, 0)
	want[*api.RunJobOK, api.RunJobRes]("runJob", 200)(c.RunJob(ctx, api.RunJobParams{Name: "score"}))
	want[*api.Scores, api.GetScoresRes]("getScores", 200)(c.GetScores(ctx))
	proof := want[*api.VerifyOK, api.VerifyRes]("verify", 200)(c.Verify(ctx, &api.VerifyReqEmptyBody{}))
	report, err := io.ReadAll(proof)
	check("report", err, nil)
	check("findings", bytes.Contains(report, []byte(`"findings":[]`)), true)
}
