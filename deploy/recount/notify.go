package main

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// What a server tells its service manager.
const (
	stateReady    = "READY=1"
	stateStopping = "STOPPING=1"
)

// notify tells the service manager, such as systemd, which state the server is in. NOTIFY_SOCKET names the manager's
// datagram socket. Without it no manager asks, and notify does nothing.
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	// A name that begins with @ is in the abstract namespace of Linux, for systemd and for Go.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}
