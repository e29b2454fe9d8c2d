package kmsresponder

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// Gateway is the responder: clients call it as if it were a KMS host, and it has
// each call answered by one of the pool's hosts. It ends the RPC of clients
// itself and has connections of its own to the hosts; what is protected in a
// message passes through unopened, in both directions.
//
// NewGateway makes one, Serve runs it, once, and Configure changes what it does
// meanwhile.
type Gateway struct {
	settings  atomic.Pointer[settings]
	admission *admission
	upstreams upstreams
	memory    memory
	copies    chan copyJob
	groups    atomic.Uint32

	mu       sync.Mutex // guards what follows
	guests   map[*guestConn]struct{}
	draining time.Time // when unused connections end; zero while serving

}

const (
	// housekeeping is how often what nobody uses any more is dropped.
	housekeeping = 5 * time.Second

	// drainGrace is how long, once a gateway is to end, a client may take to
	// send the request for which it has just connected.
	drainGrace = 2 * time.Second

	// backlogTime bounds how long connections are still taken that the system
	// had accepted for us before the end.
	backlogTime = 100 * time.Millisecond
)

// gatewayInterface is what clients are offered. A client that proposes both
// encodings is given NDR32, as by a host before Windows 8: one whose NDR32 is
// refused has to spend another round trip on an alter_context before its first
// request, which it sends in NDR32 anyway. NDR64 is for those who propose
// nothing else.
var gatewayInterface = &dcerpc.Interface{
	Abstract: kmswire.Interface,
	Transfer: []dcerpc.Syntax{dcerpc.NDR32, dcerpc.NDR64},
	Features: dcerpc.SecurityContextMultiplexing | dcerpc.KeepConnectionOnOrphan,
}

// NewGateway returns a gateway that does as c says. It starts nothing: call
// Serve.
func NewGateway(c GatewayConfig) *Gateway {
	g := &Gateway{
		admission: newAdmission(),
		copies:    make(chan copyJob, copyQueue),
		guests:    make(map[*guestConn]struct{}),
	}
	g.Configure(c)
	return g
}

// Configure makes g do as c says from the next call, and from the next
// connection where it is about those. Connections of clients stay, whether c
// would have them or not, and so do those to hosts.
func (g *Gateway) Configure(c GatewayConfig) { g.settings.Store(prepare(c)) }

// Connections is the number of clients' connections that are open.
func (g *Gateway) Connections() int { return g.admission.open() }

// Serve answers the clients that ln accepts until ctx is done. Then it accepts
// no more, and finishes: calls under way are answered, clients that have just
// connected may still send their request, connections without a call are
// closed. That takes no longer than a call and an answer may, and next to
// nothing if all is quiet.
//
// When it returns, ln and every connection are closed and all goroutines that it
// started have ended. It returns nil once ctx is done, and otherwise the error
// that made ln unusable.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	copying, stopCopies := context.WithCancel(ctx)
	defer stopCopies()
	var work sync.WaitGroup
	work.Go(func() { g.keepHouse(working) })
	work.Go(func() { g.sendCopies(copying) })

	wake := context.AfterFunc(ctx, func() { interrupt(ln) })
	calls := newHands(func(c *guestConn) { g.converse(working, c) })
	take := func(conn net.Conn) {
		if c := g.admit(conn); c != nil {
			calls.take(c)
		}
	}
	err := accept(ctx, ln, take)
	wake()
	if ctx.Err() != nil {
		emptyBacklog(ln, take)
	}
	ln.Close()

	calls.dismiss()
	g.drain(&calls.all)
	stop()
	stopCopies()
	g.upstreams.close()
	work.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("accepting on %v: %w", ln.Addr(), err)
}

// interrupt makes an Accept of ln return. Where ln can, it stays open.
func interrupt(ln net.Listener) {
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); !ok || d.SetDeadline(time.Unix(1, 0)) != nil {
		ln.Close()
	}
}

// emptyBacklog takes the connections that the system has accepted and we have
// not: to close ln would reset them.
func emptyBacklog(ln net.Listener, take func(net.Conn)) {
	d, ok := ln.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return
	}
	for end := time.Now().Add(backlogTime); time.Now().Before(end); {
		d.SetDeadline(time.Now().Add(time.Millisecond))
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		take(conn)
	}
}

// admit takes conn in, or closes it and says why.
func (g *Gateway) admit(conn net.Conn) *guestConn {
	s, now := g.settings.Load(), time.Now()
	from := remote(conn)
	why, ok := RefusedNetwork, allowed(s.Allow, from)
	var taken *guest
	if ok {
		taken, why, ok = g.admission.enter(from, now, s.Limits)
	}
	if !ok {
		s.Observer.Refused(why, from)
		conn.Close()
		return nil
	}
	c := &guestConn{Conn: conn, from: from, guest: taken}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.guests[c] = struct{}{}
	c.drainAt = g.draining
	return c
}

// remote is the address that conn comes from; IPv4 as IPv4, whatever the socket.
func remote(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// converse carries on with one client to the end.
func (g *Gateway) converse(ctx context.Context, c *guestConn) {
	defer func() {
		g.mu.Lock()
		delete(g.guests, c)
		g.mu.Unlock()
		// Leave first: a client that sees the end of its connection may count
		// on its place being free.
		g.admission.leave(c.from, c.guest, time.Now())
		c.Close()
	}()
	s := g.settings.Load()
	converse(ctx, c, s.IdleTimeout, s.WriteTimeout, &conversation{
		iface: gatewayInterface,
		port:  port(c.Conn),
		group: nextGroup(&g.groups),
		call: func(ctx context.Context, _ dcerpc.Syntax, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
			c.callBegins()
			return g.answer(ctx, c, message)
		},
		calls: dcerpc.Assembler{Max: maxStub},
	})
}

// drain ends the connections of clients, each when it may end, and waits for
// them.
func (g *Gateway) drain(calls *sync.WaitGroup) {
	s, now := g.settings.Load(), time.Now()
	g.mu.Lock()
	g.draining = now.Add(drainGrace)
	for c := range g.guests {
		c.drain(g.draining)
	}
	g.mu.Unlock()
	// Every wait of a connection is bounded; this bounds them together.
	force := time.AfterFunc(drainGrace+s.Budget+s.WriteTimeout, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for c := range g.guests {
			c.Close()
		}
	})
	calls.Wait()
	force.Stop()
}

// keepHouse drops what nobody uses any more, until ctx is done.
func (g *Gateway) keepHouse(ctx context.Context) {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			hosts := make(map[string]bool)
			for _, h := range g.settings.Load().Pool.Hosts() {
				hosts[h.Endpoint()] = true
			}
			g.upstreams.expire(now.Add(-parkedFor), func(endpoint string) bool { return hosts[endpoint] })
			g.admission.sweep(now)
		}
	}
}
