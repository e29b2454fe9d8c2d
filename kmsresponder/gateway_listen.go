package kmsresponder

import (
	"context"
	"net"
	"syscall"
)

// ListenGateway listens on address as a gateway should. Without keep-alives,
// which come later than any client's deadline and cost each connection three
// system calls. And where the system can, a connection is accepted when its
// first octets are there, so that nothing has to wait for them.
func ListenGateway(ctx context.Context, address string) (net.Listener, error) {
	l := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(deferAccept)
	}}
	return l.Listen(ctx, "tcp", address)
}
