package kmsresponder

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// The defaults of Rehearsal.
const (
	DefaultMaxConns     = 1024
	DefaultIdleTimeout  = 30 * time.Second // as long as the Windows RPC runtime keeps a connection
	DefaultWriteTimeout = 5 * time.Second
)

// Rehearsal is a stand-in for a KMS host, for drills, tests and demonstrations.
// It completes binds as a KMS host does and answers every call with a fault; it
// activates nothing.
//
// The zero value is ready to use. The fields are read when Serve starts and
// must not change afterwards; one Rehearsal may serve several listeners.
type Rehearsal struct {
	// NDR64 chooses which generation of hosts to stand in for. False is
	// Windows Vista to 2008 R2: only NDR32 is accepted. True is Windows 8 and
	// 2012 and later: NDR64 is preferred, so a client that proposes both is
	// refused NDR32 until it asks for it alone, by alter_context.
	NDR64 bool

	// MaxConns is how many connections may be open at once, DefaultMaxConns
	// if 0. Those beyond are accepted and closed at once, so that a client
	// sees a refusal and not a silence.
	MaxConns int

	// IdleTimeout is how long the next PDU of a connection may take to arrive
	// completely, DefaultIdleTimeout if 0.
	IdleTimeout time.Duration

	// WriteTimeout is how long one answer may take to be sent,
	// DefaultWriteTimeout if 0.
	WriteTimeout time.Duration
}

// Serve answers the connections that ln accepts until ctx is done. When it
// returns, ln and every connection are closed and all goroutines that it
// started have ended. It returns nil once ctx is done, and otherwise the error
// that made ln unusable.
func (r *Rehearsal) Serve(ctx context.Context, ln net.Listener) error {
	iface := r.iface()
	idle := cmp.Or(r.IdleTimeout, DefaultIdleTimeout)
	write := cmp.Or(r.WriteTimeout, DefaultWriteTimeout)
	var groups atomic.Uint32
	return serve(ctx, ln, cmp.Or(r.MaxConns, DefaultMaxConns), func(conn net.Conn) {
		converse(conn, idle, write, &conversation{
			iface: iface,
			port:  port(conn),
			group: nextGroup(&groups),
			calls: dcerpc.Assembler{Max: maxStub},
		})
	})
}

// iface is what a host of the chosen generation offers.
func (r *Rehearsal) iface() *dcerpc.Interface {
	transfer := []dcerpc.Syntax{dcerpc.NDR32}
	if r.NDR64 {
		transfer = []dcerpc.Syntax{dcerpc.NDR64, dcerpc.NDR32}
	}
	return &dcerpc.Interface{
		Abstract: kmswire.Interface,
		Transfer: transfer,
		Features: dcerpc.SecurityContextMultiplexing | dcerpc.KeepConnectionOnOrphan,
	}
}

// nextGroup returns an association group id that no other connection of the
// last four thousand million has. It is never 0, which is how a client asks for
// one. A group presented by a client is not resumed: nothing is shared between
// connections.
func nextGroup(groups *atomic.Uint32) uint32 {
	for {
		if g := groups.Add(1); g != 0 {
			return g
		}
	}
}

// port returns the local port of conn in decimal, which a bind_ack carries as
// the secondary address.
func port(conn net.Conn) string {
	if addr, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		return strconv.Itoa(addr.Port)
	}
	return ""
}
