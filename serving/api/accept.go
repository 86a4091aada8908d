package api

import (
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"recount/schemas/problem"
	"recount/serving/encode"
	"recount/serving/merge"
)

// format is a media type of answers, with the function that writes it.
type format struct {
	media string
	write func(io.Writer, *merge.Answer) error
}

// formats are in order of preference: */* gets the first.
var formats = []format{
	{"application/json", encode.JSON},
	{"text/csv", encode.CSV},
	{"application/vnd.apache.arrow.stream", encode.Arrow},
	{"application/vnd.apache.parquet", encode.Parquet},
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
	for i, f := range formats {
		if q := quality(header, f.media); q > weight {
			best = i
			weight = q
		}
	}
	if best < 0 {
		return format{}, problem.New(http.StatusNotAcceptable, problem.NotAcceptable,
			"an answer is "+listMedia(formats))
	}
	return formats[best], nil
}

// listMedia names the media types of formats.
func listMedia(formats []format) string {
	var names []string
	for _, f := range formats {
		names = append(names, f.media)
	}
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
	specific := map[string]int{"*/*": 1, kind + "/*": 2, media: 3}
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
