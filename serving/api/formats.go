package api

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"recount/serving/encode"
	"recount/serving/merge"
)

// formats are what an answer can be written as, the default first.
var formats = []struct {
	media string
	write func(io.Writer, *merge.Answer) error
}{
	{"application/json", encode.JSON},
	{"text/csv", encode.CSV},
	{"application/vnd.apache.arrow.stream", encode.Arrow},
}

// encoderFor chooses the first acceptable format in the client's order. Weights
// other than 0 are not compared: clients list what they want first.
func encoderFor(accept []string) (func(io.Writer, *merge.Answer) error, string, *problem) {
	if len(accept) == 0 {
		return formats[0].write, formats[0].media, nil
	}
	for _, one := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(one))
		if err != nil || params["q"] == "0" {
			continue
		}
		for _, f := range formats {
			if media == f.media || media == "*/*" || media == strings.SplitN(f.media, "/", 2)[0]+"/*" {
				return f.write, f.media, nil
			}
		}
	}
	return nil, "", &problem{Status: http.StatusNotAcceptable, Code: "not_acceptable", Detail: "an answer is application/json, text/csv or application/vnd.apache.arrow.stream"}
}
