// Package collect has the script with which web pages count themselves, and serves it at /recount.js.
//
// A page includes it with a key of scope collect:
//
//	<script defer src="https://recount.example/recount.js" data-key="recount_…"></script>
//
//	data-key     the key
//	data-view    event type of page views; page.viewed unless it is set
//	data-link    event type of clicks on links to other hosts; without it they are not counted
//	data-source  source of all events; the host of the page unless it is set
//
// It sends POST /v1/events. Every event has the data of this table, and its id is random.
//
//	page view    page: the path, without the query; referrer: the address of the page before, without the query, or an
//	             empty text
//	link         page; link: the address that is followed, without the query
//	recount(type, data) of the page's own scripts: page, and data
//
// A page view is counted when the page is shown and whenever the path changes, by history.pushState or by going back.
// Nothing is sent if the browser asks not to be tracked (navigator.doNotTrack) or has the Global Privacy Control on.
// The script sets no cookie and stores nothing.
//
// Events that got no answer are sent again with the same ids for a minute after the first time, and once more in
// beacons when the page is hidden for good. A browser takes 64 KiB of beacons at once. It hides the origin of a beacon
// if the page's Referrer-Policy is no-referrer, so beacons of such a page are refused, and only these. An event of over
// 50 kB is dropped with a warning on the console.
package collect

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"time"

	"recount/schemas/problem"
)

//go:embed recount.js
var source string

// besidePunctuation finds the spaces that JavaScript does not need. No string of source has any that it finds.
var besidePunctuation = regexp.MustCompile(` ?([=+(){}\[\],;:?&|<>*!-]) ?`)

// Script is the script as it is served: source on one line, without comments and spaces beside punctuation.
func Script() []byte {
	var out bytes.Buffer
	for line := range strings.Lines(source) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "//") {
			out.WriteString(besidePunctuation.ReplaceAllString(line, "$1"))
		}
	}
	return out.Bytes()
}

// Handler serves the script. Browsers keep it for an hour, and then ask whether it is still the same.
func Handler() http.Handler {
	script := Script()
	sum := sha256.Sum256(script)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			problem.Write(w, problem.New(http.StatusMethodNotAllowed, problem.MethodNotAllowed,
				r.Method+" is not allowed here; use GET or HEAD"))
			return
		}
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("ETag", tag)
		h.Set("Access-Control-Allow-Origin", "*") // for pages that name the script's digest (integrity)
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(script))
	})
}
