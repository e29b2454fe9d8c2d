package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestTransitions: all hosts, states and pools are summed, and other counters are not.
func TestTransitions(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("# TYPE coredns_kms_host_transitions_total counter\n" +
			"coredns_kms_host_transitions_total{host=\"a:1688\",pool=\"x\",to=\"up\"} 3\n" +
			"coredns_kms_host_transitions_total{host=\"b:1688\",pool=\"x\",to=\"suspect\"} 4\n" +
			"coredns_kms_answers_total{zone=\"x\"} 100\n"))
	}))
	defer s.Close()
	if got, err := transitions(t.Context(), strings.TrimPrefix(s.URL, "http://")); err != nil || got != 7 {
		t.Errorf("Got %v, %v, want 7", got, err)
	}
}

// TestFlapping: every other caller is hung up on while it is on, and none otherwise.
func TestFlapping(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	on := new(atomic.Bool)
	f := &flapping{Listener: ln, on: on}
	served := func(calls int) (n int) {
		for range calls {
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		for want := calls; want > 0; want-- {
			conn, err := f.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			n++
			if on.Load() {
				want-- // the one before was hung up on
			}
		}
		return n
	}
	if n := served(4); n != 4 {
		t.Errorf("%d of 4 are served while hosts are well", n)
	}
	on.Store(true)
	if n := served(4); n != 2 {
		t.Errorf("%d of 4 are served while hosts fail every other time, want 2", n)
	}
}
