// Package natscluster runs three NATS servers on loopback that replicate streams, for tests that stop some of them.
package natscluster

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"recount/deploy/embedded/natsserver"
	"recount/deploy/proof/loopback"
)

// Servers is the number of servers of a cluster.
const Servers = 3

// Cluster is a cluster of which no server runs at first. A server that is stopped starts again at the same address.
type Cluster struct {
	t       testing.TB
	configs []natsserver.Config
	servers [Servers]*natsserver.Server // nil while stopped
}

// New returns a cluster with its data in a temporary folder. It is stopped when the test ends.
func New(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	address := func() string {
		a, release, err := loopback.Reserve()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = release() })
		return a
	}
	routes := []string{address(), address(), address()}
	dir := t.TempDir()
	for i := range Servers {
		cfg := natsserver.DefaultConfig(filepath.Join(dir, fmt.Sprint(i)))
		cfg.Listen = address()
		cfg.MaxStore = 1 << 30
		cfg.SyncAlways = false // No server is killed, and tests share the disk.
		cfg.Cluster = natsserver.Cluster{Name: fmt.Sprintf("n%d", i), Listen: routes[i], Peers: routes}
		c.configs = append(c.configs, cfg)
	}
	t.Cleanup(func() { c.Stop(0, 1, 2) })
	return c
}

// Start starts servers by their numbers from 0.
func (c *Cluster) Start(servers ...int) {
	c.t.Helper()
	for _, i := range servers {
		s, err := natsserver.Open(c.t.Context(), c.configs[i])
		if err != nil {
			c.t.Fatal(err)
		}
		c.servers[i] = s
	}
}

// Stop stops those of the servers that run.
func (c *Cluster) Stop(servers ...int) {
	for _, i := range servers {
		if c.servers[i] != nil {
			c.servers[i].Close()
			c.servers[i] = nil
		}
	}
}

// URL is the address of all servers, as log.url has it.
func (c *Cluster) URL() string {
	var urls []string
	for _, s := range c.configs {
		urls = append(urls, "nats://"+s.Listen)
	}
	return strings.Join(urls, ",")
}
