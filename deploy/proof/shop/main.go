// Command shop is the demonstration of counting in web pages. It runs recount, serves a small shop from another port,
// whose pages count themselves, and opens both in the browser. It ends on Ctrl-C and leaves nothing.
//
//	go run ./deploy/proof/shop bin/recount
package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

//go:embed shop.html
var page string

// configuration says what the shop counts.
const configuration = `
landing: {cut_interval: 5s}
events:
  page.viewed:   {fields: {page: string, referrer: string}}
  link.followed: {fields: {page: string, link: string}}
  item.added:    {fields: {page: string, item: string, price: int64}}
views:
  page_views: {event: page.viewed, dimensions: [page], measures: {views: {count: {}}}}
  links:      {event: link.followed, dimensions: [link], measures: {clicks: {count: {}}}}
  cart:       {event: item.added, dimensions: [item], measures: {added: {count: {}}, value: {sum: price}}}
jobs:
  recompute: {schedule: "@every 10s"}
`

// anyPort is on loopback alone. Two ports are two origins for a browser.
const anyPort = "127.0.0.1:0"

// drainPatience is how long recount may take to end.
const drainPatience = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: shop PATH-OF-RECOUNT")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

// run serves the shop and recount until ctx ends.
func run(ctx context.Context, recount string) (err error) {
	dir, err := os.MkdirTemp("", "recount-shop-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		return err
	}
	defer l.Close()
	shop := "http://" + l.Addr().String()
	keysFile := filepath.Join(dir, "keys.json")
	collect, err := createKey(ctx, recount, keysFile, "--scope", "collect", "--origin", shop, "--type",
		"page.viewed,link.followed,item.added")
	if err != nil {
		return err
	}
	yours, err := createKey(ctx, recount, keysFile, "--scope", "query,admin")
	if err != nil {
		return err
	}
	return runServer(ctx, recount, dir, func(server string) {
		pages := &http.Server{Handler: handler(server, collect), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = pages.Serve(l) }() // It ends when run closes l.
		// The key stands after #, so it reaches no server and no log. It is worth nothing once the command has ended.
		counts := server + "/#now?view=page_views&key=" + yours
		fmt.Printf("the shop:   %s/\nits counts: %s\nCtrl-C ends both.\n", shop, counts)
		open(counts, shop+"/")
	})
}

// runServer runs recount until ctx ends. It calls ready with the server's URL once the server answers.
func runServer(ctx context.Context, recount, dir string, ready func(server string)) error {
	config := filepath.Join(dir, "recount.yaml")
	if err := os.WriteFile(config, []byte(configuration), 0o600); err != nil {
		return err
	}
	up := exec.CommandContext(ctx, recount, "up", "--config", config, "--data-dir", filepath.Join(dir, "data"),
		"--listen", anyPort, "--auth.keys-file", filepath.Join(dir, "keys.json"), "--log-level", "warn")
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	up.WaitDelay = drainPatience
	up.Stderr = os.Stderr
	out, err := up.StdoutPipe()
	if err != nil {
		return err
	}
	if err := up.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	line, _ := lines.ReadString('\n') // A server that fails prints none, and Wait says so.
	if server := urlPattern.FindString(line); server != "" {
		ready(server)
	}
	_, _ = io.Copy(io.Discard, lines) // It ends with the server, or else the server would block on a full pipe.
	if err := up.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("recount up: %w", err)
	}
	return nil
}

// urlPattern finds the server's address in the line that recount prints when it is ready.
var urlPattern = regexp.MustCompile(`http://[0-9.:]+`)

// createKey makes a key and returns it.
func createKey(ctx context.Context, recount, file string, flags ...string) (string, error) {
	args := append([]string{"keys", "create", "--keys-file", file, "--tenant", "shop"}, flags...)
	out, err := exec.CommandContext(ctx, recount, args...).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return "", fmt.Errorf("recount keys create: %w: %s", err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// handler serves the page at every path of the shop. The page's script shows what belongs to the path.
func handler(server, key string) http.Handler {
	html := strings.NewReplacer("SERVER", server, "KEY", key).Replace(page)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, html) // The browser may be gone.
	})
}

// open opens pages in the user's browser. Without one, the user opens the addresses that were printed.
func open(urls ...string) {
	command := "xdg-open"
	if runtime.GOOS == "darwin" {
		command = "open"
	}
	for _, url := range urls {
		cmd := exec.Command(command, url)
		if err := cmd.Start(); err != nil {
			fmt.Printf("no browser was opened: %v\n", err)
			return
		}
		go func() { _ = cmd.Wait() }() // Whether it opened is for the user to see.
	}
}
