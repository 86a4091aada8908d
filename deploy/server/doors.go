package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recount/deploy/server/keys"
	"recount/schemas/setting"
)

// AuthConfig says which keys the server accepts.
type AuthConfig struct {
	KeysFile string // file of API keys; empty means that no request needs a key
}

// AdminConfig moves the routes for operators to an address of their own.
type AdminConfig struct {
	Listen string // empty means that they are on the public address
}

// SQLDoorConfig opens ClickHouse's HTTP interface, for clients that are made for ClickHouse.
type SQLDoorConfig struct {
	Listen string // empty means that there is none
}

// TLSConfig encrypts all addresses.
type TLSConfig struct {
	CertFile string // certificate chain; empty means HTTP without encryption
	KeyFile  string
}

// address says what the address of a door may be.
const address = "host:port; a loopback address without auth.keys_file"

// doorSettings lists the settings of the addresses and of the keys that requests need.
func (c *Config) doorSettings() []setting.Setting {
	return []setting.Setting{
		setting.Text("listen", address, c.mayListen, "Address of the HTTP API.", &c.Listen),
		setting.Path("tls.cert_file", nil, "Certificate chain (PEM) of all addresses, read again when it changes; "+
			"without one they speak HTTP without encryption.", &c.TLS.CertFile),
		setting.Path("tls.key_file", nil, "Private key (PEM) of the certificate.", &c.TLS.KeyFile),
		setting.Text("admin.listen", address+"; may be empty", c.mayListenOrNot, "Address of metrics, profiles, jobs "+
			"and checks; if it is empty, they are on the address of the API, without profiles.", &c.Admin.Listen),
		setting.Text("sql.listen", address+"; may be empty", c.mayListenOrNot, "Address of ClickHouse's HTTP "+
			"interface, for clients that are made for ClickHouse; a key is their password; if it is empty, there is "+
			"none.", &c.SQLDoor.Listen),
		setting.Path("auth.keys_file", nil, "File of API keys, made by recount keys create; without one no key is "+
			"asked for, and the server listens on loopback addresses only.", &c.Auth.KeysFile),
	}
}

// validateDoors returns an error if two addresses are of one port.
func (c *Config) validateDoors() error {
	all := c.addresses()
	for i, second := range all {
		for _, first := range all[:i] {
			host, port, err := splitAddress(first.addr)
			otherHost, otherPort, otherErr := splitAddress(second.addr)
			if err != nil || otherErr != nil || port == 0 || port != otherPort || !overlap(host, otherHost) {
				continue
			}
			return &setting.Error{Path: strings.Split(second.key, "."), Msg: fmt.Sprintf("%s and %s, %s, are one "+
				"address; use another port, or leave %s empty", second.addr, first.key, first.addr, second.key)}
		}
	}
	return nil
}

// splitAddress returns the host and the port of an address.
func splitAddress(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err == nil {
		port, err = net.LookupPort("tcp", text)
	}
	return host, port, err
}

// overlap reports whether listeners on two hosts take the same port from each other. An empty host, 0.0.0.0 and :: are
// all addresses of a machine.
func overlap(a, b string) bool {
	for _, host := range []*string{&a, &b} {
		if ip := net.ParseIP(*host); *host == "" || ip.IsUnspecified() {
			return true
		}
		if *host == "localhost" {
			*host = "127.0.0.1" // where net.Listen listens
		}
	}
	ip := net.ParseIP(a)
	return a == b || ip != nil && ip.Equal(net.ParseIP(b))
}

func (c *Config) validateTLS() error {
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return &setting.Error{Path: []string{"tls"}, Msg: "name both cert_file and key_file, or neither"}
	}
	return nil
}

// mayListenOrNot is mayListen for an address that may be empty.
func (c *Config) mayListenOrNot(addr string) error {
	if addr == "" {
		return nil
	}
	return c.mayListen(addr)
}

// namedAddress is an address that the configuration names, and its key.
type namedAddress struct{ key, addr string }

// addresses lists the addresses that the configuration names.
func (c *Config) addresses() []namedAddress {
	all := []namedAddress{{"listen", c.Listen}, {"admin.listen", c.Admin.Listen},
		{"sql.listen", c.SQLDoor.Listen}, {"object_store.listen", c.ObjectStoreListen}}
	return slices.DeleteFunc(all, func(a namedAddress) bool { return a.addr == "" })
}

// flag returns the flag of the address.
func (a namedAddress) flag() string { return "--" + strings.ReplaceAll(a.key, "_", "-") }

// mayListen refuses an address that other machines can reach while no keys are configured.
func (c *Config) mayListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		if _, err := net.LookupPort("tcp", port); err != nil {
			return fmt.Errorf("%q has no port between 0 and 65535", addr)
		}
	}
	if err == nil && (c.Auth.KeysFile != "" || loopback(host)) {
		return nil
	}
	return fmt.Errorf("%q is not a loopback address with a port; without auth.keys_file recount listens on 127.0.0.1, "+
		"[::1] or localhost only", addr)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// door is an address and the HTTP server on it.
type door struct {
	scheme   string
	listener net.Listener
	server   *http.Server
}

// authenticate returns the function that tells who sends a request.
func (s *Server) authenticate() keys.Authenticate {
	if s.keys != nil {
		return s.keys.Authenticate
	}
	return keys.Loopback
}

// listen mounts the handlers of the roles and opens the addresses.
func (s *Server) listen(context.Context) error {
	authenticate := s.authenticate()
	if s.cfg.HTTP.AccessLog > 0 {
		authenticate = noteTenants(authenticate)
	}
	handlers, err := s.handlers()
	if err != nil {
		return err
	}
	public, admin, err := mount(handlers, authenticate, s.cfg.Admin.Listen != "")
	if err != nil {
		return err
	}
	if err := s.openDoor("public", s.cfg.Listen, public, s.cfg.TLS); err != nil {
		return fmt.Errorf("listen: %w; choose another address with --listen", err)
	}
	if s.cfg.Admin.Listen != "" {
		if err := s.openDoor("admin", s.cfg.Admin.Listen, admin, s.cfg.TLS); err != nil {
			return fmt.Errorf("admin.listen: %w; choose another address with --admin.listen", err)
		}
	}
	return s.openSQLDoor(authenticate)
}

// openSQLDoor opens ClickHouse's HTTP interface, if it has an address.
func (s *Server) openSQLDoor(authenticate keys.Authenticate) error {
	if s.cfg.SQLDoor.Listen == "" {
		return nil
	}
	h, err := s.api.ClickHouse(authenticate)
	if err != nil {
		return fmt.Errorf("sql.listen: %w", err)
	}
	if err := s.openDoor("sql", s.cfg.SQLDoor.Listen, h, s.cfg.TLS); err != nil {
		return fmt.Errorf("sql.listen: %w; choose another address with --sql.listen", err)
	}
	s.sqlDoor = s.doors[len(s.doors)-1]
	return nil
}

// SQLURL is where ClickHouse's HTTP interface is, or empty.
func (s *Server) SQLURL() string {
	if s.sqlDoor == nil {
		return ""
	}
	return s.sqlDoor.url()
}

// checkDoors returns an error if the server could not listen on its addresses now. It holds all of them at once, like
// the server.
func (c *Config) checkDoors() error {
	var errs []error
	for _, door := range c.addresses() {
		l, err := net.Listen("tcp", door.addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; choose another address with %s", door.key, err, door.flag()))
			continue
		}
		defer l.Close()
	}
	return errors.Join(errs...)
}

func (s *Server) openDoor(name, addr string, h http.Handler, t TLSConfig) error {
	o := newOrigins(nil, nil, s.logger)
	if name == "public" {
		listed, err := parseOrigins(s.cfg.HTTP.CORS)
		if err != nil {
			return err
		}
		o = newOrigins(listed, s.keys, s.logger)
	}
	registry := prometheus.WrapRegistererWith(prometheus.Labels{"address": name}, s.registry)
	if err := registry.Register(o.refused); err != nil {
		return err
	}
	d := &door{scheme: "http", server: newServer(s.cfg.HTTP, name, h, o, s.logger)}
	if t.CertFile != "" {
		c, err := openCertificate(t, s.logger)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		d.scheme = "https"
		d.server.TLSConfig = &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	d.listener = limitConnections(l, affordable(s.cfg.HTTP, s.logger), registry)
	if s.api != nil {
		d.server.RegisterOnShutdown(s.api.EndStreams) // The drain waits for requests, and a stream has no end.
	}
	s.doors = append(s.doors, d)
	return nil
}

// openKeys opens the quotas, and reads the keys file if one is configured.
func (s *Server) openKeys(context.Context) (err error) {
	if err := s.openQuotas(); err != nil || s.cfg.Auth.KeysFile == "" {
		return err
	}
	s.keys, err = keys.Open(keys.Config{Path: s.cfg.Auth.KeysFile, Logger: s.logger, Registerer: s.registry})
	return err
}

// Access describes in one line which requests are allowed.
func (s *Server) Access() string {
	switch {
	case s.keys == nil:
		return "no key is needed: everybody on this machine may do everything, and no other machine can connect; " +
			"recount keys create makes keys"
	case s.doors[0].scheme == "http" && !loopback(s.doors[0].listener.Addr().(*net.TCPAddr).IP.String()):
		return "every request needs a key; this address is not encrypted, so put a proxy with TLS before it or set " +
			"tls.cert_file"
	}
	return "every request needs a key"
}

// LakeAccess says in one line how other programs read the embedded object store, and nothing if they cannot.
func (s *Server) LakeAccess() string { return s.engines.lakeAccess }

func (d *door) url() string { return d.scheme + "://" + d.listener.Addr().String() }

func (d *door) serve() error {
	if d.scheme == "https" {
		return d.server.ServeTLS(d.listener, "", "")
	}
	return d.server.Serve(d.listener)
}

// drainTimeout is how long open requests may still run after the process was told to end.
const drainTimeout = 10 * time.Second

// serve answers HTTP until ctx ends or another part of the process fails.
func (s *Server) serve(ctx, work context.Context) error {
	failed := make(chan error, len(s.doors))
	for _, d := range s.doors {
		go func() { failed <- d.serve() }()
	}
	var err error
	select {
	case <-ctx.Done():
	case <-work.Done():
	case err = <-failed:
		err = fmt.Errorf("serve HTTP: %w", err)
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	for _, d := range s.doors {
		if e := d.server.Shutdown(drain); e != nil {
			err = errors.Join(err, fmt.Errorf("drain HTTP: %w", e), d.server.Close())
		}
	}
	return err
}
