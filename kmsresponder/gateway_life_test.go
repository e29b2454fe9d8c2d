package kmsresponder

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// heldHost answers nobody until it is let go.
type heldHost struct {
	*host
	asked chan struct{} // one for each request
	letGo chan struct{}
	over  chan struct{} // closed at the end, whatever the test came to
}

// waitAsked waits for a request to arrive.
func (h *heldHost) waitAsked(t *testing.T) {
	t.Helper()
	select {
	case <-h.asked:
	case <-time.After(20 * time.Second):
		t.Fatal("the host was not asked")
	}
}

func startHeldHost(t *testing.T) *heldHost {
	h := &heldHost{host: &host{}, asked: make(chan struct{}, 100), letGo: make(chan struct{}), over: make(chan struct{})}
	h.handle = func(conn net.Conn) {
		converse(context.Background(), conn, time.Minute, time.Minute, &conversation{
			iface: new(Rehearsal).iface(), group: 1,
			call: func(_ context.Context, _ dcerpc.Syntax, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
				h.asked <- struct{}{}
				select {
				case <-h.letGo:
				case <-h.over:
				}
				return h.answer(message), 0, 0
			},
		})
	}
	startHost(t, h.host)
	t.Cleanup(func() { close(h.over) })
	return h
}

// TestGatewayDrain: at the end, calls under way are answered, whoever has just
// connected may still make one, and whoever has nothing to say is hung up on at
// once.
func TestGatewayDrain(t *testing.T) { everyWay(t, drainGateway) }

func drainGateway(t *testing.T, startGateway gatewayStart) {
	h := startHeldHost(t)
	addr, _, stop := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0))})
	type result struct {
		response []byte
		err      error
	}
	answered := make(chan result, 10)
	request := func(s *session) {
		response, _, err := s.request(messageV4(1))
		answered <- result{response, err}
	}
	check := func(what string) {
		t.Helper()
		if r := <-answered; r.err != nil || rightful(messageV4(1), r.response) != nil {
			t.Errorf("%s: %v", what, r.err)
		}
	}
	var clients sync.WaitGroup
	defer clients.Wait()

	busy, unused, used := connectTo(t, addr), connectTo(t, addr), connectTo(t, addr)
	clients.Go(func() { request(busy) })
	clients.Go(func() { request(used) })
	h.waitAsked(t)
	h.waitAsked(t)
	close(h.letGo)
	check("before")
	check("before")
	h.letGo = make(chan struct{})
	clients.Go(func() { request(busy) })
	h.waitAsked(t)

	var ending sync.WaitGroup
	ending.Go(stop)
	ended(t, "used and idle", used.conn)
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("still listening")
	}
	clients.Go(func() { request(unused) })
	h.waitAsked(t)
	close(h.letGo)
	check("under way")
	check("just connected")
	ended(t, "after its call", busy.conn)
	ended(t, "after its call", unused.conn)
	ending.Wait()
}

// TestGatewayLag: whoever had connected when the end came, and whose first octets
// were on their way, is still accepted. How long those take is not ours to say,
// so this is about the time that they have.
func TestGatewayLag(t *testing.T) {
	everyWay(t, func(t *testing.T, startGateway gatewayStart) {
		h := startHost(t, &host{})
		addr, _, stop := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0))})
		mustCall(t, addr, messageV4(1))
		began := time.Now()
		if stop(); time.Since(began) < lastOctets {
			t.Errorf("ended after %v", time.Since(began))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		first, end := context.WithCancel(t.Context())
		second, fail := context.WithCancel(t.Context())
		defer fail()
		began := time.Now()
		go func() {
			time.Sleep(time.Hour)
			end()
		}()
		if lag(first, second, time.Minute); time.Since(began) != time.Hour+time.Minute {
			t.Errorf("it took %v", time.Since(began))
		}
		fail()
		if lag(t.Context(), second, time.Minute); time.Since(began) != time.Hour+time.Minute {
			t.Error("it waited although all was over")
		}
		if lag(first, second, time.Minute); time.Since(began) != time.Hour+time.Minute {
			t.Error("it waited although all was over")
		}
	})
}

// TestGuestConnDrain: what a connection may do once it is to end.
func TestGuestConnDrain(t *testing.T) {
	const idle = time.Minute
	tests := []struct {
		name          string
		before, after func(c *guestConn, client net.Conn)
		want          time.Duration // until a Read gives up
	}{
		{"nothing sent", nil, nil, drainGrace},
		{"half a request", func(c *guestConn, client net.Conn) { client.Write([]byte{5}); c.Read(make([]byte, 1)) }, nil, drainGrace},
		{"between calls", func(c *guestConn, client net.Conn) { c.callBegins(); c.Write([]byte{5}) }, nil, 0},
		{"in a call", func(c *guestConn, client net.Conn) {
			client.Write([]byte{5})
			c.Read(make([]byte, 1))
			c.callBegins()
		}, func(c *guestConn, client net.Conn) { c.Write([]byte{5}) }, 0},
		{"half of the next", func(c *guestConn, client net.Conn) {
			c.callBegins()
			c.Write([]byte{5})
			client.Write([]byte{5})
			c.Read(make([]byte, 1))
		}, nil, drainGrace},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			server, client := tcpPair(t)
			c := &guestConn{Conn: server}
			c.SetReadDeadline(time.Now().Add(idle))
			if tc.before != nil {
				tc.before(c, client)
			}
			var got time.Time
			c.Conn = deadlines{server, &got}
			now := time.Now()
			c.drain(now.Add(drainGrace))
			if tc.after != nil {
				tc.after(c, client)
			}
			c.SetReadDeadline(now.Add(idle))
			if d := max(got.Sub(now), 0); d != tc.want {
				t.Errorf("it may read for %v, want %v", d, tc.want)
			}
		})
	}
}

// deadlines remembers the last read deadline.
type deadlines struct {
	net.Conn
	last *time.Time
}

func (d deadlines) SetReadDeadline(t time.Time) error { *d.last = t; return nil }

// tcpPair is the two ends of one connection.
func tcpPair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client = dial(t, ln.Addr().String())
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, client
}

// load is clients that call without a pause, each on a connection of its own,
// until the gateway does not take their connection any more. It returns how many
// calls were answered, and fails the test for each that was not although the
// gateway had begun to talk to its client.
func load(t *testing.T, addr string, workers int, reached func(calls int64)) int64 {
	var calls atomic.Int64
	var working sync.WaitGroup
	for n := range workers {
		working.Go(func() {
			for {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				conn.SetDeadline(time.Now().Add(30 * time.Second))
				s, err := openSession(conn)
				if err != nil {
					// In the moment in which the listener closes, the system may
					// take a connection that nobody will accept.
					conn.Close()
					return
				}
				message := messageV4(n)
				response, hr, err := s.request(message)
				conn.Close()
				if err != nil || hr != 0 || rightful(message, response) != nil {
					t.Errorf("a call was dropped: %v, %v", hr, err)
					return
				}
				reached(calls.Add(1))
			}
		})
	}
	working.Wait()
	return calls.Load()
}

// TestGatewayReloadAndDrainUnderLoad: the configuration changes with every
// hundred calls, to another pool with another host, and in the end the gateway
// stops. Nobody's call is dropped.
func TestGatewayReloadAndDrainUnderLoad(t *testing.T) { everyWay(t, reloadAndDrain) }

func reloadAndDrain(t *testing.T, startGateway gatewayStart) {
	one, two := startHost(t, &host{}), startHost(t, &host{ndr64: true})
	limits := Limits{Connections: -1, Client: -1, Rate: -1}
	configs := []GatewayConfig{
		{Pool: poolOf(hostAt(one.addr, 0)), Limits: limits},
		{Pool: poolOf(hostAt(two.addr, 0), hostAt(one.addr, 1)), Limits: limits, Budget: 5 * time.Second},
	}
	addr, g, stop := startGateway(t, configs[0])
	// A client that stays through it all.
	staying := connectTo(t, addr)
	var ending sync.WaitGroup
	defer ending.Wait()
	n := load(t, addr, 8, func(calls int64) {
		if calls%100 == 0 {
			g.Configure(configs[calls/100%2])
		}
		if calls == 2000 {
			if _, _, err := staying.request(messageV4(1)); err != nil {
				t.Errorf("the client that stayed: %v", err)
			}
			ending.Go(stop)
		}
	})
	if n < 2000 {
		t.Errorf("%d calls", n)
	}
	if one.distinct() == 0 || two.distinct() == 0 {
		t.Error("one of the hosts was never asked")
	}
}

// TestGatewayClientDisappears: in the middle of a request, while its call is
// under way, and before it reads its answer.
func TestGatewayClientDisappears(t *testing.T) { everyWay(t, clientDisappears) }

func clientDisappears(t *testing.T, startGateway gatewayStart) {
	h := startHeldHost(t)
	w := newWatcher()
	addr, _, stop := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: w})
	stub := kmswire.AppendRequestStub(nil, messageV4(1), false)
	pdu := requestOf(9, whole, 0, 0, stub)
	for i, part := range [][]byte{nil, pdu[:7], pdu[:100], pdu, pdu} {
		s := connectTo(t, addr)
		if _, err := s.conn.Write(part); err != nil {
			t.Fatal(err)
		}
		if len(part) == len(pdu) {
			h.waitAsked(t)
		}
		if i%2 == 0 {
			s.conn.(*net.TCPConn).SetLinger(0)
		}
		s.conn.Close()
	}
	close(h.letGo)
	w.until(t, "both calls to end", func() bool { return len(w.called) == 2 })
	mustCall(t, addr, messageV4(2))
	stop()
}

// TestGatewaySlowClient: a client that sends an octet a second does not get
// further than the time for one PDU, and holds up nobody.
func TestGatewaySlowClient(t *testing.T) {
	h := startHost(t, &host{})
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), IdleTimeout: 300 * time.Millisecond})
	slow := dial(t, addr)
	pdu := bind(2, dcerpc.NDR32)
	if _, err := slow.Write(pdu[:len(pdu)-1]); err != nil {
		t.Fatal(err)
	}
	mustCall(t, addr, messageV4(1))
	ended(t, "slow", slow)

	// The same at its own speed, with the clock of a bubble.
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		g := NewGateway(GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
		began := time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		taken, _, _ := g.admission.enter(alice, began, Limits{Connections: 1, Client: 1})
		wg.Go(func() { g.converse(t.Context(), &guestConn{Conn: server, from: alice, guest: taken}) })
		wg.Go(func() {
			for _, b := range bind(2, dcerpc.NDR32) {
				if _, err := client.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v", err)
		}
		if d := time.Since(began); d != DefaultIdleTimeout {
			t.Errorf("hung up on after %v", d)
		}
	})
}

// TestGatewayFragments: a request in fragments arrives whole; those that overlap
// or are too much end their connection, and only that.
func TestGatewayFragments(t *testing.T) { everyWay(t, sendFragments) }

func sendFragments(t *testing.T, startGateway gatewayStart) {
	h := startHost(t, &host{})
	w := newWatcher()
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: w})
	message := messageV4(3)
	stub := kmswire.AppendRequestStub(nil, message, false)
	fragment := func(flags dcerpc.Flags, part []byte) []byte { return requestOf(9, flags, 0, 0, part) }
	send := func(parts ...[]byte) *session {
		s := connectTo(t, addr)
		for _, p := range parts {
			if _, err := s.conn.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		s.call = 9
		return s
	}
	s := send(fragment(dcerpc.FlagFirst, stub[:1]), fragment(0, stub[1:200]), fragment(dcerpc.FlagLast, stub[200:]))
	answer, err := s.response()
	if err != nil {
		t.Fatal(err)
	}
	if response, hr, err := kmswire.ParseResponseStub(answer, false); hr != 0 || err != nil || rightful(message, response) != nil {
		t.Errorf("fragments: %v, %v", hr, err)
	}
	big := make([]byte, 3000)
	for name, parts := range map[string][][]byte{
		"overlapping":      {fragment(dcerpc.FlagFirst, stub[:100]), fragment(dcerpc.FlagFirst, stub[50:])},
		"without a first":  {fragment(dcerpc.FlagLast, stub)},
		"of another call":  {fragment(dcerpc.FlagFirst, stub[:100]), requestOf(10, dcerpc.FlagLast, 0, 0, stub[100:])},
		"too much":         {fragment(dcerpc.FlagFirst, big), fragment(0, big)},
		"one PDU too long": {fragment(whole, make([]byte, 6000))},
	} {
		s := send(parts...)
		if _, err := s.response(); err == nil {
			t.Errorf("%s: answered", name)
		}
		ended(t, name, s.conn)
	}
	if n := len(w.outcomes(h.addr)); n != 1 {
		t.Errorf("the host was asked %d times", n)
	}
	mustCall(t, addr, message)
}

// TestGatewayEndsQuietly: Serve reports a listener that fails, and ends with a
// context that was done before it began.
func TestGatewayEndsQuietly(t *testing.T) {
	p := poolOf(hostAt("192.0.2.1:1688", 0))
	for name, end := range map[string]func(net.Listener, context.CancelFunc){
		"listener": func(ln net.Listener, _ context.CancelFunc) { ln.Close() },
		"context":  func(_ net.Listener, cancel context.CancelFunc) { cancel() },
	} {
		ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		end(ln, cancel)
		if err := NewGateway(GatewayConfig{Pool: p}).Serve(ctx, ln); (err == nil) != (name == "context") {
			t.Errorf("%s: Serve = %v", name, err)
		}
		cancel()
	}
	if err := fmt.Sprint(NewGateway(GatewayConfig{Pool: p}).Serve(t.Context(), &exhaustedListener{times: 1})); err != "accepting on :0: use of closed network connection" {
		t.Errorf("Serve = %s", err)
	}
}
