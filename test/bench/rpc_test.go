package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// hostForTest is a rehearsal host.
func hostForTest(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- new(kmsresponder.Rehearsal).Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func visitsForTest(t *testing.T, address string) []visit {
	t.Helper()
	visits, err := recordVisits(context.Background(), address, 3)
	if err != nil {
		t.Fatal(err)
	}
	return visits
}

// TestVisit: what was recorded can be said again, and to another host.
func TestVisit(t *testing.T) {
	visits := visitsForTest(t, hostForTest(t))
	other, buf := hostForTest(t), make([]byte, largestPDU)
	for i := range visits {
		for range 2 {
			if err := visits[i].make(other, buf); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		}
	}
}

// TestVisitsComeFromTheirClients: each from an address of its own.
func TestVisitsComeFromTheirClients(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for i, v := range visitsForTest(t, hostForTest(t)) {
		s, err := dialSocket(v.from, ln.Addr().String(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got, want := conn.RemoteAddr().(*net.TCPAddr).IP.String(), fmt.Sprintf("127.3.0.%d", i); got != want {
			t.Errorf("client %d comes from %s, want %s", i, got, want)
		}
	}
	if got, want := addressOf(999), [4]byte{127, 3, 3, 231}; got != want {
		t.Errorf("the last client has %v, want %v", got, want)
	}
}

// TestVisitChecks: an answer to somebody else is none.
func TestVisitChecks(t *testing.T) {
	address := hostForTest(t)
	visits, buf := visitsForTest(t, address), make([]byte, largestPDU)
	mixed := visits[0]
	mixed.request = visits[1].request
	if err := mixed.make(address, buf); err == nil {
		t.Error("another client's answer passes")
	}
	refused := visits[0]
	refused.request = append([]byte(nil), refused.request...)
	refused.request[len(refused.request)-1]++ // of the seal
	if err := refused.make(address, buf); err == nil {
		t.Error("a refusal passes")
	}
}

func TestLoad(t *testing.T) {
	address := hostForTest(t)
	load := calls{addresses: []string{address}, visits: visitsForTest(t, address)}
	if got, took, err := load.closed(t.Context(), 50*time.Millisecond); err != nil || len(got) == 0 || took < 50*time.Millisecond {
		t.Errorf("closed: %d calls in %s, %v", len(got), took, err)
	}
	if got, err := load.steady(t.Context(), 100*time.Millisecond, 500); err != nil || len(got) != 50 {
		t.Errorf("steady: %d calls, %v, want 50", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := load.steady(ctx, time.Hour, 1); err == nil {
		t.Error("steady goes on after the end")
	}
	load.addresses = []string{"127.0.0.1:1"}
	if _, _, err := load.closed(t.Context(), time.Hour); err == nil {
		t.Error("closed goes on though nobody listens")
	}
}

func TestQuantiles(t *testing.T) {
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i)*time.Millisecond)
	}
	if got, want := quantilesOf(all), (quantiles{101 * time.Millisecond, 199 * time.Millisecond}); got != want {
		t.Errorf("Got %v, want %v", got, want)
	}
}

func TestRPCFinding(t *testing.T) {
	r := rpcResults{}
	for i := range r.calls {
		us := time.Duration(i+1) * 100 * time.Microsecond
		s := callSample{perSecond: 1000, used: used{proxy: us}, busy: quantiles{us, us}}
		for k := range s.steady {
			s.steady[k] = steadySample{quantiles{us, us}, used{proxy: us}}
		}
		for k := range s.share {
			s.share[k] = quantiles{us, us}
		}
		r.calls[i], r.idle[i] = []callSample{s}, []float64{8 << 10}
	}
	found := r.finding()
	report := targetTable(found.targets)
	for _, want := range []string{
		"| responder: calls/s of HAProxy's             | at least 1.60 | 1.00 (1.00–1.00) | **missed** |",
		"| responder: calls/s of those without a proxy | at least 0.75 | 1.00 (1.00–1.00) | met        |",
		"| responder: CPU per call of HAProxy's        | at most 0.85  | 2.00 (2.00–2.00) | **missed** |",
		"| responder: KiB per idle connection          | at most 16.00 | 8.00 (8.00–8.00) | met        |",
	} {
		if !strings.Contains(report, want+"\n") {
			t.Errorf("The report has no line\n%s\nin\n%s", want, report)
		}
	}
	if got := strings.Count(found.plots[rpcPlot], "<polyline"); got != 2*wayCount {
		t.Errorf("The plot has %d curves, want two for each way", got)
	}
}

// TestSteadyCountsFromWhenItWasDue: a call that had to wait because those before it did not end counts its wait.
func TestSteadyCountsFromWhenItWasDue(t *testing.T) {
	const stands = 300 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	load := calls{addresses: []string{ln.Addr().String()}, visits: visitsForTest(t, hostForTest(t))}
	opened := late{ln, time.Now().Add(stands)}
	go func() { ended <- new(kmsresponder.Rehearsal).Serve(ctx, opened) }()
	got, err := load.steady(t.Context(), 200*time.Millisecond, 2000)
	stop()
	if err != nil || len(got) != 400 {
		t.Fatalf("Got %d calls, %v, want 400", len(got), err)
	}
	// More calls are due than there are callers before anybody is served: the median of all waited.
	if q := quantilesOf(got); q.p50 < stands-200*time.Millisecond {
		t.Errorf("Half of the calls took less than %s, want the time from when they were due: at least %s", q.p50, stands-200*time.Millisecond)
	}
	<-ended
}

// late is a listener that nobody is accepted from before a time.
type late struct {
	net.Listener
	from time.Time
}

func (l late) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	time.Sleep(time.Until(l.from))
	return conn, err
}
