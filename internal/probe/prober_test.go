package probe

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// patience is the timeout of probes that are meant to run into it.
const patience = 100 * time.Millisecond

// listen serves one connection after another with each, until the test ends.
func listen(t *testing.T, each func(conn net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer conn.Close(); each(conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func readBind(t *testing.T, conn net.Conn) dcerpc.Bind {
	pdu, err := dcerpc.NewReader(conn, dcerpc.DefaultMaxFrag).Next()
	if err != nil {
		t.Errorf("No bind: %v", err)
		return dcerpc.Bind{}
	}
	bind, err := dcerpc.ParseBind(pdu)
	if err != nil {
		t.Error(err)
	}
	return bind
}

// host answers binds as a server of iface does.
func host(t *testing.T, iface dcerpc.Interface) func(net.Conn) {
	return func(conn net.Conn) {
		bind := readBind(t, conn)
		ack := dcerpc.BindAck{MaxXmit: 5840, MaxRecv: 5840, AssocGroup: 1, SecondaryAddress: "1688", Results: iface.Accept(bind.Contexts)}
		conn.Write(ack.Append(nil, dcerpc.TypeBindAck, dcerpc.FlagFirst|dcerpc.FlagLast, callID))
		io.Copy(io.Discard, conn)
	}
}

func answer(b []byte) func(t *testing.T) func(net.Conn) {
	return func(t *testing.T) func(net.Conn) {
		return func(conn net.Conn) {
			readBind(t, conn)
			conn.Write(b)
			io.Copy(io.Discard, conn)
		}
	}
}

// hangUp answers b and closes.
func hangUp(b []byte) func(t *testing.T) func(net.Conn) {
	return func(t *testing.T) func(net.Conn) {
		return func(conn net.Conn) {
			readBind(t, conn)
			conn.Write(b)
		}
	}
}

const whole = dcerpc.FlagFirst | dcerpc.FlagLast

var (
	kms32   = dcerpc.Interface{Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.NDR32}}
	kms64   = dcerpc.Interface{Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.NDR64, dcerpc.NDR32}}
	another = dcerpc.Interface{Abstract: dcerpc.Syntax{UUID: dcerpc.UUID{1}, Version: 1}, Transfer: []dcerpc.Syntax{dcerpc.NDR32}}
	nak     = dcerpc.BindNak{Reason: 2}
	goodAck = dcerpc.BindAck{MaxXmit: 5840, MaxRecv: 5840, AssocGroup: 1, SecondaryAddress: "1688", Results: []dcerpc.ContextResult{
		{Transfer: dcerpc.NDR32}, {Result: dcerpc.ProviderRejection, Reason: 2}, {Result: dcerpc.NegotiateAck},
	}}
)

func TestProbe(t *testing.T) {
	serve := func(i dcerpc.Interface) func(*testing.T) func(net.Conn) {
		return func(t *testing.T) func(net.Conn) { return host(t, i) }
	}
	ack := goodAck.Append(nil, dcerpc.TypeBindAck, whole, callID)
	for name, tt := range map[string]struct {
		kind    config.ProbeKind
		serve   func(t *testing.T) func(net.Conn)
		outcome Outcome
		stage   Stage
		words   string
		syntax  string
	}{
		"host as Windows 7":      {serve: serve(kms32), outcome: Passed, stage: Bind, syntax: "NDR32"},
		"host as Windows 2012":   {serve: serve(kms64), outcome: Passed, stage: Bind, syntax: "NDR64"},
		"another RPC service":    {serve: serve(another), outcome: Rejected, stage: Bind, words: "without the KMS interface"},
		"bind_nak":               {serve: answer(nak.Append(nil, dcerpc.TypeBindNak, whole, callID)), outcome: Rejected, stage: Bind, words: "bind_nak"},
		"fault":                  {serve: answer(dcerpc.Fault{Status: 5}.Append(nil, dcerpc.TypeFault, whole, callID)), outcome: Rejected, stage: Bind, words: "fault"},
		"web server":             {serve: answer([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), outcome: Garbled, stage: Bind, words: "not an answer to a DCE/RPC bind"},
		"answer to another call": {serve: answer(goodAck.Append(nil, dcerpc.TypeBindAck, whole, callID+1)), outcome: Garbled, stage: Bind, words: "call 3"},
		"a request in reply":     {serve: answer(dcerpc.Request{}.Append(nil, dcerpc.TypeRequest, whole, callID)), outcome: Garbled, stage: Bind, words: "answered with a request"},
		"too few results":        {serve: answer(dcerpc.BindAck{Results: goodAck.Results[:1]}.Append(nil, dcerpc.TypeBindAck, whole, callID)), outcome: Garbled, stage: Bind, words: "1 results for 3"},
		"syntax nobody offered":  {serve: answer(dcerpc.BindAck{Results: []dcerpc.ContextResult{{}, {}, {}}}.Append(nil, dcerpc.TypeBindAck, whole, callID)), outcome: Garbled, stage: Bind, words: "not offered"},
		"closes at once":         {serve: hangUp(nil), outcome: Closed, stage: Bind, words: "closed the connection before"},
		"closes in mid-answer":   {serve: hangUp(ack[:20]), outcome: Garbled, stage: Bind, words: "in the middle"},
		"truncated and waits":    {serve: answer(ack[:20]), outcome: Timeout, stage: Bind, words: "did not answer the bind"},
		"accepts and hangs":      {serve: answer(nil), outcome: Timeout, stage: Bind, words: "hung"},
		"tcp: hangs, and passes": {kind: config.ProbeTCP, serve: func(*testing.T) func(net.Conn) { return func(c net.Conn) { io.Copy(io.Discard, c) } }, outcome: Passed, stage: Connect},
		"resets after the accept": {serve: func(*testing.T) func(net.Conn) {
			return func(c net.Conn) { c.Read(make([]byte, 1)); c.(*net.TCPConn).SetLinger(0) }
		}, outcome: Closed, stage: Bind, words: "closed the connection"},
		"one octet at a time": {serve: func(t *testing.T) func(net.Conn) {
			return func(conn net.Conn) {
				readBind(t, conn)
				for i := range ack {
					if _, err := conn.Write(ack[i : i+1]); err != nil {
						return
					}
					time.Sleep(patience / 10) // the pace of the slow host, which is the point
				}
			}
		}, outcome: Timeout, stage: Bind, words: "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			at := listen(t, tt.serve(t))
			timeout := 5 * time.Second
			if tt.outcome == Timeout {
				timeout = patience
			}
			r := Prober{Kind: tt.kind, Timeout: timeout}.Probe(t.Context(), []netip.Addr{at.Addr()}, at.Port())
			if r.Outcome != tt.outcome || r.Stage != tt.stage || r.Syntax != tt.syntax || r.Address != at {
				t.Errorf("Got %s at %s, syntax %q, address %s (%v)", r.Outcome, r.Stage, r.Syntax, r.Address, r.Err)
			}
			if (r.Err == nil) != (tt.outcome == Passed) || r.Err != nil && !strings.Contains(r.Err.Error(), tt.words) {
				t.Errorf("Words %v, want some with %q", r.Err, tt.words)
			}
			if r.RTT <= 0 || r.Start.IsZero() {
				t.Errorf("RTT %s, start %s", r.RTT, r.Start)
			}
		})
	}
}

func TestProbeRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	r := Prober{Timeout: time.Second}.Probe(t.Context(), []netip.Addr{at.Addr()}, at.Port())
	if r.Outcome != Refused || r.Stage != Connect || !strings.Contains(r.String(), "refused") {
		t.Errorf("Got %s at %s: %s", r.Outcome, r.Stage, r)
	}
}

// TestProbeDropped: a listener whose queue is full answers no SYN, as a firewall that drops.
func TestProbeDropped(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
	p := Prober{Kind: config.ProbeTCP, Timeout: patience}
	for range 5 { // nobody accepts: the first few fill the queue
		if r := p.Probe(t.Context(), []netip.Addr{at.Addr()}, at.Port()); r.Outcome == Timeout {
			if r.Stage != Connect || !strings.Contains(r.Err.Error(), "no connection") {
				t.Errorf("Got %s: %v", r.Stage, r.Err)
			}
			return
		}
	}
	t.Fatal("The queue of a listener with backlog 0 never fills")
}

func TestProbeWithoutAddress(t *testing.T) {
	r := Prober{Timeout: time.Second}.Probe(t.Context(), nil, 1688)
	if r.Outcome != Unresolved || r.Outcome.Verdict() {
		t.Errorf("Got %s", r.Outcome)
	}
}

// TestProbeSeveralAddresses: the host lives if one of its addresses does, and the failure that got furthest is told.
func TestProbeSeveralAddresses(t *testing.T) {
	at := listen(t, host(t, kms32))
	dead := netip.MustParseAddr("127.0.0.2") // nothing listens there on this port
	p := Prober{Timeout: 5 * time.Second}
	if r := p.Probe(t.Context(), []netip.Addr{dead, at.Addr()}, at.Port()); r.Outcome != Passed || r.Address != at {
		t.Errorf("One of two lives: %s", r)
	}
	garbage := listen(t, answer([]byte("SSH-2.0-OpenSSH_9.2p1 Debian\r\n"))(t))
	if r := p.Probe(t.Context(), []netip.Addr{garbage.Addr(), dead}, garbage.Port()); r.Outcome != Garbled {
		t.Errorf("One garbled, one refused: %s", r)
	}
}

func TestTellsMoreThan(t *testing.T) {
	rising := []Result{{Outcome: Unresolved, Stage: Resolve}, {Outcome: Local, Stage: Connect}, {Outcome: Local, Stage: Bind},
		{Outcome: Timeout, Stage: Connect}, {Outcome: Garbled, Stage: Bind}, {Outcome: Passed, Stage: Bind}}
	for i, a := range rising {
		for j, b := range rising {
			if got := a.tellsMoreThan(b); got != (i > j) {
				t.Errorf("%s at %s beside %s at %s: %v", a.Outcome, a.Stage, b.Outcome, b.Stage, got)
			}
		}
	}
}

// TestProbeStops: a probe that waits returns as soon as it is told to, and blames nobody.
func TestProbeStops(t *testing.T) {
	asked := make(chan struct{}, 1)
	at := listen(t, func(conn net.Conn) { asked <- struct{}{}; io.Copy(io.Discard, conn) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	r := Prober{Timeout: time.Hour}.Probe(ctx, []netip.Addr{at.Addr()}, at.Port())
	if r.Outcome != Local || r.Outcome.Verdict() {
		t.Errorf("Got %s: %v", r.Outcome, r.Err)
	}
}

// answering is a connection that tells of an answer before it is sent: until then the prober cannot be done.
type answering struct {
	net.Conn
	tell func()
}

func (a answering) Write(b []byte) (int, error) {
	a.tell()
	return a.Conn.Write(b)
}

// TestGate: never more probes under way than the gate lets through, and waiting there is not the host's time.
func TestGate(t *testing.T) {
	var mu sync.Mutex
	open, most := 0, 0
	at := listen(t, func(conn net.Conn) {
		mu.Lock()
		open++
		most = max(most, open)
		mu.Unlock()
		host(t, kms32)(answering{conn, func() {
			mu.Lock()
			open--
			mu.Unlock()
		}})
	})
	p := Prober{Timeout: 5 * time.Second, Gate: make(Gate, 2)}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if r := p.Probe(t.Context(), []netip.Addr{at.Addr()}, at.Port()); r.Outcome != Passed {
				t.Errorf("Got %s", r)
			}
		})
	}
	wg.Wait()
	if most > 2 {
		t.Errorf("%d connections at once through a gate of 2", most)
	}

	p.Gate <- struct{}{}
	p.Gate <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := p.Probe(ctx, []netip.Addr{at.Addr()}, at.Port()); r.Outcome != Local {
		t.Errorf("Told to stop while waiting: %s", r)
	}
}

func TestResultJSON(t *testing.T) {
	r := Result{Outcome: Passed, Stage: Bind, Address: netip.MustParseAddrPort("192.0.2.1:1688"),
		Start: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), RTT: 1500 * time.Microsecond, Syntax: "NDR64"}
	got, err := json.Marshal(r)
	want := `{"outcome":"passed","stage":"bind","address":"192.0.2.1:1688","start":"2026-11-22T12:00:00Z","rtt_seconds":0.0015,"syntax":"NDR64"}`
	if err != nil || string(got) != want {
		t.Errorf("Got %s, %v", got, err)
	}
}

func TestOutcomes(t *testing.T) {
	for _, o := range Outcomes() {
		if (o == Unresolved || o == Local) == o.Verdict() {
			t.Errorf("%s: verdict %v", o, o.Verdict())
		}
		if (o == Passed || o == Rejected || o == Garbled) != o.Spoke() {
			t.Errorf("%s: spoke %v", o, o.Spoke())
		}
	}
}

// TestResolver: addresses sorted, each once, IPv4 as IPv4, and not more than a host may have.
func TestResolver(t *testing.T) {
	at := nameServer(t, map[uint16][]netip.Addr{
		1:  addrs("192.0.2.9", "192.0.2.1", "192.0.2.9", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.4"),
		28: addrs("2001:db8::2", "2001:db8::1"),
	})
	r := &Resolver{net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return net.Dial("udp", at.String())
	}}}
	found, err := r.Resolve(t.Context(), "kms1.example.org.")
	want := addrs("192.0.2.1", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.9", "2001:db8::1")
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("Got %v, %v, want %v", found, err, want)
	}
	if _, err := NewResolver().Resolve(t.Context(), "two..dots."); err == nil {
		t.Error("A name that cannot exist resolves")
	}
	if found, err := tellable("kms1.example.org.", addrs("127.0.1.1", "192.0.2.1", "0.0.0.0", "::1")); err != nil || !slices.Equal(found, addrs("192.0.2.1")) {
		t.Errorf("Got %v, %v, want what means the same to clients", found, err)
	}
	if found, err := tellable("kms1.example.org.", addrs("127.0.1.1")); err == nil || !strings.Contains(err.Error(), "127.0.1.1") {
		t.Errorf("Got %v, %v, want an error", found, err)
	}
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// nameServer answers every question of a type with the same addresses.
func nameServer(t *testing.T, have map[uint16][]netip.Addr) net.Addr {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12 // of the question: labels, the root, type and class
			for end < n && buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			end += 5
			qtype := binary.BigEndian.Uint16(buf[end-4:])
			reply := append([]byte{buf[0], buf[1], 0x84, 0, 0, 1, 0, byte(len(have[qtype])), 0, 0, 0, 0}, buf[12:end]...)
			for _, a := range have[qtype] {
				reply = append(reply, 0xc0, 12, 0, byte(qtype), 0, 1, 0, 0, 0, 30, 0, byte(a.BitLen()/8))
				reply = append(reply, a.AsSlice()...)
			}
			conn.WriteTo(reply, from)
		}
	})
	t.Cleanup(func() { conn.Close(); wg.Wait() })
	return conn.LocalAddr()
}
