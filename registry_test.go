package kms

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
)

// announce has kms9, a host at port, announced to s.
func (s *server) announce(port int) {
	s.t.Helper()
	m := new(dns.Msg)
	m.SetUpdate("example.org.")
	for _, text := range []string{"kms9.example.org. 60 IN A 127.0.0.1", fmt.Sprintf("%s 60 IN SRV 0 0 %d kms9.example.org.", service, port)} {
		rr, err := dns.NewRR(text)
		if err != nil {
			s.t.Fatal(err)
		}
		m.Insert([]dns.RR{rr})
	}
	r, err := dns.Exchange(m, s.udp(0))
	if err != nil || r.Rcode != dns.RcodeSuccess {
		s.t.Fatal(r, err)
	}
}

// TestAnnouncedHostsSurviveAnotherStore: a reload that names a store for the first time, another one, or none, loses nobody,
// and neither does one that fails. Whoever was announced before is there after a restart.
func TestAnnouncedHostsSurviveAnotherStore(t *testing.T) {
	a, b := freePort(t), freePort(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	with := func(extra string, rehearsed ...int) string {
		return corefile(0, []int{a}, append([]int{a, b}, rehearsed...), "update {\n allow 127.0.0.0/8\n }\n"+extra)
	}
	first, second := "store "+filepath.Join(dir, "1.db"), "store "+filepath.Join(dir, "2.db")
	both := fmt.Sprintf("0 %d, 0 %d", min(a, b), max(a, b))

	s := start(t, with(""))
	s.announce(b)
	eventually(t, both, func() string { return targets(s.ask(service)) })
	for _, extra := range []string{first, second, "", first} {
		if err := s.reload(with(extra)); err != nil {
			t.Fatal(err)
		}
		if got := targets(s.ask(service)); got != both {
			t.Errorf("After a reload to %q: %s, want %s", extra, got, both)
		}
	}
	if err := s.reload(with(second, taken.Addr().(*net.TCPAddr).Port)); err == nil {
		t.Fatal("A reload that cannot listen did not fail")
	}
	if got := targets(s.ask(service)); got != both {
		t.Errorf("After a reload that failed: %s, want %s", got, both)
	}
	s.announce(b)
	s.stop()

	s = start(t, with(first))
	eventually(t, both, func() string { return targets(s.ask(service)) })
	s.nothingLeft()
}
