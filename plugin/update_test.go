package plugin

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/registry"
	"github.com/coredns-kms/coredns-kms/internal/store"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// count is how many UPDATEs of example.org ended as r.
func count(t testing.TB, r updateResult) float64 {
	t.Helper()
	return testutil.ToFloat64(updatesTotal.WithLabelValues("example.org.", r.String()))
}

// taker is the next plugin, which says of itself that it was asked.
type taker struct{ opcodes []int }

func (k *taker) Name() string { return "dynupdate" }

func (k *taker) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	k.opcodes = append(k.opcodes, r.Opcode)
	m := new(dns.Msg)
	m.SetRcode(r, dns.RcodeStatefulTypeNotImplemented) // nobody else says that
	if r.Opcode == dns.OpcodeQuery {
		m.Rcode = dns.RcodeNameError
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// TestUpdateZoneSection is RFC 2136 3.1, and to whom an UPDATE goes that is not ours.
func TestUpdateZoneSection(t *testing.T) {
	const passed = dns.RcodeStatefulTypeNotImplemented
	const address = "kms9.example.org. 60 IN A 192.0.2.9"
	nine := service("kms9.example.org.")
	for name, tt := range map[string]struct {
		zone          dns.Question
		prerequisites string
		changes       string
		from          string
		claimed       bool // kms9 is announced before
		rcode         int  // without the dynupdate plugin
		dynupdate     int  // with it
	}{
		"3.1.1 ZTYPE not SOA: FORMERR":   {zone: dns.Question{Name: "example.org.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET}, changes: nine, rcode: dns.RcodeFormatError, dynupdate: dns.RcodeFormatError},
		"3.1.1 ZTYPE ANY: FORMERR":       {zone: dns.Question{Name: "example.org.", Qtype: dns.TypeANY, Qclass: dns.ClassINET}, changes: nine, rcode: dns.RcodeFormatError, dynupdate: dns.RcodeFormatError},
		"3.1.1 the form before the zone": {zone: dns.Question{Name: "example.com.", Qtype: dns.TypeSRV, Qclass: dns.ClassINET}, rcode: dns.RcodeFormatError, dynupdate: dns.RcodeFormatError},
		"3.1.1 another zone: NOTAUTH": {zone: soaOf("example.com."), changes: nine, rcode: dns.RcodeNotAuth,
			dynupdate: passed},
		"3.1.1 a zone above ours: NOTAUTH": {zone: soaOf("org."), changes: nine, rcode: dns.RcodeNotAuth,
			dynupdate: passed},
		"3.1.1 a name in our zone: NOTAUTH": {zone: soaOf("_tcp.example.org."), changes: nine, rcode: dns.RcodeNotAuth,
			dynupdate: passed},
		"3.1.1 a made-up name: NOTAUTH": {zone: soaOf("kms-192-0-2-7.example.org."), rcode: dns.RcodeNotAuth,
			dynupdate: passed},
		"3.1.1 another class: NOTAUTH":  {zone: dns.Question{Name: "example.org.", Qtype: dns.TypeSOA, Qclass: dns.ClassCHAOS}, changes: nine, rcode: dns.RcodeNotAuth, dynupdate: passed},
		"3.1.1 our zone":                {zone: soaOf("Example.org."), changes: nine},
		"3.1.1 the zone of the service": {zone: soaOf("_VLMCS._tcp.example.org."), changes: nine},

		"nothing in our zone": {zone: soaOf("example.org."), dynupdate: passed},
		"nothing of a stranger": {zone: soaOf("example.org."), from: "203.0.113.9", rcode: dns.RcodeNotAuth,
			dynupdate: passed},
		"nothing in the zone of the service": {zone: soaOf("_vlmcs._tcp.example.org.")},
		"other names": {zone: soaOf("example.org."),
			changes: "_ldap._tcp.example.org. 60 IN SRV 0 0 389 dc.example.org.", rcode: dns.RcodeNotAuth,
			dynupdate: passed},
		"a prerequisite of ours, and other names": {zone: soaOf("example.org."),
			prerequisites: "_vlmcs._tcp.example.org. 0 ANY SRV", changes: "new.example.org. 60 IN TXT one",
			rcode: dns.RcodeNotAuth, dynupdate: passed},
		"only a prerequisite of ours": {zone: soaOf("example.org."),
			prerequisites: "_vlmcs._tcp.example.org. 0 ANY SRV"},
		"only another prerequisite": {zone: soaOf("example.org."), prerequisites: "www.example.org. 0 NONE CNAME",
			dynupdate: passed},
		"only another prerequisite that does not hold": {zone: soaOf("example.org."), prerequisites: "www.example.org. 0 ANY CNAME",
			rcode: dns.RcodeNXRrset, dynupdate: passed},
		"only another prerequisite of a stranger": {zone: soaOf("example.org."), from: "203.0.113.9",
			prerequisites: "www.example.org. 0 NONE CNAME", rcode: dns.RcodeNotAuth, dynupdate: passed},
		"a name of another zone": {zone: soaOf("example.org."),
			changes: "kms9.example.com. 60 IN A 192.0.2.9", rcode: dns.RcodeNotZone, dynupdate: passed},
		"the address of a host": {zone: soaOf("example.org."), changes: address, dynupdate: passed},
		"the address of a stranger": {zone: soaOf("example.org."), from: "203.0.113.9", changes: address,
			rcode: dns.RcodeNotAuth, dynupdate: passed},
		"the address of an announced host": {zone: soaOf("example.org."), claimed: true, changes: address,
			dynupdate: passed},
		"a stranger for that of an announced host": {zone: soaOf("example.org."), from: "203.0.113.9", claimed: true,
			changes: address, rcode: dns.RcodeRefused, dynupdate: passed},
		"the address of a host that announces more": {zone: soaOf("example.org."), changes: address + "; " + nine},
		"the text of a host": {zone: soaOf("example.org."),
			changes: "kms9.example.org. 60 IN TXT one", rcode: dns.RcodeNotAuth, dynupdate: passed},
		"ours and others'": {zone: soaOf("example.org."),
			changes: nine + "; new.example.org. 60 IN TXT one", rcode: dns.RcodeRefused, dynupdate: dns.RcodeRefused},
		"others' and ours": {zone: soaOf("example.org."),
			changes: "new.example.org. 60 IN TXT one; " + nine, rcode: dns.RcodeRefused, dynupdate: dns.RcodeRefused},
	} {
		for _, dynupdate := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dynupdate %t", name, dynupdate), func(t *testing.T) {
				u, next := settings(), &taker{}
				w := newUpdateWorld(t, &u, "kms1.example.org=up 192.0.2.7=up")
				if tt.claimed {
					w.send(t, sent{changes: nine})
				}
				w.Next, w.Dynupdate = next, dynupdate
				m := sent{prerequisites: tt.prerequisites, changes: tt.changes}.message(t)
				m.Question[0] = tt.zone
				got, want := w.put(t, sent{from: tt.from}, m), tt.rcode
				if dynupdate {
					want = tt.dynupdate
				}
				if got.Rcode != want {
					t.Errorf("Got %s, want %s", dns.RcodeToString[got.Rcode], dns.RcodeToString[want])
				}
				if slices.Contains(next.opcodes, dns.OpcodeUpdate) != (want == passed) {
					t.Errorf("Got opcodes %v at the next plugin", next.opcodes)
				}
			})
		}
	}
}

func soaOf(zone string) dns.Question {
	return dns.Question{Name: zone, Qtype: dns.TypeSOA, Qclass: dns.ClassINET}
}

// TestUpdateZoneSectionCount is the rest of RFC 2136 3.1.1, which CoreDNS itself sees to.
func TestUpdateZoneSectionCount(t *testing.T) {
	u := settings()
	for _, n := range []int{0, 2} {
		w := newUpdateWorld(t, &u, "kms1.example.org=up")
		m := sent{changes: service("kms9.example.org.")}.message(t)
		m.Question = slices.Repeat(m.Question, n)
		if got := w.put(t, sent{}, m); got.Rcode != dns.RcodeFormatError {
			t.Errorf("Got %s for %d zones, want FORMERR", dns.RcodeToString[got.Rcode], n)
		}
	}
}

// TestUpdateReply is RFC 2136 3.8: the reply is to this request, with its zone and nothing else in it.
func TestUpdateReply(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	for _, s := range []sent{
		{changes: service("kms9.example.org.")},
		{prerequisites: "_vlmcs._tcp.example.org. 0 NONE ANY", changes: service("kms9.example.org.")},
		{key: "any.", changes: service("kms9.example.org.")},
	} {
		r := s.message(t)
		r.SetEdns0(1232, false)
		r.RecursionDesired, r.Authoritative = true, true // bits that mean nothing here
		m := w.put(t, s, r)
		if m.Id != r.Id || m.Opcode != dns.OpcodeUpdate || !m.Response || m.Authoritative || m.RecursionDesired {
			t.Errorf("Got header %v", m.MsgHdr)
		}
		if len(m.Question) != 1 || m.Question[0] != r.Question[0] || len(m.Answer)+len(m.Ns) != 0 || len(m.Extra) != 1 || m.IsEdns0() == nil {
			t.Errorf("Got %s", m)
		}
	}
}

// TestUpdateIsAtomic is RFC 2136 3.7: of what is refused nothing is done, wherever in it the reason stands.
func TestUpdateIsAtomic(t *testing.T) {
	good := []string{service("kms9.example.org."), unservice("kms8.example.org."), "kms9.example.org. 60 IN A 192.0.2.9"}
	for _, bad := range []string{"_vlmcs._tcp.example.org. 60 IN TXT one", service("kms5.example.org."), unservice("kms1.example.org."),
		"_vlmcs._tcp.example.org. 1 ANY SRV", "kms9.example.com. 60 IN A 192.0.2.9"} {
		for at := range len(good) + 1 {
			u := settings()
			w := newUpdateWorld(t, &u, "kms1.example.org=up")
			w.send(t, sent{key: "any.", changes: service("kms8.example.org.")})
			before := w.state()
			s := sent{changes: strings.Join(slices.Insert(slices.Clone(good), at, bad), "; ")}
			w.resolver["kms8.example.org."] = "192.0.2.9" // it may take that back
			if m := w.send(t, s); m.Rcode == dns.RcodeSuccess || !slices.Equal(w.state(), before) {
				t.Errorf("Got %s and %q for %q, want %q", dns.RcodeToString[m.Rcode], w.state(), s.changes, before)
			}
		}
	}
}

// TestUpdateSystemFailure is RFC 2136 3.4.2.1 and 3.5: what cannot be kept is SERVFAIL and not done; what is acknowledged
// is kept.
func TestUpdateSystemFailure(t *testing.T) {
	u := settings()
	path := filepath.Join(t.TempDir(), "store")
	st, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if w.site.Registry, err = registry.New(u, "test", st); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { w.site.Registry.Run(ctx) })
	if m := w.send(t, sent{changes: service("kms9.example.org.")}); m.Rcode != dns.RcodeSuccess {
		t.Fatalf("Got %s", dns.RcodeToString[m.Rcode])
	}
	kept := w.state()
	st.Close()
	for _, ended := range []bool{false, true} {
		if ended {
			cancel()
			running.Wait()
		}
		if m := w.send(t, sent{from: "192.0.2.8", changes: service("kms8.example.org.")}); m.Rcode != dns.RcodeServerFailure || !slices.Equal(w.state(), kept) {
			t.Errorf("Got %s and %q, want SERVFAIL and %q", dns.RcodeToString[m.Rcode], w.state(), kept)
		}
	}
	if st, err = store.Open(path); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if w.site.Registry, err = registry.New(u, "test", st); err != nil || !slices.Equal(w.state(), kept) {
		t.Errorf("Got %q, %v after a restart, want %q", w.state(), err, kept)
	}
}

// TestObserve: everybody is refused, and remembered.
func TestObserve(t *testing.T) {
	u := settings()
	u.Observe = true
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	counted := count(t, updateObserved)
	for i, s := range []sent{{from: "203.0.113.9"}, {}, {key: "any."}, {zone: "_vlmcs._tcp.example.org."}} {
		s.changes = service("kms9.example.org.") + "; " + unservice("kms1.example.org.")
		if m := w.send(t, s); m.Rcode != dns.RcodeRefused || len(w.state()) != 0 {
			t.Errorf("Got %s and %q, want REFUSED and nothing", dns.RcodeToString[m.Rcode], w.state())
		}
		if got := count(t, updateObserved); got != counted+float64(i)+1 {
			t.Errorf("Got %v counted", got)
		}
	}
	all := w.site.Registry.Attempts()
	if len(all) != 4 || all[1].Key != "any." || all[3].From.Addr() != netip.MustParseAddr("203.0.113.9") || all[3].Zone != "example.org." || all[3].Accepted {
		t.Fatalf("Got %+v", all)
	}
	want := []string{"add _vlmcs._tcp.example.org. SRV 0 0 1688 kms9.example.org.", "delete _vlmcs._tcp.example.org. SRV 0 0 1688 kms1.example.org."}
	if !slices.Equal(all[3].Records, want) || all[3].What != strings.Join(want, ", ") {
		t.Errorf("Got %+v", all[3])
	}
	if len(w.asked) != 0 {
		t.Errorf("Got look-ups of %q, want none", w.asked)
	}
}

// TestNoRegistry: where nothing can be kept, those who may announce are told that it is not their fault.
func TestNoRegistry(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	w.site.Registry = nil
	for from, want := range map[string]int{"192.0.2.9": dns.RcodeServerFailure, "203.0.113.9": dns.RcodeRefused} {
		if m := w.send(t, sent{from: from, changes: service("kms9.example.org.")}); m.Rcode != want || len(w.asked) != 0 {
			t.Errorf("Got %s for %s, want %s", dns.RcodeToString[m.Rcode], from, dns.RcodeToString[want])
		}
	}
	if m := w.send(t, sent{changes: "kms9.example.org. 60 IN A 192.0.2.9"}); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("Got %s for an address, want SERVFAIL: it would be taken otherwise", dns.RcodeToString[m.Rcode])
	}
}

// TestNoUpdateBlock: what a block without update has is not given to the dynupdate plugin, which would keep what nobody sees.
func TestNoUpdateBlock(t *testing.T) {
	w := newUpdateWorld(t, nil, "kms1.example.org=up")
	next := &taker{}
	w.Next, w.Dynupdate = next, true
	for _, s := range []sent{{changes: service("kms9.example.org.")}, {zone: "_vlmcs._tcp.example.org."}, {key: "any.", changes: "_vlmcs._tcp.example.org. 0 ANY ANY"}} {
		if m := w.send(t, s); m.Rcode != dns.RcodeRefused {
			t.Errorf("Got %s for %+v, want REFUSED", dns.RcodeToString[m.Rcode], s)
		}
	}
	if len(next.opcodes) != 0 {
		t.Errorf("Got %v at the next plugin", next.opcodes)
	}
	for dynupdate, want := range map[bool]int{true: dns.RcodeStatefulTypeNotImplemented, false: dns.RcodeNotAuth} {
		w.Dynupdate = dynupdate
		if m := w.send(t, sent{changes: "kms9.example.org. 60 IN A 192.0.2.9"}); m.Rcode != want {
			t.Errorf("Got %s for an address, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[want])
		}
	}
}

// TestUpdateOfApex: where the service name is a zone of its own, it has SOA and NS records, which stay as they are.
func TestUpdateOfApex(t *testing.T) {
	u := settings()
	s := cutSite(t, "example.org.", "kms1.example.org=up")
	s.Update, s.Registry = &u, runRegistry(t, u)
	w := &updateWorld{site: s, Handler: newHandler(nil, s)}
	soa := s.Journals[serviceOrg].SOA()
	data := func(serial uint32) string {
		return fmt.Sprintf("SOA %s %s %d 60 30 1209600 5", soa.Ns, soa.Mbox, serial)
	}
	for name, tt := range map[string]struct {
		prerequisites, changes string
		rcode                  int
	}{
		"in use":                 {prerequisites: serviceOrg + " 0 ANY SOA; " + serviceOrg + " 0 ANY NS"},
		"an older SOA":           {changes: serviceOrg + " 60 IN " + data(soa.Serial)},
		"a newer SOA":            {changes: serviceOrg + " 60 IN " + data(soa.Serial+1), rcode: dns.RcodeRefused},
		"SOA deleted":            {changes: serviceOrg + " 0 ANY SOA; " + serviceOrg + " 0 NONE " + data(soa.Serial)},
		"NS deleted":             {changes: serviceOrg + " 0 ANY NS"},
		"one NS deleted":         {changes: serviceOrg + " 0 NONE NS ns1.example.org.", rcode: dns.RcodeRefused},
		"NS that is there":       {changes: serviceOrg + " 60 IN NS ns1.example.org."},
		"NS that is not":         {changes: serviceOrg + " 60 IN NS ns9.example.org.", rcode: dns.RcodeRefused},
		"all but SOA and NS":     {changes: serviceOrg + " 0 ANY ANY", rcode: dns.RcodeRefused}, // a host of the Corefile
		"SOA where none belongs": {changes: "a." + serviceOrg + " 60 IN " + data(1), rcode: dns.RcodeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			m := w.send(t, sent{zone: serviceOrg, key: "any.", prerequisites: tt.prerequisites, changes: tt.changes})
			if m.Rcode != tt.rcode {
				t.Errorf("Got %s, %q, want %s", dns.RcodeToString[m.Rcode], s.Registry.Attempts()[0].Reason, dns.RcodeToString[tt.rcode])
			}
		})
	}
}

// TestUpdateOfDelegatedZone: where the service name alone is delegated to this server, it is the only zone to update.
func TestUpdateOfDelegatedZone(t *testing.T) {
	u := settings()
	s := cutSite(t, serviceOrg, "kms1.example.org=up")
	s.Update, s.Registry = &u, runRegistry(t, u)
	w := &updateWorld{site: s, Handler: delegated(nil, s)}
	for zone, want := range map[string]int{serviceOrg: dns.RcodeSuccess, "example.org.": dns.RcodeNotAuth, "_tcp.example.org.": dns.RcodeNotAuth} {
		if m := w.send(t, sent{zone: zone, key: "any.", changes: service("kms9.example.org.")}); m.Rcode != want {
			t.Errorf("Got %s for %s, want %s", dns.RcodeToString[m.Rcode], zone, dns.RcodeToString[want])
		}
	}
}

// TestSeveralZones: who publishes in more than one zone of a block is one host.
func TestSeveralZones(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	w.site.Zones = []string{"example.org.", "example.net."}
	w.Handler = New([]*Site{w.site}, w.site.Zones)
	w.updates.resolve = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.9")}, nil
	}
	for range 2 {
		for _, zone := range w.site.Zones {
			m := w.send(t, sent{zone: zone, changes: "_vlmcs._tcp." + zone + " 60 IN SRV 0 0 1688 kms9.example.org."})
			if got := w.state(); m.Rcode != dns.RcodeSuccess || len(got) != 1 {
				t.Errorf("Got %s and %q after %s, want one host", dns.RcodeToString[m.Rcode], got, zone)
			}
		}
	}
}
