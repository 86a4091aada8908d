package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/deadletter"
	"recount/schemas/openapi"
	"recount/schemas/problem"
	"recount/schemas/query"
)

type schema struct {
	Ref        string            `json:"$ref"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Enum       []string          `json:"enum"`
	AnyOf      []schema          `json:"anyOf"`
}

type document struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

func parse(t *testing.T) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(openapi.Document(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDocumentHasTheRoutes walks the routes and methods.
func TestDocumentHasTheRoutes(t *testing.T) {
	t.Parallel()
	d := parse(t)
	for _, r := range newAPI(t, newLayers(), nil).routes {
		var got []string
		for method := range d.Paths[r.pattern] {
			if method != "parameters" {
				got = append(got, strings.ToUpper(method))
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(r.methods)), got); diff != "" {
			t.Errorf("%s: %s", r.pattern, diff)
		}
	}
}

// TestDocumentHasTheFields compares the schemas with the fields of the Go types.
func TestDocumentHasTheFields(t *testing.T) {
	t.Parallel()
	d := parse(t)
	for name, v := range map[string]any{
		"Query": query.Query{}, "Condition": query.Condition{}, "Order": query.Order{}, "Derived": query.Derived{},
		"Accuracy": query.Accuracy{}, "Overflow": query.Overflow{}, "OutOfRange": query.OutOfRange{},
		"Problem": problem.Problem{},
		"View":    openapi.View{}, "Dimension": openapi.Dimension{}, "Cap": openapi.Cap{},
		"Measure": openapi.Measure{}, "Filter": openapi.Filter{}, "EventType": openapi.EventType{},
		"Catalog": openapi.Catalog{}, "Changes": openapi.Changes{}, "Change": openapi.Change{},
		"Edit": openapi.Edit{}, "Conflict": openapi.Conflict{}, "Preview": openapi.Preview{},
		"Publication": openapi.Publication{}, "PublicationView": openapi.PublicationView{},
		"PublicationType": openapi.PublicationType{}, "PublicationObject": openapi.PublicationObject{},
		"DeadLetter": deadletter.Letter{}, "DeadLetters": deadletter.Page{}, "Replay": deadletter.Replay{},
		"ReplayFailure": deadletter.Failure{},
		"Explanation":   openapi.Explanation{}, "Position": openapi.Position{},
		"ExplainedEvent": openapi.ExplainedEvent{}, "ExplainedView": openapi.ExplainedView{},
		"ExplainedScope": openapi.ExplainedScope{}, "GivenUp": openapi.GivenUp{}, "Receipt": openapi.Receipt{},
		"ReceiptPlace": openapi.ReceiptPlace{}, "Fill": openapi.Fill{},
		"Job":        openapi.Job{},
		"VerifyLine": openapi.VerifyLine{}, "VerifyReport": openapi.VerifyReport{},
		"VerifyProgress": openapi.VerifyProgress{}, "VerifyCheck": openapi.Check{}, "VerifyFinding": openapi.Finding{},
		"Scores": openapi.Scores{}, "ScoredView": openapi.ScoredView{}, "ScoredMeasure": openapi.ScoredMeasure{},
		"EventPage": openapi.EventPage{}, "StoredEvent": openapi.StoredEvent{},
		"Difference": openapi.Difference{}, "QueryExplanation": query.Explanation{},
		"Comparison": openapi.Comparison{}, "ComparedPublication": openapi.ComparedPublication{},
		"ChangeSummary": openapi.ChangeSummary{}, "ChangedDay": openapi.ChangedDay{},
		"ChangedEvents": openapi.ChangedEvents{}, "ChangedCell": openapi.ChangedCell{},
		"BatchReading": query.BatchReading{}, "LiveReading": query.LiveReading{}, "ObjectList": query.ObjectList{},
	} {
		want, required := fields(reflect.TypeOf(v))
		s := d.Components.Schemas[name]
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(s.Properties))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		required = slices.DeleteFunc(required, func(property string) bool {
			choices := s.Properties[property].AnyOf // An object or null is not required: see TestSchemas.
			return len(choices) > 0 && choices[0].Ref != ""
		})
		slices.Sort(s.Required)
		if diff := cmp.Diff(required, s.Required); diff != "" {
			t.Errorf("%s: required: %s", name, diff)
		}
	}
}

// fields returns the JSON names of a struct's fields, and the names of those that are always present.
func fields(t reflect.Type) (all, required []string) {
	for i := range t.NumField() {
		name, rest, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		all = append(all, name)
		if !strings.Contains(rest, "omit") {
			required = append(required, name)
		}
	}
	slices.Sort(all)
	slices.Sort(required)
	return all, required
}

// TestDocumentHasTheParameters compares the document's parameters of GET /v1/query and GET /v1/changes
// with those that are read.
func TestDocumentHasTheParameters(t *testing.T) {
	t.Parallel()
	got := documentedParameters(t, "/v1/query")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(queryParameters)), got); diff != "" {
		t.Error(diff)
	}
	ofChanges := documentedParameters(t, "/v1/changes")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(changesParameters)), ofChanges); diff != "" {
		t.Errorf("changes: %s", diff)
	}
	ofStream := slices.Sorted(maps.Keys(streamParameters))
	if diff := cmp.Diff(ofStream, slices.DeleteFunc(documentedParameters(t, "/v1/stream"), isHeader)); diff != "" {
		t.Errorf("stream: %s", diff)
	}
	inBody, _ := fields(reflect.TypeOf(query.Query{}))
	got = slices.DeleteFunc(got, func(name string) bool { return name == "format" }) // It is in the address of POST.
	if diff := cmp.Diff(inBody, got); diff != "" {
		t.Errorf("GET and POST differ: %s", diff)
	}
}

func isHeader(name string) bool { return name == "Last-Event-ID" }

// documentedParameters returns the names of the parameters of a GET, sorted.
func documentedParameters(t *testing.T, path string) (names []string) {
	t.Helper()
	var get struct {
		Parameters []struct{ Name string }
	}
	if err := json.Unmarshal(parse(t).Paths[path]["get"], &get); err != nil {
		t.Fatal(err)
	}
	for _, p := range get.Parameters {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}
