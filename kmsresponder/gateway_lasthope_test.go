package kmsresponder

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// changes passes on the changes of hosts' states.
type changes struct {
	silentPool
	to chan pool.Transition
}

func (c changes) Changed(t pool.Transition) { c.to <- t }

// TestGatewayAsksTheDown: when all that is offered has failed, a host that is
// believed down is asked all the same, and the pool hears that it lives. One
// that a person took out is not.
func TestGatewayAsksTheDown(t *testing.T) {
	up, down, drained := startHost(t, &host{}), startHost(t, &host{}), startHost(t, &host{})
	probed := changes{to: make(chan pool.Transition, 100)}
	p := pool.New([]config.Host{hostAt(up.addr, 0), hostAt(down.addr, 0), hostAt(drained.addr, 0)},
		config.Probe{Kind: config.ProbeRPC, Interval: time.Hour, Timeout: time.Minute, Rise: 1, Fall: 1},
		pool.Means{
			Probe: func(_ context.Context, _ []netip.Addr, port uint16) probe.Result {
				if netip.MustParseAddrPort(down.addr).Port() == port {
					return probe.Result{Outcome: probe.Refused, Err: errors.New("as the test has it")}
				}
				return probe.Result{Outcome: probe.Passed}
			},
			Observer: probed,
			Jitter:   func() float64 { return -1 },
		}, nil)
	if err := p.Drain(drained.addr, pool.Drainage{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for waiting := map[string]bool{up.addr: true, down.addr: true}; len(waiting) > 0; {
		if c := <-probed.to; c.To == pool.Up || c.To == pool.Down {
			delete(waiting, c.Host)
		}
	}
	w := newWatcher()
	addr, _, _ := startGateway(t, GatewayConfig{Pool: p, Observer: w})
	mustCall(t, addr, messageV4(1))
	if r := w.last(); r.Host != up.addr {
		t.Errorf("%v", r)
	}
	up.die()
	mustCall(t, addr, messageV4(1))
	if r := w.last(); r.Host != down.addr || r.Failovers != 1 {
		t.Errorf("%v", r)
	}
	if c := <-probed.to; c.Host != down.addr || c.To != pool.Up {
		t.Errorf("the pool heard %+v", c)
	}
	down.die()
	if _, _, err := callOnce(addr, messageV4(1)); err == nil || len(w.outcomes(drained.addr)) != 0 {
		t.Errorf("%v; the drained host was %v", err, w.outcomes(drained.addr))
	}
}

// lazarus restarts its host as soon as a call has found it dead.
type lazarus struct {
	*watcher
	host *host
	once sync.Once
}

func (l *lazarus) Asked(a Ask) {
	l.watcher.Asked(a)
	if a.Outcome == Dead {
		l.once.Do(func() { a.Err = l.host.start() })
	}
}

// TestGatewayAsksAgain: a host that is just being restarted costs nobody a call.
func TestGatewayAsksAgain(t *testing.T) {
	h := startHost(t, &host{addr: "127.0.0.9:0"})
	w := &lazarus{watcher: newWatcher(), host: h}
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: w})
	h.die()
	mustCall(t, addr, messageV4(1))
	if r := w.last(); r.Retries != 1 || r.Failovers != 1 {
		t.Errorf("%v", r)
	}
}

// TestEmptyBacklog: what the system has accepted is taken before the listener
// closes.
func TestEmptyBacklog(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for range 3 {
		dial(t, ln.Addr().String())
	}
	interrupt(ln)
	if conn, err := ln.Accept(); err == nil {
		t.Fatalf("accepted %v after the interruption", conn.RemoteAddr())
	}
	n := 0
	emptyBacklog(ln, func(conn net.Conn) { n++; conn.Close() })
	if n != 3 {
		t.Errorf("%d connections were taken, want 3", n)
	}
}
