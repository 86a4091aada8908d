package api

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"recount/schemas/problem"
	"recount/serving/encode"
	"recount/serving/merge"
)

// format is a media type of answers and its name in the parameter format, with the function that writes it.
type format struct {
	media string
	name  string
	write func(io.Writer, *merge.Answer) error
}

// formats are in order of preference: */* gets the first.
var formats = []format{
	{"application/json", "json", encode.JSON},
	{"text/csv", "csv", encode.CSV},
	{"application/x-ndjson", "ndjson", encode.NDJSON},
	{"application/vnd.apache.arrow.stream", "arrow", encode.Arrow},
	{"application/vnd.apache.parquet", "parquet", encode.Parquet},
}

// chooseFormat returns the format that the URL parameter format names or, without it, the best for the header Accept.
func chooseFormat(r *http.Request, parameters string, formats []format) (format, error) {
	values, err := url.ParseQuery(parameters)
	switch {
	case err != nil:
		return format{}, invalid("query", "%v", err)
	case len(values["format"]) > 1:
		return format{}, invalid("query", "parameter format is given %d times; give it once", len(values["format"]))
	case !values.Has("format"):
		return negotiate(r, formats)
	}
	var names []string
	for _, f := range formats {
		if f.name == values.Get("format") {
			return f, nil
		}
		names = append(names, f.name)
	}
	return format{}, invalid("format", "unknown %.50q; use %s", values.Get("format"), listNames(names))
}

// negotiate chooses the format with the highest weight in the Accept header. Among equals it
// chooses the first of formats. A more specific range overrides a wildcard.
func negotiate(r *http.Request, formats []format) (format, error) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return formats[0], nil
	}
	best := -1
	weight := 0.0
	var media []string
	for i, f := range formats {
		media = append(media, f.media)
		if q := quality(header, f.media); q > weight {
			best = i
			weight = q
		}
	}
	if best < 0 {
		return format{}, problem.New(http.StatusNotAcceptable, problem.NotAcceptable,
			"an answer is "+listNames(media))
	}
	return formats[best], nil
}

// listNames lists names as a sentence does.
func listNames(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// quality returns the weight that a header gives to a media type: the weight of the most specific
// range that contains it.
func quality(header, media string) float64 {
	kind, _, _ := strings.Cut(media, "/")
	return weightOf(header, map[string]int{"*/*": 1, kind + "/*": 2, media: 3})
}

// weightOf returns the weight that a header gives to the most specific of some names, which have higher numbers.
func weightOf(header string, specific map[string]int) float64 {
	found := 0
	q := 0.0
	for part := range strings.SplitSeq(header, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil || specific[name] <= found {
			continue
		}
		found = specific[name]
		q = 1
		if v, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				q = 0
			}
		}
	}
	return q
}
