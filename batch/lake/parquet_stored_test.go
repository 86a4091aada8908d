package lake

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recount/schemas/catalog"
	"recount/schemas/record"
)

func TestStoredSchemas(t *testing.T) {
	t.Parallel()
	log, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	small := &catalog.EventType{Name: "flight.departed", Fields: []catalog.Field{{Name: "delay", Type: catalog.Int64}}}
	for _, e := range []*catalog.EventType{flightType, small, flightType} {
		if err := StoreSchema(t.Context(), log, e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := StoredSchemas(t.Context(), log)
	if err != nil || len(got) != 1 || len(got[flightType.Name]) != 2 {
		t.Fatalf("got %v, %v; want both schemas of the type", got, err)
	}
	for _, e := range got[flightType.Name] {
		if !cmp.Equal(e, *small) && !cmp.Equal(e, *flightType) {
			t.Errorf("got %v", e)
		}
	}
	if _, _, err := log.Create(t.Context(), SchemaPrefix+"type=x/0000000000000000.json", []byte(`{"name":"x","fields":[]}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := StoredSchemas(t.Context(), log); !errors.Is(err, record.ErrInvalid) {
		t.Errorf("a document under another id: got %v, want ErrInvalid", err)
	}
}
