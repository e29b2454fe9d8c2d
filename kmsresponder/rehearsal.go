package kmsresponder

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// The defaults of Rehearsal.
const (
	DefaultMaxConns     = 1024
	DefaultIdleTimeout  = 30 * time.Second // as long as the Windows RPC runtime keeps a connection
	DefaultWriteTimeout = 5 * time.Second

	DefaultActivationInterval = 120 * time.Minute
	DefaultRenewalInterval    = 10_080 * time.Minute
)

// Rehearsal is a stand-in for a KMS host, for drills, tests and demonstrations.
// It speaks the RPC of a KMS host and counts clients by the same rules, but it
// seals its messages with a secret of the site's: it activates nothing, a
// genuine client rejects it, and it answers a genuine client 0x8007000D.
//
// The zero value is ready to use. The fields must not change once Serve has
// started, but see Configure. One Rehearsal may serve several listeners, and is one host to the
// clients of all of them; it remembers them until it is gone itself.
type Rehearsal struct {
	// Name is what the host calls itself in its answers, after "REHEARSAL-ONLY".
	Name string

	// Secret is the site's, DefaultSecret if empty. A client has to have the
	// same.
	Secret []byte

	// Key is the product group of the host's key: which products it serves.
	// Any serves them all.
	Key config.Key

	// The intervals that clients are told, DefaultActivationInterval and
	// DefaultRenewalInterval if 0: how soon one that was not activated tries
	// again, and one that was renews. Whole minutes, at least one.
	ActivationInterval, RenewalInterval time.Duration

	// Log, if not nil, is called with one line for each request: the fields of
	// event 12290 in their order, then who asked. What a client said about
	// itself is escaped in it. It may be called from several goroutines at once.
	Log func(line string)

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

	as      atomic.Pointer[Rehearsal] // set by Configure
	mu      sync.Mutex
	clients census // guarded by mu
}

// Configure makes r answer with the Name, Secret, Key, intervals and Log of like
// from the next request on. Its connections stay, and so do the clients that it
// has counted. It may be called at any time; like must not change afterwards.
func (r *Rehearsal) Configure(like *Rehearsal) { r.as.Store(like) }

// rules is the Rehearsal whose fields count now.
func (r *Rehearsal) rules() *Rehearsal {
	if as := r.as.Load(); as != nil {
		return as
	}
	return r
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
		converse(ctx, conn, idle, write, &conversation{
			iface: iface,
			call:  r.caller(conn.RemoteAddr()),
			port:  port(conn),
			group: nextGroup(&groups),
			calls: dcerpc.Assembler{Max: maxStub},
		})
	})
}

// caller answers the calls of a client at from.
func (r *Rehearsal) caller(from net.Addr) callFunc {
	return func(_ context.Context, _ dcerpc.Syntax, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
		response, hr := r.answer(from, message)
		return response, hr, 0
	}
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
