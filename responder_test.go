package kms

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// responding is a Corefile with a responder at port in front of rehearsal hosts at hosts.
func responding(dnsPort, port int, hosts []int, inside, extra string) string {
	return corefile(dnsPort, hosts, hosts, fmt.Sprintf("responder 127.0.0.1:%d {\n %s\n }\n %s", port, inside, extra))
}

// clients is n rehearsal clients that ask at port.
func clients(n, port int) *kmsresponder.Fleet {
	f := kmsresponder.NewFleet(n, kmsresponder.RehearsalClient{
		Name: "TEST", Suffixes: []string{"example.org"},
		Discover: func(context.Context, string) ([]kmsresponder.SRV, error) {
			return []kmsresponder.SRV{{Target: "127.0.0.1", Port: uint16(port)}}, nil
		},
	})
	f.Parallel = 4
	return f
}

func TestResponderServesAndIsAdvertised(t *testing.T) {
	a, port := freePort(t), freePort(t)
	s := start(t, responding(0, port, []int{a}, "advertise node.example.org priority 0", ""))
	eventually(t, fmt.Sprintf("kms1.example.org:%d up", a), states)
	if got, want := targets(s.ask(service)), fmt.Sprintf("0 %d, 0 %d", min(a, port), max(a, port)); got != want {
		t.Errorf("Answer %q, want %q", got, want)
	}
	f := clients(30, port)
	f.Round(t.Context(), nil)
	if r := f.Round(t.Context(), nil); r.Activated != 30 || r.Count != 30 {
		t.Errorf("%d of 30 activated, count %d", r.Activated, r.Count)
	}
	if err := s.reload(corefile(0, []int{a}, []int{a}, "")); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		c.Close()
		t.Error("The responder listens after it is gone from the Corefile")
	}
	if got, want := targets(s.ask(service)), fmt.Sprintf("0 %d", a); got != want {
		t.Errorf("Answer without a responder %q, want %q", got, want)
	}
	s.nothingLeft()
}

// TestNoCallIsLostInReloads: clients call while good and bad configurations come and go, and while the last one ends.
func TestNoCallIsLostInReloads(t *testing.T) {
	a, b, port := freePort(t), freePort(t), freePort(t)
	// The hosts are processes of their own as far as the server is concerned: they do not end with it.
	hosts := startHosts(t, a, b)
	text := func(inside string) string {
		return corefile(0, []int{a, b}, nil, fmt.Sprintf("responder 127.0.0.1:%d {\n%s\n}", port, inside))
	}
	s := start(t, text("limit rate 1000000"))
	eventually(t, fmt.Sprintf("kms1.example.org:%d up, kms2.example.org:%d up", a, b), states)
	var stop atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		f := clients(1, port)
		f.Clients[0].Name = fmt.Sprintf("LOAD-%d", i)
		wg.Go(func() {
			for !stop.Load() {
				r := f.Round(t.Context(), nil)
				if tries := r.Attempts[0].Tries; len(tries) != 1 || tries[0].Err != nil || tries[0].HRESULT != 0 {
					t.Errorf("Lost: %+v", r.Attempts[0])
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := range 5 {
		if err := s.reload(text(fmt.Sprintf("limit rate %d", 1000000-i))); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"limit rate 0", "warm 10\n}\nresponder 127.0.0.1:1 {"} {
			if err := s.reload(text(bad)); err == nil {
				t.Fatal("A bad file is taken")
			}
		}
	}
	n := calls.Load()
	eventually(t, "true", func() string { return fmt.Sprint(calls.Load() > n+100 || t.Failed()) })
	stop.Store(true)
	wg.Wait()
	t.Logf("%d calls", calls.Load())
	s.stop()
	hosts()
	eventually(t, "0", func() string { return fmt.Sprint(ours()) })
}

// startHosts runs rehearsal hosts at ports until the function it returns is called.
func startHosts(t *testing.T, ports ...int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, p := range ports {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := (&kmsresponder.Rehearsal{}).Serve(ctx, ln); err != nil {
				t.Error(err)
			}
		})
	}
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

// TestAFailedReloadGivesTheResponderBack: what the discarded configuration told it is undone.
func TestAFailedReloadGivesTheResponderBack(t *testing.T) {
	a, b, port := freePort(t), freePort(t), freePort(t)
	s := start(t, responding(0, port, []int{a}, "", ""))
	eventually(t, fmt.Sprintf("kms1.example.org:%d up", a), states)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	// The new one lets nobody in, points elsewhere, and then fails to open its second rehearsal host.
	bad := corefile(0, []int{b}, []int{b}, fmt.Sprintf("responder 127.0.0.1:%d {\n allow 192.0.2.0/24\n }", port)) +
		fmt.Sprintf("example.net:0 {\n kms {\n host x.example.net\n rehearse %s\n }\n}\n", taken.Addr())
	if err := s.reload(bad); err == nil {
		t.Fatal("The bad file is taken")
	}
	if r := clients(1, port).Round(t.Context(), nil); r.Count != 1 {
		t.Errorf("After a failed reload: %+v", r.Attempts[0])
	}
	s.nothingLeft()
}

func TestOneResponderAnAddress(t *testing.T) {
	a, port := freePort(t), freePort(t)
	two := responding(0, port, []int{a}, "", "") +
		strings.ReplaceAll(strings.ReplaceAll(responding(0, port, []int{a}, "", ""), "example.org:0", "example.net:0"), "rehearse", "#")
	s := start(t, responding(0, port, []int{a}, "", ""))
	if err := s.reload(two); err == nil || !strings.Contains(err.Error(), "two kms blocks") {
		t.Errorf("Got %v", err)
	}
	s.nothingLeft()
}

// TestTwoRespondersOfOnePool: both are in the metrics, as they are in the status.
func TestTwoRespondersOfOnePool(t *testing.T) {
	a, one, two := freePort(t), freePort(t), freePort(t)
	other := strings.ReplaceAll(responding(0, two, []int{a}, "", ""), "example.org:0", "example.net:0")
	s := start(t, responding(0, one, []int{a}, "", "")+strings.ReplaceAll(other, "rehearse", "#"))
	if all := gateways(); len(pools()) != 1 || len(all[pools()[0].Name]) != 2 {
		t.Errorf("%d pools, responders %v: want two in front of one pool", len(pools()), all)
	}
	s.nothingLeft()
}

// TestReloadChangesARehearsalHost: its rules change, its clients stay counted.
func TestReloadChangesARehearsalHost(t *testing.T) {
	a := freePort(t)
	s := start(t, corefile(0, []int{a}, []int{a}, ""))
	f := clients(3, a)
	if r := f.Round(t.Context(), nil); r.Count != 3 {
		t.Fatalf("Count %d", r.Count)
	}
	block := fmt.Sprintf("rehearse 127.0.0.1:%d {\n secret other\n }", a)
	if err := s.reload(corefile(0, []int{a}, nil, block)); err != nil {
		t.Fatal(err)
	}
	if r := f.Round(t.Context(), nil); r.Count != 0 {
		t.Errorf("With another secret the host still answers: %+v", r.Attempts[0])
	}
	if err := s.reload(corefile(0, []int{a}, []int{a}, "")); err != nil {
		t.Fatal(err)
	}
	if r := clients(4, a).Round(t.Context(), nil); r.Count != 4 {
		t.Errorf("Count %d after reloads, want the 3 clients of before and a new one", r.Count)
	}
	s.nothingLeft()
}
