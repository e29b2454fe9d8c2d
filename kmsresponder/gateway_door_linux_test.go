package kmsresponder

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// slowLoop is a loop whose steps the test makes.
type slowLoop struct {
	*loop
	t    *testing.T
	addr string
}

func newSlowLoop(t *testing.T, c GatewayConfig) *slowLoop {
	t.Helper()
	ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return newSlowLoopOn(t, NewGateway(c), ln, 1)
}

// newSlowLoopOn returns the loop of that lane of g's.
func newSlowLoopOn(t *testing.T, g *Gateway, ln net.Listener, lane int) *slowLoop {
	t.Helper()
	l, err := newLoop(t.Context(), g, ln, lane)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range l.visitors.places {
			if p.is != nil {
				l.close(p.is)
			}
		}
		l.poll.close()
	})
	return &slowLoop{l, t, ln.Addr().String()}
}

// wait returns the events that come, of which there must be some within the time
// any machine needs.
func (l *slowLoop) wait() []syscall.EpollEvent {
	l.t.Helper()
	events, err := l.poll.wait(time.Now().Add(20 * time.Second))
	if err != nil || len(events) == 0 {
		l.t.Fatalf("%d events, %v", len(events), err)
	}
	return events
}

// events is how many are there.
func (l *slowLoop) events() int {
	l.t.Helper()
	n, err := epollNow(l.poll.fd, make([]syscall.EpollEvent, 8))
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// enter lets in the client that sends b.
func (l *slowLoop) enter(b []byte) (*visitor, *net.TCPConn) {
	l.t.Helper()
	conn := dial(l.t, l.addr)
	if _, err := conn.Write(b); err != nil {
		l.t.Fatal(err)
	}
	l.wait()
	if took, err := l.accept(); !took || err != nil {
		l.t.Fatalf("accepted %v, %v", took, err)
	}
	for _, p := range l.visitors.places {
		if p.is != nil && p.is.from.IsValid() && l.visitors.here == 1 {
			return p.is, conn
		}
	}
	l.t.Fatal("nobody is here")
	return nil, nil
}

// pass is the time passing.
func (l *slowLoop) pass(d time.Duration) {
	l.t.Helper()
	l.now = l.now.Add(d)
	if l.now.Before(l.soonest) {
		return
	}
	if err := l.look(); err != nil {
		l.t.Fatal(err)
	}
}

// TestLoopDeadlines: when a client is given up, to lookPause.
func TestLoopDeadlines(t *testing.T) {
	pdu := bind(2, dcerpc.NDR32)
	for name, tc := range map[string]struct {
		sends []byte
		want  time.Duration
	}{
		"half a PDU":    {pdu[:len(pdu)-1], DefaultIdleTimeout},
		"between calls": {pdu, DefaultIdleTimeout},
		"refused":       {patched(bind(2, dcerpc.NDR32), 0, 4), lingerTime},
	} {
		l := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
		began := l.now
		l.enter(tc.sends)
		for l.visitors.here > 0 && l.now.Sub(began) < time.Hour {
			// What keeps coming buys no time unless it is a PDU.
			l.pass(lookPause)
		}
		if took := l.now.Sub(began); took < tc.want || took > tc.want+2*lookPause {
			t.Errorf("%s: given up after %v, want %v", name, took, tc.want)
		}
	}
}

// TestLoopOctetByOctet: an octet now and then does not put the end off.
func TestLoopOctetByOctet(t *testing.T) {
	l := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	pdu := bind(2, dcerpc.NDR32)
	v, conn := l.enter(pdu[:1])
	by := v.by
	for _, b := range pdu[1 : len(pdu)-1] {
		conn.Write([]byte{b})
		for _, e := range l.wait() {
			l.pass(10 * time.Millisecond)
			l.event(v, e.Events)
		}
		if !v.by.Equal(by) {
			t.Fatal("it was given more time")
		}
	}
	conn.Write(pdu[len(pdu)-1:])
	for _, e := range l.wait() {
		l.event(v, e.Events)
	}
	if !v.by.After(by) || v.desk != nil {
		t.Errorf("after the PDU, it has until %v instead of %v, and a buffer: %v", v.by, by, v.desk != nil)
	}
}

// TestLoopTurns: one that sends without end leaves others their turn.
func TestLoopTurns(t *testing.T) {
	l := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	b := bind(2, dcerpc.NDR32)
	const n = 3 * attendMost
	for i := range n {
		b = append(b, request(uint32(3+i), whole, 7, 0)...)
	}
	_, conn := l.enter(b)
	turns := 1
	for ; len(l.later) > 0; turns++ {
		l.goOn()
	}
	if turns != n/attendMost+1 {
		t.Errorf("%d PDUs took %d turns", n, turns)
	}
	in := dcerpc.NewReader(conn, 0)
	for i := range n + 1 {
		if p, err := in.Next(); err != nil || p.CallID != uint32(2+i) {
			t.Fatalf("answer %d: %v, %v", i, p.Header, err)
		}
	}
}

// TestLoopOneTurn: what keeps coming meanwhile gets nobody more turns.
func TestLoopOneTurn(t *testing.T) {
	l := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	b := bind(2, dcerpc.NDR32)
	for i := range 10 * attendMost {
		b = append(b, request(uint32(3+i), whole, 7, 0)...)
	}
	v, _ := l.enter(b)
	for i := range 3 {
		l.event(v, syscall.EPOLLIN)
		if n := len(l.later); n != 1 {
			t.Fatalf("%d turns are to come after %d events", n, i+1)
		}
	}
	l.goOn()
	if n := len(l.later); n != 1 {
		t.Errorf("%d turns are to come after one", n)
	}
}

// TestLoopSocket: what a connection inherits or is given.
func TestLoopSocket(t *testing.T) {
	l := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	v, _ := l.enter(bind(2, dcerpc.NDR32))
	if on, err := syscall.GetsockoptInt(v.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY); on == 0 || err != nil {
		t.Errorf("answers may wait for one another: %d, %v", on, err)
	}
	if _, err := syscall.Read(v.fd, make([]byte, 1)); err != syscall.EAGAIN {
		t.Errorf("reading: %v", err)
	}
}

// TestSocketAccept: who comes is known, whatever the socket.
func TestSocketAccept(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:0": "127.0.0.1", "[::1]:0": "::1", "[::]:0": "127.0.0.1"} {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			t.Skip(err) // no IPv6 here
		}
		defer ln.Close()
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		client := dial(t, net.JoinHostPort(want, port))
		raw, err := ln.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(ln uintptr) {
			fd, from, err := socketAccept(int(ln))
			if err != nil || from.String() != want {
				t.Errorf("%s: %v, %v", listen, from, err)
			}
			socketClose(fd)
			if _, _, err := socketAccept(int(ln)); err != syscall.EAGAIN {
				t.Errorf("%s: with nobody there: %v", listen, err)
			}
		})
		ended(t, listen, client)
	}
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip(err)
	}
	link := netip.MustParseAddr("fe80::1")
	if a := withZone(link, loopback.Index); a.Zone() != "lo" {
		t.Errorf("link-local: %v", a)
	}
	if a := withZone(link, 1<<30); a.Zone() != "1073741824" {
		t.Errorf("of an interface that is gone: %v", a)
	}
}

// TestLoopOutOfDescriptors: clients who cannot be accepted are not asked for
// again and again, and are served when descriptors are back.
func TestLoopOutOfDescriptors(t *testing.T) {
	l := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	conn := dial(t, l.addr)
	conn.Write(bind(2, dcerpc.NDR32))
	l.wait()

	giveBack := exhaust(t)
	took, err := l.accept()
	paused := l.reopen
	events := l.events()
	giveBack()
	if took || err != nil || !paused.Equal(l.now.Add(acceptPause)) || events != 0 {
		t.Errorf("accepted %v, %v; pause until %v, %d events meanwhile", took, err, paused, events)
	}
	l.pass(acceptPause)
	if !l.reopen.IsZero() {
		t.Error("still closed after the pause")
	}
	l.wait()
	if took, err := l.accept(); !took || err != nil {
		t.Errorf("accepted %v, %v", took, err)
	}
	if p, err := dcerpc.NewReader(conn, 0).Next(); err != nil || p.Type != dcerpc.TypeBindAck {
		t.Errorf("answered %v, %v", p.Type, err)
	}
}

// exhaust leaves this process no descriptor until what it returns is called.
func exhaust(t *testing.T) (giveBack func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: 256, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var all []int
	giveBack = func() {
		for _, fd := range all {
			syscall.Close(fd)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	for {
		fd, err := syscall.Dup(0)
		if err == syscall.EMFILE {
			return giveBack
		}
		if err != nil {
			giveBack()
			t.Fatal(err)
		}
		all = append(all, fd)
	}
}

// TestLoopUnwatched: a client whose events cannot be had is let go when what it
// sent is answered.
func TestLoopUnwatched(t *testing.T) {
	l := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	l.poll.fd = -1 // as if the system allowed no more
	conn := dial(t, l.addr)
	conn.Write(bind(2, dcerpc.NDR32))
	l.wait()
	l.accept()
	if l.visitors.here != 0 || l.gateway.Connections() != 0 {
		t.Errorf("%d are here", l.visitors.here)
	}
	in := dcerpc.NewReader(conn, 0)
	if p, err := in.Next(); err != nil || p.Type != dcerpc.TypeBindAck {
		t.Errorf("answered %v, %v", p.Type, err)
	}
	if _, err := in.Next(); err != io.EOF {
		t.Errorf("then %v", err)
	}
}

// TestLoopListenerFails: a listener that someone else closes ends Serve, and
// whoever is inside may finish.
func TestLoopListenerFails(t *testing.T) {
	h := startHost(t, &host{})
	ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- NewGateway(GatewayConfig{Pool: poolOf(hostAt(h.addr, 0))}).Serve(t.Context(), ln) }()
	s := connectTo(t, ln.Addr().String())
	if _, _, err := s.request(messageV4(1)); err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v", err)
	}
	ended(t, "after the listener failed", s.conn)
}

// TestPollerWakes: no call to wake is lost, whenever it comes.
func TestPollerWakes(t *testing.T) {
	var waiting atomic.Bool // for a wake that was not seen
	p, err := newPoller(func() bool { return !waiting.Load() })
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-asked:
				waiting.Store(true)
				p.wake()
			case <-ctx.Done():
				return
			}
		}
	}()
	began := time.Now()
	for i := range 10_000 {
		asked <- struct{}{}
		for !waiting.Swap(false) {
			// Always another deadline, which must not hide the wake.
			if _, err := p.wait(began.Add(time.Hour + time.Duration(i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	<-ended
}
