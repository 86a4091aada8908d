// Package loopback reserves addresses for servers that are killed and come back at the
// same address, as the torture run and the end-to-end tests have them.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// The ports lie below those a system gives to outgoing connections and to listeners that
// ask for any port (from 32768 on Linux, from 49152 elsewhere). A port from up there can be
// taken by another process's connection at any moment its server is down.
const (
	firstPort = 10_000
	ports     = 22_000
	attempts  = 100
)

// Reserve returns an address of 127.0.0.1 on which nobody listens, and which no other call
// returns, in this process or another, until release. What holds it meanwhile is a socket of
// UDP with the same number: the server needs the one of TCP.
func Reserve() (address string, release func() error, err error) {
	for range attempts {
		address = fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports))
		var hold net.PacketConn
		if hold, err = net.ListenPacket("udp", address); err != nil {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			if err = l.Close(); err == nil {
				return address, hold.Close, nil
			}
		}
		err = errors.Join(err, hold.Close())
	}
	return "", nil, fmt.Errorf("loopback: no free port in %d attempts: %w", attempts, err)
}
