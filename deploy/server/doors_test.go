package server

import (
	"net"
	"strconv"
	"testing"
)

// TestHostsOverlap compares overlap with what the system says: it listens on one port of two hosts at once.
func TestHostsOverlap(t *testing.T) {
	t.Parallel()
	hosts := []string{"", "0.0.0.0", "::", "127.0.0.1", "localhost", "127.0.0.2", "::1"}
	for _, first := range hosts {
		for _, second := range hosts {
			l, err := net.Listen("tcp", net.JoinHostPort(first, "0"))
			if err != nil {
				continue // This machine does not have the address.
			}
			port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
			alone, err := net.Listen("tcp", net.JoinHostPort(second, "0"))
			if err != nil {
				_ = l.Close()
				continue
			}
			both, err := net.Listen("tcp", net.JoinHostPort(second, port))
			if got := overlap(first, second); got != (err != nil) {
				t.Errorf("%q and %q: got overlap %t, and the system says: %v", first, second, got, err)
			}
			for _, listener := range []net.Listener{l, alone, both} {
				if listener != nil {
					_ = listener.Close()
				}
			}
		}
	}
}

// TestOneAddressTwice names one address for both doors in different ways.
func TestOneAddressTwice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, admin, sql string
		wrong              bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", "", true},
		{":8080", "0.0.0.0:8080", "", true},
		{"0.0.0.0:80", "127.0.0.1:http", "", true},
		{"localhost:8080", "127.0.0.1:8080", "", true},
		{"[::]:8080", "127.0.0.1:8080", "", true},
		{"127.0.0.1:8080", "127.0.0.1:8081", "", false},
		{"127.0.0.1:8080", "[::1]:8080", "", false},
		{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", false},
		{"127.0.0.1:8080", "", "", false},
		{"127.0.0.1:8080", "", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "127.0.0.1:8081", "0.0.0.0:8081", true},
		{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8123", false},
	} {
		cfg := DefaultConfig()
		cfg.Auth.KeysFile = "keys"
		cfg.Listen = c.listen
		cfg.Admin.Listen = c.admin
		cfg.SQLDoor.Listen = c.sql
		if err := cfg.Validate(); (err != nil) != c.wrong {
			t.Errorf("%s, %s and %s: got %v, want an error: %t", c.listen, c.admin, c.sql, err, c.wrong)
		}
	}
}
