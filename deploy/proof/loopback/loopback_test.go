package loopback

import (
	"net"
	"testing"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	address, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("a server cannot listen at the reserved address: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if hold, err := net.ListenPacket("udp", address); err == nil {
		_ = hold.Close()
		t.Error("another process can reserve the address while its server is down")
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	hold, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatalf("the address is still held after its release: %v", err)
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
}
