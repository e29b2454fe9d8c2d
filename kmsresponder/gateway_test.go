package kmsresponder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// watcher remembers what a gateway did.
type watcher struct {
	mu      sync.Mutex
	called  []CallRecord
	asked   []Ask
	refused map[Refusal]int
	heard   chan struct{} // closed and replaced with everything that is added
}

func newWatcher() *watcher {
	return &watcher{refused: make(map[Refusal]int), heard: make(chan struct{})}
}

func (w *watcher) add(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.heard)
	w.heard = make(chan struct{})
}

func (w *watcher) Called(r CallRecord) { w.add(func() { w.called = append(w.called, r) }) }
func (w *watcher) Asked(a Ask)         { w.add(func() { w.asked = append(w.asked, a) }) }
func (w *watcher) Refused(r Refusal, _ netip.Addr) {
	w.add(func() { w.refused[r]++ })
}
func (w *watcher) Present(map[string]bool) {}

// until waits for what is to be true of w.
func (w *watcher) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		ok, heard := is(), w.heard
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-heard:
		case <-timeout:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// last is the latest call. The gateway tells it before it sends the answer.
func (w *watcher) last() CallRecord {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.called) == 0 {
		return CallRecord{}
	}
	return w.called[len(w.called)-1]
}

// outcomes is how host was asked, for calls, in order.
func (w *watcher) outcomes(host string) []Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Outcome
	for _, a := range w.asked {
		if a.Host == host && !a.Copy {
			all = append(all, a.Outcome)
		}
	}
	return all
}

// hostAt is the configuration of a host at addr, "address:port".
func hostAt(addr string, priority uint16) config.Host {
	a := netip.MustParseAddrPort(addr)
	return config.Host{Addresses: []netip.Addr{a.Addr()}, Port: a.Port(), Priority: priority}
}

// silentPool observes nothing.
type silentPool struct{}

func (silentPool) Probed(string, probe.Result) {}
func (silentPool) Changed(pool.Transition)     {}
func (silentPool) Resolved(string, error)      {}

func (silentPool) Settled(pool.Condition, pool.Condition, time.Duration) {}

// poolOf is a pool of hosts that nobody probes: all of them are offered, until
// real traffic says something.
func poolOf(hosts ...config.Host) *pool.Pool {
	return poolBy(func(context.Context, []netip.Addr, uint16) probe.Result { return probe.Result{} }, time.Minute, hosts...)
}

func poolBy(ask func(context.Context, []netip.Addr, uint16) probe.Result, interval time.Duration, hosts ...config.Host) *pool.Pool {
	p := config.Probe{Kind: config.ProbeRPC, Interval: interval, Timeout: interval / 2, Rise: 1, Fall: 2}
	return pool.New(hosts, p, pool.Means{
		Probe:    ask,
		Resolve:  func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no names here") },
		Observer: silentPool{},
		Jitter:   func() float64 { return 0 },
	}, nil)
}

// startGateway serves c on a port of its own. stop ends it, and may be called
// again.
func startGateway(t testing.TB, c GatewayConfig) (addr string, g *Gateway, stop func()) {
	t.Helper()
	ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startGatewayOn(t, ln, c)
}

// unknownListener is one of which nothing is known but that it is a listener:
// every connection has a goroutine of its own, as on other systems than Linux.
type unknownListener struct{ *net.TCPListener }

// everyWay runs test for each way in which clients are carried on with.
func everyWay(t *testing.T, test func(*testing.T, gatewayStart)) {
	t.Run("as the system can", func(t *testing.T) { test(t, startGateway) })
	t.Run("each on its own", func(t *testing.T) {
		test(t, func(t testing.TB, c GatewayConfig) (string, *Gateway, func()) {
			t.Helper()
			ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return startGatewayOn(t, unknownListener{ln.(*net.TCPListener)}, c)
		})
	})
}

type gatewayStart func(testing.TB, GatewayConfig) (addr string, g *Gateway, stop func())

// startGatewayOn is startGateway on ln.
func startGatewayOn(t testing.TB, ln net.Listener, c GatewayConfig) (addr string, g *Gateway, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g = NewGateway(c)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := g.Serve(ctx, ln); err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	stop = func() { cancel(); serving.Wait() }
	t.Cleanup(stop)
	return ln.Addr().String(), g, stop
}

// host is a KMS host for tests: it answers whatever it is asked, with the
// client's own words.
type host struct {
	addr string

	// handle, if not nil, has a connection instead of the host.
	handle func(net.Conn)
	// hresult, if not 0, is what requests are answered.
	hresult kmswire.HRESULT
	ndr64   bool

	mu    sync.Mutex
	took  map[kmswire.GUID]int // requests by CMID
	ln    net.Listener
	stop  func()
	conns connections
}

// startHost serves h at its address, or at one of its own.
func startHost(t testing.TB, h *host) *host {
	t.Helper()
	if h.addr == "" {
		h.addr = "127.0.0.1:0"
	}
	h.took = make(map[kmswire.GUID]int)
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.stop() })
	return h
}

// start serves h, again if it died.
func (h *host) start() error {
	ln, err := net.Listen("tcp", h.addr)
	if err != nil {
		return err
	}
	h.ln, h.addr = ln, ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	h.conns = connections{most: 1 << 20, conns: make(map[net.Conn]struct{})}
	var serving sync.WaitGroup
	serving.Go(func() { serve(ctx, ln, 1<<20, h.serve) })
	h.stop = func() { cancel(); serving.Wait() }
	return nil
}

// die is what is left of a process that was killed: every connection is reset,
// and nobody listens.
func (h *host) die() {
	h.conns.mu.Lock()
	for c := range h.conns.conns {
		c.(*net.TCPConn).SetLinger(0)
	}
	h.conns.mu.Unlock()
	h.stop()
}

func (h *host) serve(conn net.Conn) {
	h.conns.add(conn)
	defer h.conns.remove(conn)
	if h.handle != nil {
		h.handle(conn)
		return
	}
	h.talk(conn)
}

// talk is the host as it should be.
func (h *host) talk(conn net.Conn) {
	converse(context.Background(), conn, time.Minute, time.Minute, &conversation{
		iface: (&Rehearsal{NDR64: h.ndr64}).iface(), port: port(conn), group: 1, calls: dcerpc.Assembler{Max: maxStub},
		call: func(_ context.Context, _ dcerpc.Syntax, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
			if h.hresult != 0 {
				return nil, h.hresult, 0
			}
			return h.answer(message), 0, 0
		},
	})
}

// answer echoes: version 4 as the protocol has it, others their opaque octets.
func (h *host) answer(message []byte) []byte {
	q, err := kmswire.ParseRequestV4(message)
	if err != nil {
		return slices.Clone(message[:min(len(message), 64)])
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took[q.CMID]++
	return kmswire.ResponseV4{HostID: h.addr, CMID: q.CMID, ClientTime: q.ClientTime, Count: uint32(len(h.took)),
		ActivationInterval: 120, RenewalInterval: 10080}.Append(nil)
}

// distinct is how many clients h was asked by.
func (h *host) distinct() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.took)
}

// messageV4 is the request of client n; messageV6 is that of a client of which
// nothing can be seen.
func messageV4(n int) []byte {
	q := kmswire.RequestV4{AppID: kmswire.Windows, Required: 25, ClientTime: kmswire.Filetime(n), MachineName: fmt.Sprint("client", n)}
	binary.BigEndian.PutUint64(q.CMID[8:], uint64(n)+1)
	return q.Append(nil)
}

func messageV6(n int) []byte { return opaque(kmswire.V6, n) }

func opaque(v kmswire.Version, n int) []byte {
	m := v.Append(nil)
	m = binary.BigEndian.AppendUint64(m, uint64(n))
	return append(m, bytes.Repeat([]byte{0xaa}, 260-len(m))...)
}

// rightful reports whether response is what a host answers to message.
func rightful(message, response []byte) error {
	q, err := kmswire.ParseRequestV4(message)
	if err != nil {
		if !bytes.Equal(response, message[:min(len(message), 64)]) {
			return fmt.Errorf("answered %x", response)
		}
		return nil
	}
	r, err := kmswire.ParseResponseV4(response)
	if err != nil {
		return err
	}
	if r.CMID != q.CMID || r.ClientTime != q.ClientTime {
		return fmt.Errorf("answer to %v", r.CMID)
	}
	return nil
}

// connectTo is a client's session with the server at addr, which ends with the
// test at the latest.
func connectTo(t testing.TB, addr string) *session {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	s, err := openSession(conn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// callOnce is a whole visit, as Windows makes it: connect, bind, request, close.
func callOnce(addr string, message []byte) (response []byte, hr kmswire.HRESULT, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	s, err := openSession(conn)
	if err != nil {
		return nil, 0, err
	}
	return s.request(message)
}

// mustCall fails the test unless the server at addr has a host answer message.
func mustCall(t testing.TB, addr string, message []byte) []byte {
	t.Helper()
	response, hr, err := callOnce(addr, message)
	if err != nil || hr != 0 {
		t.Fatalf("call: %v, %v", hr, err)
	}
	if err := rightful(message, response); err != nil {
		t.Fatal(err)
	}
	return response
}

// TestGatewayForwards: what a client sends arrives at the host octet by octet,
// and the answer at the client, whatever encodings the two ends speak.
func TestGatewayForwards(t *testing.T) {
	for _, ndr64 := range []bool{false, true} {
		h := startHost(t, &host{ndr64: ndr64})
		w := newWatcher()
		addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: w})
		for _, message := range [][]byte{messageV4(7), messageV6(7), opaque(kmswire.V5, 7)} {
			mustCall(t, addr, message)
			if r := w.last(); r.Result != ForwardedOK || r.Host != h.addr || r.Failovers+r.Retries != 0 {
				t.Errorf("record %v", r)
			}
		}
		// Several on one connection, in both encodings.
		s := connectTo(t, addr)
		for _, transfer := range []dcerpc.Syntax{dcerpc.NDR32, dcerpc.NDR64, dcerpc.NDR32} {
			in, err := s.propose(dcerpc.TypeAlterContext, []dcerpc.Context{propose(5, transfer)})
			if err != nil {
				t.Fatal(err)
			}
			s.next = in
			response, hr, err := s.request(messageV4(8))
			if err != nil || hr != 0 || rightful(messageV4(8), response) != nil {
				t.Errorf("%v: %v, %v", transfer, hr, err)
			}
		}
	}
}

// TestGatewayRecord: what is told of a version 4 call, and that nothing of it
// can break a line.
func TestGatewayRecord(t *testing.T) {
	h := startHost(t, &host{})
	w := newWatcher()
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: w})
	q := kmswire.RequestV4{Required: 25, MachineName: "a\nb, c"}
	mustCall(t, addr, q.Append(nil))
	r := w.last()
	if r.Count != 1 || r.Request == nil || r.Request.MachineName != "a\nb, c" || r.From != netip.MustParseAddr("127.0.0.1") || r.Version != kmswire.V4 {
		t.Errorf("%+v", r)
	}
	r.Took = 1500 * time.Microsecond
	want := `0x00000000, 25, a\nb\x2c c, 00000000-0000-0000-0000-000000000000, 1601/01/01 00:00, 0, 0, 0, ` +
		`00000000-0000-0000-0000-000000000000 from 127.0.0.1 version 4.0 host ` + h.addr + ` forwarded_ok count 1 in 1.50ms, 0 retries, 0 failovers`
	if r.String() != want {
		t.Errorf("line %s\nwant %s", r, want)
	}
	blind := CallRecord{From: r.From, Version: kmswire.V6, Result: NoHost}
	if got, want := blind.String(), "0x00000000, -, -, -, -, -, -, -, - from 127.0.0.1 version 6.0 host none no_host in 0.00ms, 0 retries, 0 failovers"; got != want {
		t.Errorf("line %s\nwant %s", got, want)
	}
}

// TestGatewayUnreadable: what cannot be a message is answered by us, as a host
// would; a version from the future is for the hosts.
func TestGatewayUnreadable(t *testing.T) {
	h := startHost(t, &host{})
	w := newWatcher()
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: w})
	for _, message := range [][]byte{nil, {0, 0, 4}, messageV4(1)[:251]} {
		if response, hr, err := callOnce(addr, message); hr != kmswire.InvalidData || len(response) != 0 || err != nil {
			t.Errorf("%d octets: %x, %v, %v", len(message), response, hr, err)
		}
		if r := w.last(); r.Result != Unreadable {
			t.Errorf("record %v", r)
		}
	}
	if len(w.outcomes(h.addr)) != 0 {
		t.Error("a host was asked")
	}
	mustCall(t, addr, opaque(kmswire.Version{Major: 7, Minor: 1}, 1))
}
