package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pageConfig declares what the page's own tests send.
const pageConfig = `
log: {partitions: 2}
landing: {cut_interval: 1s}
events:
  page.viewed:
    fields: {page: string, country: string, user: string, milliseconds: int64}
views:
  by_page:
    event: page.viewed
    dimensions: [page, country]
    cell: 1m
    measures:
      views:    {count: {}}
      visitors: {distinct: user}
      total:    {sum: milliseconds}
      waits:    {quantile: milliseconds}
jobs:
  recompute: {schedule: ""}
`

// pageSources has the sources of the page, and its tests in the folder browser.
var pageSources = filepath.Join("..", "..", "..", "serving", "dashboard", "web")

// TestThePage runs the tests in a browser: node runs the tests of the folder browser against two servers, one without
// keys and one with keys. RECOUNT_SCREENSHOTS names a folder for pictures of every tab.
func TestThePage(t *testing.T) {
	t.Parallel()
	chromium := findBrowser(t)
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "recount.yaml"), pageConfig)
	open := start(t, dir, config, "127.0.0.1:0")
	keysFile := filepath.Join(dir, "keys.json")
	key, err := exec.Command(binary, "keys", "create", "--keys-file", keysFile, "--tenant", "acme", "--scope",
		"query,ingest").Output()
	if err != nil {
		t.Fatal(err)
	}
	guardedDir := t.TempDir()
	guarded := start(t, guardedDir, config, "127.0.0.1:0", "--auth.keys-file", keysFile)

	files, err := filepath.Glob(filepath.Join(pageSources, "browser", "*.test.mjs"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in a browser: %v", err)
	}
	args := []string{"--test", "--test-concurrency=1"}
	for _, f := range files {
		args = append(args, filepath.Join("browser", filepath.Base(f)))
	}
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = pageSources
	cmd.Env = append(os.Environ(), "RECOUNT_PAGE="+open.url, "RECOUNT_PAGE_GUARDED="+guarded.url,
		"RECOUNT_PAGE_KEY="+strings.TrimSpace(string(key)), "RECOUNT_CHROMIUM="+chromium)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("node: %v\n%s\nlog of the server:\n%s", err, out, open.logs)
	}
}

// findBrowser returns the path of a Chromium, or skips the test and says what is missing.
func findBrowser(t *testing.T) string {
	t.Helper()
	for path, get := range map[string]string{
		filepath.Join(pageSources, "node_modules", "playwright-core"):  "make setup",
		filepath.Join(pageSources, "..", "dist", "page", "index.html"): "make web",
	} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("the page is not tested in a browser: %v; %s makes it", err, get)
		}
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("the page is not tested: no chromium in PATH; make browser installs it")
	return ""
}
