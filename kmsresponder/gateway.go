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
	underWay  underWay
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

	// lastOctets is how long clients are still accepted after the end: the system
	// says of a connection only when its first octets are there (see
	// ListenGateway), and those are on their way.
	lastOctets = 10 * time.Millisecond

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

// Serve answers the clients that ln accepts until ctx is done. A moment later it
// accepts no more, and finishes: calls under way are answered, clients that have
// just connected may still send their request, connections without a call are
// closed. That takes no longer than a call and an answer may, and next to
// nothing if all is quiet.
//
// When it returns, ln and every connection are closed and all goroutines that it
// started have ended. It returns nil once ctx is done, and otherwise the error
// that made ln unusable.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener) error {
	if at, ok := ln.Addr().(*net.TCPAddr); ok {
		g.upstreams.own.Store(&own{at.AddrPort()})
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	copying, stopCopies := context.WithCancel(ctx)
	defer stopCopies()
	var work sync.WaitGroup
	work.Go(func() { g.keepHouse(working) })
	work.Go(func() { g.sendCopies(copying) })

	accepting, stopAccepting := context.WithCancel(working)
	work.Go(func() {
		defer stopAccepting()
		lag(ctx, accepting, lastOctets)
	})

	err := g.attend(accepting, working, ln)
	ln.Close()
	stop()
	stopCopies()
	g.upstreams.close()
	work.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("accepting on %v: %w", ln.Addr(), err)
}

// lag waits until d after first is done, or until second is.
func lag(first, second context.Context, d time.Duration) {
	select {
	case <-first.Done():
	case <-second.Done():
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-second.Done():
	}
}

// enter takes a connection from an address in, or reports why not.
func (g *Gateway) enter(from netip.Addr, now time.Time) (*settings, *guest, bool) {
	s := g.settings.Load()
	why, ok := RefusedNetwork, allowed(s.Allow, from)
	var taken *guest
	if ok {
		taken, why, ok = g.admission.enter(from, now, s.Limits)
	}
	if !ok {
		s.Observer.Refused(why, from)
	}
	return s, taken, ok
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
			s, hosts := g.settings.Load(), make(map[string]bool)
			for _, h := range s.Pool.Hosts() {
				hosts[h.Endpoint()] = true
			}
			s.Observer.Present(hosts)
			g.upstreams.expire(now.Add(-parkedFor), func(endpoint string) bool { return hosts[endpoint] })
			g.admission.sweep(now)
		}
	}
}
