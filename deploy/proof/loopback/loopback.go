// Package loopback reserves addresses for servers that tests kill and start again at the
// same address.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// The ports are below those that a system gives to outgoing connections and to listeners
// without a fixed port (from 32768 on Linux, from 49152 elsewhere). While its server is down,
// a higher port could be given to a connection of another process.
const (
	firstPort = 10_000
	ports     = 22_000
	attempts  = 100
)

// Reserve returns an address of 127.0.0.1 on which nothing listens. Until release is called,
// no other call of Reserve returns it, in this process or another. A UDP socket with the same
// port number holds the reservation, so that the TCP port stays free for the server.
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
	return "", nil, fmt.Errorf("reserve a loopback port: none was free in %d attempts: %w", attempts, err)
}
