package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"recount/deploy/embedded/chdb"
	"recount/deploy/embedded/natsserver"
	"recount/deploy/embedded/s3server"
	"recount/deploy/proof/external"
	"recount/deploy/proof/faultproxy"
)

// The engines run as child processes of the harness and are reached over TCP, as in a cluster.
// A child is this program, started again with the name of an engine.
const (
	engineArg    = "engine"
	engineKey    = "torture-key"
	engineSecret = "torture-secret"
)

var (
	engineKinds = []string{"nats", "s3", "clickhouse"}
	// logServers are the three servers of a replicated log; they replace "nats".
	logServers = []string{"nats1", "nats2", "nats3"}
)

// engines are the log, the object store and ClickHouse that the servers of a world share. Each
// is reached through a fault proxy.
type engines struct {
	w       *world
	procs   map[string]*process
	listen  map[string]string
	routes  map[string]string // routes are the addresses at which the log servers reach each other.
	proxies map[string]*faultproxy.Proxy
}

func openEngines(ctx context.Context, w *world, kinds []string) (*engines, error) {
	e := &engines{w: w, procs: map[string]*process{}, listen: map[string]string{}, routes: map[string]string{},
		proxies: map[string]*faultproxy.Proxy{}}
	for _, kind := range kinds {
		if !slices.Contains(logServers, kind) {
			continue
		}
		var err error
		if e.routes[kind], err = w.reserve(); err != nil {
			return nil, err
		}
	}
	for _, kind := range kinds {
		if err := e.open(ctx, kind); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, nil
}

func (e *engines) open(ctx context.Context, kind string) (err error) {
	if e.listen[kind], err = e.w.reserve(); err != nil {
		return err
	}
	if err := e.start(ctx, kind); err != nil {
		return err
	}
	e.proxies[kind], err = faultproxy.Listen(e.listen[kind], e.w.rng.Uint64())
	return err
}

// start starts an engine. After a kill it starts it again at the same address.
func (e *engines) start(ctx context.Context, kind string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{engineArg, kind, filepath.Join(e.w.dir, kind), e.listen[kind]}
	if route := e.routes[kind]; route != "" {
		args = append(args, route)
		for _, other := range logServers {
			if other != kind {
				args = append(args, e.routes[other])
			}
		}
	}
	cmd := exec.Command(self, args...)
	e.procs[kind], err = e.w.h.launch(ctx, kind, cmd)
	return err
}

// settings returns the configuration of a server over these engines. A single NATS server cannot
// replicate, so recount's log is "relaxed" then; the NATS server still syncs every write.
func (e *engines) settings() string {
	log := ", durability: relaxed, replicas: 1"
	names := []string{"nats"}
	if len(e.routes) > 0 {
		log = ", durability: strict, replicas: 3"
		names = logServers
	}
	var urls []string
	for _, name := range names {
		urls = append(urls, "nats://"+e.proxies[name].Addr())
	}
	log += fmt.Sprintf(", url: %q", strings.Join(urls, ","))
	return fmt.Sprintf(settings, log,
		"s3://torture/lake?region=us-east-1&endpoint=http://"+e.proxies["s3"].Addr(),
		"http://"+e.proxies["clickhouse"].Addr()+"/recount?read_timeout=5s")
}

func (e *engines) close() {
	for _, p := range e.procs {
		if p != nil {
			p.kill()
		}
	}
	for _, p := range e.proxies {
		if p != nil {
			_ = p.Close() // Nothing uses its connections any more.
		}
	}
}

// runEngine is the main function of a child process: it runs one engine until a signal ends it.
func runEngine(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) < 3 {
		fmt.Fprintln(os.Stderr, "torture: usage: torture engine KIND DIR ADDRESS")
		return 2
	}
	err := errors.New("unknown kind")
	switch args[0] {
	case "nats", "nats1", "nats2", "nats3":
		err = runNATS(ctx, args)
	case "s3":
		err = runS3(ctx, args[1], args[2])
	case "clickhouse":
		err = runClickHouse(ctx, args[1], args[2])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "torture: engine %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

func runNATS(ctx context.Context, args []string) error {
	c := natsserver.DefaultConfig(args[1])
	c.Listen = args[2]
	c.MaxStore = 1 << 30
	if len(args) > 3 {
		c.Cluster = natsserver.Cluster{Name: args[0], Listen: args[3], Peers: args[4:]}
	}
	s, err := natsserver.Open(ctx, c)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println("nats serves", s.ClientURL())
	<-ctx.Done()
	return nil
}

func runS3(ctx context.Context, dir, listen string) error {
	c := s3server.DefaultConfig(dir)
	c.Listen = listen
	c.AccessKey = engineKey
	c.SecretKey = engineSecret
	s, err := s3server.Open(c)
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println("s3 serves", s.Endpoint())
	<-ctx.Done()
	return s.Close()
}

func runClickHouse(ctx context.Context, dir, listen string) error {
	engine, err := chdb.Open(ctx, chdb.DefaultConfig(dir))
	if err != nil {
		return err
	}
	defer engine.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: external.Gateway{Engine: engine.Transport()}, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // Serve returns the error.
	}()
	fmt.Println("clickhouse serves http://" + l.Addr().String())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
