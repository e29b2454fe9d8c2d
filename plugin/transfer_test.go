package plugin

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/plugin/transfer"

	"github.com/miekg/dns"
)

// TestTransfer: what the transfer plugin is given, and that nothing is left waiting for who does not read it.
func TestTransfer(t *testing.T) {
	s := cutSite(t, "example.org.", "kms1.example.org=up")
	plain := site(t, "example.net.", "kms1.example.org=up")
	h := newHandler(nil, s, plain)
	for _, zone := range []string{"example.org.", "example.net.", "_vlmcs._tcp.example.net.", "_tcp.example.org.", "x." + serviceOrg, "."} {
		if ch, err := h.Transfer(zone, 0); err != transfer.ErrNotAuthoritative || ch != nil {
			t.Errorf("%s: got %v, %v", zone, ch, err)
		}
	}
	serial := s.Journals[serviceOrg].SOA().Serial
	for name, tt := range map[string]struct {
		zone   string
		serial uint32
		want   int
	}{
		"whole":           {serviceOrg, 0, 5},
		"in another case": {"_VLMCS._tcp.Example.ORG.", 0, 5},
		"up to date":      {serviceOrg, serial, 1},
		"too old":         {serviceOrg, serial - 1, 5},
	} {
		ch, err := h.Transfer(tt.zone, tt.serial)
		if err != nil {
			t.Fatal(err)
		}
		var got []dns.RR
		for rrs := range ch {
			got = append(got, rrs...)
		}
		if len(got) != tt.want || got[0].(*dns.SOA).Serial != serial {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for _, qtype := range []uint16{dns.TypeAXFR, dns.TypeIXFR} { // without the transfer plugin
		rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: true})
		if code, err := h.ServeDNS(context.Background(), rec, newQuestion(serviceOrg, qtype)); code != dns.RcodeRefused || err != nil || rec.Msg != nil {
			t.Errorf("%s: got code %d, %v, %v", dns.TypeToString[qtype], code, err, rec.Msg)
		}
	}
}

// TestQueriesDuringChanges is for the race detector: queries and transfers while versions are made and feeds replaced.
func TestQueriesDuringChanges(t *testing.T) {
	s := cutSite(t, "example.org.", "kms1.example.org=up@192.0.2.1 kms2.example.org=up")
	j := s.Journals[serviceOrg]
	running(t, j)
	h := newHandler(&below{answer: nil}, s)
	done := make(chan struct{})
	var wg sync.WaitGroup
	ask := func(name string, qtype uint16) func() {
		return func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				rec := dnstest.NewRecorder(&test.ResponseWriter{})
				if _, err := h.ServeDNS(context.Background(), rec, newQuestion(name, qtype)); err != nil || rec.Msg == nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if _, err := rec.Msg.Pack(); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		}
	}
	wg.Go(ask(serviceOrg, dns.TypeSOA))
	wg.Go(ask(serviceOrg, dns.TypeNS))
	wg.Go(ask(serviceOrg, dns.TypeSRV))
	wg.Go(ask(serviceOrg, dns.TypeTXT))
	wg.Go(ask("x."+serviceOrg, dns.TypeTXT))
	wg.Go(func() {
		had, serial := []dns.RR(nil), uint32(0)
		for {
			select {
			case <-done:
				return
			default:
			}
			ch, err := h.Transfer(serviceOrg, serial)
			if err != nil {
				t.Error(err)
				return
			}
			rrs := <-ch
			if len(rrs) > 1 {
				had = replay(t, had, rrs)
			}
			serial = rrs[0].(*dns.SOA).Serial
			if len(had) < 4 || len(had) > 5 {
				t.Errorf("Version %d has %v", serial, had)
			}
		}
	})
	for i := range 200 {
		if i%2 == 0 {
			s.Pool.Advertise(node)
		} else {
			s.Pool.Withdraw()
		}
		// Without waiting ten seconds for each.
		j.mu.Lock()
		j.published, j.settled = time.Time{}, time.Time{}
		j.advance(time.Now())
		j.mu.Unlock()
		if i%20 == 0 {
			j.Configure(Feed{Site: s, Zone: "example.org."})
		}
	}
	close(done)
	wg.Wait()
	if len(j.state.Load().changes) != maxChanges {
		t.Errorf("%d versions are kept", len(j.state.Load().changes))
	}
}
