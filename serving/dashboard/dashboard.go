// Package dashboard serves the page at /, which people open in a browser.
//
// Its sources are in web, and `make web` builds them into dist/page, which git ignores. A program that was built
// without it serves dist/absent.html, which says how to get the page.
//
// The page is a client of the HTTP API like any other. It is the same for everybody and holds no data, so it needs no
// key. It asks for a key when the API refuses a request.
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed all:dist
var dist embed.FS

// policy lets the page use files and the API of its own server, and nothing else. Neither scripts nor styles may
// stand in the HTML, so a name that a client sent cannot become code.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// licenses has the licences of what the page holds. web/vite.config.ts names it.
const licenses = "/assets/licenses.txt"

// file is a file of the page.
type file struct {
	content []byte
	media   string
	tag     string
	// packed returns the content compressed by gzip. It is made when it is first asked for.
	packed func() []byte
}

// Page is the handler of the page. Requests for anything else go to another handler.
type Page struct {
	index  *file
	assets map[string]*file
	next   http.Handler
}

// New returns the page. Requests that are not for it go to next.
func New(next http.Handler) (*Page, error) {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return newPage(built, next)
}

// newPage reads the page from a folder like dist.
func newPage(folder fs.FS, next http.Handler) (*Page, error) {
	p := &Page{assets: map[string]*file{}, next: next}
	index, err := readFile(folder, "page/index.html")
	if errors.Is(err, fs.ErrNotExist) {
		index, err = readFile(folder, "absent.html")
	}
	if err != nil {
		return nil, fmt.Errorf("read the page at /: %w", err)
	}
	p.index = index
	names, err := fs.Glob(folder, "page/assets/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		asset, err := readFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("read the page at /: %w", err)
		}
		p.assets["/assets/"+path.Base(name)] = asset
	}
	return p, nil
}

func readFile(folder fs.FS, name string) (*file, error) {
	content, err := fs.ReadFile(folder, name)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(content)
	return &file{content: content, media: mime.TypeByExtension(path.Ext(name)),
		tag:    `"` + hex.EncodeToString(digest[:8]) + `"`,
		packed: sync.OnceValue(func() []byte { return pack(content) })}, nil
}

func pack(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(content) // A bytes.Buffer takes all.
	_ = w.Close()
	return out.Bytes()
}

// ServeHTTP answers GET / to clients that ask for HTML, as browsers do. Other clients get what they got before there
// was a page. The name of an asset has a hash of its content, so a browser may keep it for ever.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	asset, isAsset := p.assets[r.URL.Path]
	switch {
	case reads && r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html"):
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Add("Vary", "Accept")
		p.index.serve(w, r)
	case reads && isAsset:
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		if r.URL.Path == licenses {
			w.Header().Set("Cache-Control", "no-cache")
		}
		asset.serve(w, r)
	default:
		p.next.ServeHTTP(w, r)
	}
}

// serve sends the file. The two codings of it are two representations, so each has a tag of its own.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept-Encoding")
	content := f.content
	tag := f.tag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		content = f.packed()
		tag = strings.TrimSuffix(tag, `"`) + `-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
