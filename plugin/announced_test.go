package plugin

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

// announcedWorld has kms7, which announced two addresses and itself, and kms6, which announced an address alone.
func announcedWorld(t testing.TB) *updateWorld {
	t.Helper()
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	for _, changes := range []string{
		"kms7.example.org. 60 IN A 192.0.2.77; kms7.example.org. 60 IN AAAA 2001:db8::77; kms6.example.org. 60 IN A 192.0.2.66",
		service("KMS7.example.org."), service("kms5.example.com."),
	} {
		if m := w.send(t, sent{key: "any.", changes: changes}); m.Rcode != dns.RcodeSuccess {
			t.Fatalf("Got %s for %q", dns.RcodeToString[m.Rcode], changes)
		}
	}
	return w
}

// TestAddressesOfAClaim: what a host announced without a key is not answered before it proved itself.
func TestAddressesOfAClaim(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	changes := "kms7.example.org. 60 IN A 192.0.2.77; " + service("kms7.example.org.")
	if m := w.send(t, sent{from: "192.0.2.77", changes: changes}); m.Rcode != dns.RcodeSuccess {
		t.Fatalf("Got %s", dns.RcodeToString[m.Rcode])
	}
	question := newQuestion("kms7.example.org.", dns.TypeA)
	if m := ask(t, w.Handler, question, false); m.Rcode != dns.RcodeNameError {
		t.Errorf("Before: got %s", m)
	}
	w.site.Pool.Enlist(config.Host{Name: "kms7.example.org.", Port: 1688, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.77")}}, nil, true)
	if m := ask(t, w.Handler, question, false); len(m.Answer) != 1 {
		t.Errorf("Once it is offered: got %s", m)
	}
}

// TestAnnouncedAddresses: the addresses that announced hosts announced are answered, and no others.
func TestAnnouncedAddresses(t *testing.T) {
	w := announcedWorld(t)
	for name, tt := range map[string]struct {
		qname string
		qtype uint16
		do    bool
		want  string // answer, or authority of a denial
		below bool   // the next plugin is asked
	}{
		"A": {qname: "kms7.example.org.", qtype: dns.TypeA,
			want: "kms7.example.org.\t30\tIN\tA\t192.0.2.77"},
		"AAAA, spelled as asked": {qname: "Kms7.EXAMPLE.org.", qtype: dns.TypeAAAA,
			want: "Kms7.EXAMPLE.org.\t30\tIN\tAAAA\t2001:db8::77"},
		"to be signed": {qname: "Kms7.EXAMPLE.org.", qtype: dns.TypeAAAA, do: true,
			want: "kms7.example.org.\t30\tIN\tAAAA\t2001:db8::77"},
		"another type": {qname: "kms7.example.org.", qtype: dns.TypeTXT,
			want: "example.org.\t60\tIN\tSOA\tns1.example.org. root.example.org. 7 7200 1800 86400 60", below: true},
		"ANY": {qname: "kms7.example.org.", qtype: dns.TypeANY,
			want: "kms7.example.org.\t8482\tIN\tHINFO\t\"RFC8482\" \"\""},
		"of a name that is no host": {qname: "kms6.example.org.", qtype: dns.TypeA, want: "NXDOMAIN", below: true},
		"of a host in another zone": {qname: "kms5.example.com.", qtype: dns.TypeA, want: "NXDOMAIN", below: true},
		"below a host":              {qname: "a.kms7.example.org.", qtype: dns.TypeA, want: "NXDOMAIN", below: true},
		"of a host of the zone behind": {qname: "kms5.example.org.", qtype: dns.TypeA,
			want: "kms5.example.org.\t60\tIN\tA\t192.0.2.5", below: true},
	} {
		t.Run(name, func(t *testing.T) {
			next := w.Next.(*below)
			next.asked = nil
			m := ask(t, w.Handler, edns(newQuestion(tt.qname, tt.qtype), 1232, tt.do), false)
			got := dns.RcodeToString[m.Rcode]
			for _, rr := range slices.Concat(m.Answer, m.Ns) {
				if m.Rcode == dns.RcodeSuccess {
					got = rr.String()
				}
			}
			if got != tt.want || !m.Authoritative || len(m.Answer)+len(m.Ns) != 1 {
				t.Errorf("Got %s, want %q", m, tt.want)
			}
			if (len(next.asked) > 0) != tt.below {
				t.Errorf("Got %q of the next plugin", next.asked)
			}
		})
	}
	// What is taken back is not answered any more, nor is what belonged to a host that is gone.
	for _, tt := range []struct {
		changes string
		qtype   uint16
	}{{"kms7.example.org. 0 ANY AAAA", dns.TypeAAAA}, {unservice("kms7.example.org."), dns.TypeA}} {
		w.send(t, sent{key: "any.", changes: tt.changes})
		if m := ask(t, w.Handler, newQuestion("kms7.example.org.", tt.qtype), false); len(m.Answer) != 0 {
			t.Errorf("Got %v after %q", m.Answer, tt.changes)
		}
	}
}

// TestAnnouncedOfNobody: without update, or before there is a registry, names go to the next plugin as ever.
func TestAnnouncedOfNobody(t *testing.T) {
	u := settings()
	for _, update := range []bool{false, true} {
		s := site(t, "example.org.", "kms1.example.org=up")
		if update {
			s.Update = &u
		}
		next := &below{answer: zoneLike}
		if m := ask(t, newHandler(next, s), newQuestion("kms5.example.org.", dns.TypeA), false); len(m.Answer) != 1 || len(next.asked) != 1 {
			t.Errorf("Got %s", m)
		}
	}
}

// TestAnnouncedMissAllocatesNothing: names that are not ours come by here on their way to the next plugin.
func TestAnnouncedMissAllocatesNothing(t *testing.T) {
	w := announcedWorld(t)
	name := strings.Repeat("A", 60) + ".Example.ORG."
	if w.announced(name) != nil {
		t.Fatal("Got a host that nobody announced")
	}
	if n := testing.AllocsPerRun(100, func() { w.announced(name) }); n != 0 {
		t.Errorf("Got %v allocations, want none", n)
	}
	if got := w.announced("KMS7.Example.ORG."); got == nil || fmt.Sprint(got.addresses) != "[192.0.2.77 2001:db8::77]" {
		t.Errorf("Got %v", got)
	}
}

// TestAnnouncedOnTheWayToAnotherZone: a host whose name lies between the server block's zone and the zone of another of its
// blocks is told to clients, and so are its addresses.
func TestAnnouncedOnTheWayToAnotherZone(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	h := New([]*Site{w.site, site(t, "a.b.example.org.", "kms2.example.org=up")}, []string{"example.org."})
	h.Next = w.Next
	if m := ask(t, h, newQuestion("b.example.org.", dns.TypeA), false); m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 {
		t.Errorf("Before: got %s, want an empty answer: there is a zone below", m)
	}
	changes := "b.example.org. 60 IN A 192.0.2.77; " + service("b.example.org.")
	if m := w.send(t, sent{key: "any.", changes: changes}); m.Rcode != dns.RcodeSuccess {
		t.Fatalf("Got %s", dns.RcodeToString[m.Rcode])
	}
	if m := ask(t, h, newQuestion("b.example.org.", dns.TypeA), false); len(m.Answer) != 1 {
		t.Errorf("Got %s, want the address", m)
	}
	if m := ask(t, h, newQuestion("_tcp.a.b.example.org.", dns.TypeA), false); m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 {
		t.Errorf("Got %s, want an empty answer", m)
	}
}
