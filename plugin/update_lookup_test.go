package plugin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestHints: a claim has the addresses that its target has, and keeps them while it has none.
func TestHints(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	moved := func(q dns.Question) *dns.Msg {
		m := fileLike(q)
		if q.Qtype == dns.TypeA {
			m.Rcode, m.Answer = dns.RcodeSuccess, parseRecords(t, []string{q.Name + " 60 IN A 192.0.2.55"})
		}
		return m
	}
	for _, tt := range []struct {
		answer func(dns.Question) *dns.Msg
		want   string
	}{{zoneLike, "[192.0.2.5 2001:db8::5]"}, {fileLike, "[192.0.2.5 2001:db8::5]"}, {moved, "[192.0.2.55]"}} {
		w.Next = &below{answer: tt.answer}
		if m := w.send(t, sent{key: "any.", changes: service("kms5.example.org.")}); m.Rcode != dns.RcodeSuccess {
			t.Fatalf("Got %s", dns.RcodeToString[m.Rcode])
		}
		c := w.site.Registry.Snapshot().Claims[0]
		if fmt.Sprint(c.Hints) != tt.want || c.Source != netip.MustParseAddr("192.0.2.9") || time.Since(c.Updated) > time.Minute {
			t.Errorf("Got %+v, want hints %s", c, tt.want)
		}
	}
}

// TestUpdateLookups: what is looked up, and for whom.
func TestUpdateLookups(t *testing.T) {
	for name, tt := range map[string]struct {
		before []sent
		sent
		resolver, below []string
	}{
		"a target": {sent: sent{changes: service("kms9.example.org.")},
			resolver: []string{"kms9.example.org."}, below: []string{"A kms9.example.org.", "AAAA kms9.example.org."}},
		"one the zone behind has": {sent: sent{from: "192.0.2.5", changes: service("kms5.example.org.")},
			below: []string{"A kms5.example.org.", "AAAA kms5.example.org."}},
		"one of the Corefile": {sent: sent{changes: service("kms1.example.org.")}},
		"none of a stranger":  {sent: sent{from: "203.0.113.9", changes: service("kms9.example.org.")}},
		"none for a bad name": {sent: sent{changes: service("k_ms.example.org.")}},
		"none for the sender's own, taken back": {before: []sent{{changes: service("kms9.example.org.")}},
			sent: sent{changes: unservice("kms9.example.org.")}},
		"another's, taken back": {before: []sent{{changes: service("kms9.example.org.")}}, sent: sent{from: "192.0.2.8",
			changes: unservice("kms9.example.org.")},
			resolver: []string{"kms9.example.org."}, below: []string{"A kms9.example.org.", "AAAA kms9.example.org."}},
		"none of what is not there": {sent: sent{from: "192.0.2.8", changes: unservice("kms9.example.org.")}},
		"for a key the zone behind alone": {sent: sent{key: "any.", changes: service("kms9.example.org.")},
			below: []string{"A kms9.example.org.", "AAAA kms9.example.org."}},
		"none for a key": {before: []sent{{changes: service("kms9.example.org.")}}, sent: sent{key: "any.",
			changes: unservice("kms9.example.org.")}},
		"once for a target that announces its address": {sent: sent{changes: service("kms9.example.org.") + "; kms9.example.org. 60 IN A 192.0.2.9"},
			resolver: []string{"kms9.example.org."}, below: []string{"A kms9.example.org.", "AAAA kms9.example.org."}},
		"a target beside the address of another": {
			sent:     sent{changes: service("kms9.example.org.") + "; kms7.example.org. 60 IN A 192.0.2.9"},
			resolver: []string{"kms7.example.org.", "kms9.example.org."},
			below:    []string{"A kms7.example.org.", "AAAA kms7.example.org.", "A kms9.example.org.", "AAAA kms9.example.org."}},
		"a target whose address is taken back": {
			sent:     sent{changes: service("kms9.example.org.") + "; kms9.example.org. 0 NONE A 192.0.2.9"},
			resolver: []string{"kms9.example.org."},
			below:    []string{"A kms9.example.org.", "AAAA kms9.example.org.", "A kms9.example.org.", "AAAA kms9.example.org."}},
		"another's alone": {before: []sent{{changes: service("kms9.example.org.")}, {from: "192.0.2.8", changes: service("kms8.example.org.")}},
			sent:     sent{from: "192.0.2.77", changes: unservice("kms9.example.org.")},
			resolver: []string{"kms9.example.org."}, below: []string{"A kms9.example.org.", "AAAA kms9.example.org."}},
		"none of another zone": {sent: sent{changes: service("kms1.example.org.") + "; kms9.example.com. 60 IN A 192.0.2.9"}},
		"none for an address taken back": {sent: sent{changes: "kms9.example.org. 0 NONE A 192.0.2.9"},
			below: []string{"A kms9.example.org.", "AAAA kms9.example.org."}},
		"not again for an announced address": {before: []sent{{changes: "kms9.example.org. 60 IN A 192.0.2.9"}},
			sent: sent{changes: service("kms9.example.org.")}},
		"a prerequisite": {sent: sent{prerequisites: "www.example.org. 0 IN TXT one; www.example.org. 0 ANY ANY",
			changes: unservice("kms9.example.org.")},
			below: []string{"A www.example.org.", "AAAA www.example.org.", "TXT www.example.org."}},
	} {
		t.Run(name, func(t *testing.T) {
			u := settings()
			w := newUpdateWorld(t, &u, "kms1.example.org=up@192.0.2.1")
			for _, s := range tt.before {
				w.send(t, s)
			}
			next := w.Next.(*below)
			w.asked, next.asked = nil, nil
			w.send(t, tt.sent)
			if !slices.Equal(w.asked, tt.resolver) || !slices.Equal(next.asked, tt.below) {
				t.Errorf("Got %q of the resolver and %q of the next plugin, want %q and %q", w.asked, next.asked, tt.resolver, tt.below)
			}
		})
	}
}

// TestLookupsAreBounded: beyond what may be looked up at once, UPDATEs are put off at once.
func TestLookupsAreBounded(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	asking, answer := make(chan struct{}), make(chan struct{})
	w.updates.resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > lookupTime {
			t.Errorf("Got a look-up until %v, want a limit", deadline)
		}
		asking <- struct{}{}
		<-answer
		var all []netip.Addr
		for n := range maxLookups + 2 {
			all = append(all, netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}))
		}
		return all, nil
	}
	var senders sync.WaitGroup
	for n := range maxLookups {
		senders.Go(func() {
			from := fmt.Sprintf("192.0.2.%d", n/maxLookupsBy) // each as many as it may
			if m := w.send(t, sent{from: from, changes: service("kms9.example.org.")}); m.Rcode != dns.RcodeSuccess {
				t.Errorf("Got %s, want NOERROR", dns.RcodeToString[m.Rcode])
			}
		})
		<-asking
		if n == maxLookupsBy-1 {
			if m := w.send(t, sent{from: "192.0.2.0", changes: service("kms9.example.org.")}); m.Rcode != dns.RcodeServerFailure {
				t.Errorf("Got %s for one who asks for too many, want SERVFAIL", dns.RcodeToString[m.Rcode])
			}
		}
	}
	if m := w.send(t, sent{changes: service("kms9.example.org.")}); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("Got %s, want SERVFAIL", dns.RcodeToString[m.Rcode])
	}
	close(answer)
	senders.Wait()
	go func() { <-asking }()
	if m := w.send(t, sent{changes: service("kms9.example.org.")}); m.Rcode != dns.RcodeSuccess {
		t.Errorf("Got %s when all are over, want NOERROR", dns.RcodeToString[m.Rcode])
	}
}

// TestLookupsOfNewNames: that an address is nobody else's is looked up too, and not taken for granted when that cannot be.
func TestLookupsOfNewNames(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	for n := range maxLookups {
		w.updates.lookups.take(netip.AddrFrom4([4]byte{192, 0, 2, 100 + byte(n)}))
	}
	if m := w.send(t, sent{changes: "kms9.example.org. 60 IN A 192.0.2.9"}); m.Rcode != dns.RcodeServerFailure || len(w.state()) != 0 {
		t.Errorf("Got %s and %q, want SERVFAIL", dns.RcodeToString[m.Rcode], w.state())
	}
}

// slow is a next plugin that answers nothing until it is told to stop.
type slow struct{ below }

func (s *slow) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	<-ctx.Done()
	return s.below.ServeDNS(ctx, w, r)
}

// TestUpdateTakesNoLonger: what the next plugin cannot say in time is not taken for a no.
func TestUpdateTakesNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := settings()
		w := newUpdateWorld(t, &u, "kms1.example.org=up")
		w.Next = &slow{below{answer: fileLike}}
		began := time.Now()
		m := w.send(t, sent{changes: "kms9.example.org. 60 IN A 192.0.2.9"})
		if m.Rcode != dns.RcodeServerFailure || time.Since(began) != updateTime || len(w.state()) != 0 {
			t.Errorf("Got %s after %s and %q, want SERVFAIL after %s", dns.RcodeToString[m.Rcode], time.Since(began), w.state(), updateTime)
		}
	})
}

// TestManyRecords: as many records as a message can hold cost no look-up and no place in the registry's line.
func TestManyRecords(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	r := sent{changes: strings.Join(slices.Repeat([]string{"_vlmcs._tcp.example.org. 0 ANY SRV"}, 1000), "; ")}.message(t)
	r.Compress, r.Ns = true, slices.Concat(r.Ns, r.Ns, r.Ns, r.Ns, r.Ns)
	r = reread(t, r)
	w.site.Registry = nil // who asks it, panics
	if m := w.put(t, sent{tcp: true}, r); m.Rcode != dns.RcodeRefused || len(w.asked)+len(w.Next.(*below).asked) != 0 {
		t.Errorf("Got %s, and look-ups of %q", dns.RcodeToString[m.Rcode], w.asked)
	}
}
