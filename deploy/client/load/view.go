package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"recount/schemas/catalog"
)

// View is what of a served view the generator has to know, as GET /v1/views says it.
type View struct {
	Name       string `json:"name"`
	Event      string `json:"event"`
	Dimensions []struct {
		Name string            `json:"name"`
		Type catalog.FieldType `json:"type"`
	} `json:"dimensions"`
	Measures []struct {
		Name  string              `json:"name"`
		Kind  catalog.MeasureKind `json:"kind"`
		Field string              `json:"field"`
		Type  catalog.FieldType   `json:"type"`
	} `json:"measures"`
}

// maxViews bounds the list of views in bytes.
const maxViews = 16 << 20

// Describe asks the server for the view of the name, or for its first one when the name is empty.
func Describe(ctx context.Context, client *http.Client, c Config) (View, error) {
	var list struct{ Views []View }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.URL, "/")+"/v1/views", nil)
	if err != nil {
		return View{}, err
	}
	c.authorize(req)
	resp, err := client.Do(req)
	if err != nil {
		return View{}, fmt.Errorf("%w (is a server running? try: recount up)", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxViews))
	if err != nil {
		return View{}, fmt.Errorf("list views: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return View{}, fmt.Errorf("list views: status %d: %s", resp.StatusCode, excerpt(raw))
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return View{}, fmt.Errorf("list views: %w", err)
	}
	var names []string
	for _, v := range list.Views {
		if v.Name == c.View || c.View == "" {
			return v, nil
		}
		names = append(names, v.Name)
	}
	return View{}, fmt.Errorf("view %q is not served; the server has: %s", c.View, strings.Join(names, ", "))
}

// authorize adds the API key to a request. It is never logged or written anywhere.
func (c Config) authorize(req *http.Request) {
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
}

// excerpt is the beginning of an answer, for an error.
func excerpt(b []byte) string { return strings.TrimSpace(string(b[:min(len(b), 300)])) }
