package plugin

import (
	"slices"
	"strings"
	"testing"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/test"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

// cutSite is a block whose service names are zones of their own, with journals that nobody runs.
func cutSite(t testing.TB, zone, script string) *Site {
	t.Helper()
	s := site(t, zone, script)
	s.NS = []string{"ns1.example.org.", "ns2.example.org."}
	s.Journals = make(map[string]*Journal)
	for _, zone := range s.Zones {
		s.Journals[config.ServiceName(zone)] = NewJournal(Feed{Site: s, Zone: zone})
	}
	return s
}

// delegated is a handler whose server block has the service name alone.
func delegated(next plugin.Handler, sites ...*Site) *Handler {
	h := New(sites, []string{serviceOrg})
	h.Next, h.Checked = next, func() bool { return true }
	return h
}

// sections is the records of m in words, each with its section: "answer SRV _vlmcs._tcp.example.org.".
func sections(m *dns.Msg) string {
	all := []string{dns.RcodeToString[m.Rcode]}
	add := func(section string, rrs []dns.RR) {
		for _, rr := range rrs {
			word := section + " " + dns.TypeToString[rr.Header().Rrtype] + " " + rr.Header().Name
			if soa, ok := rr.(*dns.SOA); ok {
				word += " by " + soa.Ns
			}
			all = append(all, word)
		}
	}
	add("answer", m.Answer)
	add("authority", m.Ns)
	add("additional", m.Extra)
	return strings.Join(all, ", ")
}

const (
	cutDenial  = "authority SOA _vlmcs._tcp.example.org. by ns1.example.org."
	zoneDenial = "authority SOA example.org. by ns1.example.org."
)

// TestCut: what a zone of its own answers, over a zone of this server and delegated to it by another.
func TestCut(t *testing.T) {
	const (
		hosts    = "kms1.example.org=up@192.0.2.1 192.0.2.9/1=up"
		madeOver = "kms-192-0-2-9.example.org."
		madeIn   = "kms-192-0-2-9._vlmcs._tcp.example.org."
		services = "answer SRV _vlmcs._tcp.example.org., answer SRV _vlmcs._tcp.example.org."
	)
	for name, tt := range map[string]struct {
		qname     string
		qtype     uint16
		overlaid  string // what is answered over example.org; "below" if the next plugin is left to answer
		delegated string // what is answered where _vlmcs._tcp.example.org is all of the server block
	}{
		"SOA": {serviceOrg, dns.TypeSOA,
			"NOERROR, answer SOA _vlmcs._tcp.example.org. by ns1.example.org.", "the same"},
		"NS": {serviceOrg, dns.TypeNS,
			"NOERROR, answer NS _vlmcs._tcp.example.org., answer NS _vlmcs._tcp.example.org.", "the same"},
		// Nobody would believe us the address of a host that is outside of our zone.
		"SRV": {serviceOrg, dns.TypeSRV,
			"NOERROR, " + services + ", additional A kms1.example.org., additional A " + madeOver,
			"NOERROR, " + services + ", additional A " + madeIn},
		"another type":                  {serviceOrg, dns.TypeTXT, "NOERROR, " + cutDenial, "the same"},
		"DS is the parent's":            {serviceOrg, dns.TypeDS, "NOERROR, " + zoneDenial, "NOERROR, " + cutDenial},
		"a name below":                  {"x._vlmcs._tcp.example.org.", dns.TypeA, "NXDOMAIN, " + cutDenial, "the same"},
		"far below":                     {"y.x._vlmcs._tcp.example.org.", dns.TypeSRV, "NXDOMAIN, " + cutDenial, "the same"},
		"below, in another case":        {"x._VLMCS._tcp.EXAMPLE.org.", dns.TypeA, "NXDOMAIN, " + cutDenial, "the same"},
		"DS below":                      {"x._vlmcs._tcp.example.org.", dns.TypeDS, "NXDOMAIN, " + cutDenial, "the same"},
		"ends so, but is no subdomain":  {"x_vlmcs._tcp.example.org.", dns.TypeA, "below", "below"},
		"ends so behind an escaped dot": {`x\._vlmcs._tcp.example.org.`, dns.TypeA, "below", "below"},
		"the name above":                {"_tcp.example.org.", dns.TypeNS, "NOERROR, " + zoneDenial, "below"},
		"the zone around":               {"example.org.", dns.TypeSOA, "below", "below"},
		"a made-up host over a zone":    {madeOver, dns.TypeA, "NOERROR, answer A " + madeOver, "below"},
		"no AAAA of it":                 {madeOver, dns.TypeAAAA, "NOERROR, " + zoneDenial, "below"},
		"a made-up host in a zone":      {madeIn, dns.TypeA, "NXDOMAIN, " + cutDenial, "NOERROR, answer A " + madeIn},
		"no AAAA of that":               {madeIn, dns.TypeAAAA, "NXDOMAIN, " + cutDenial, "NOERROR, " + cutDenial},
		"nor SOA":                       {madeIn, dns.TypeSOA, "NXDOMAIN, " + cutDenial, "NOERROR, " + cutDenial},
		"below that":                    {"x." + madeIn, dns.TypeA, "NXDOMAIN, " + cutDenial, "the same"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.delegated == "the same" {
				tt.delegated = tt.overlaid
			}
			for _, way := range []struct {
				make func(plugin.Handler, ...*Site) *Handler
				zone string
				want string
			}{
				{newHandler, "example.org.", tt.overlaid},
				{delegated, serviceOrg, tt.delegated},
			} {
				next := &below{answer: fileLike}
				m := ask(t, way.make(next, cutSite(t, way.zone, hosts)), newQuestion(tt.qname, tt.qtype), false)
				passed := slices.Contains(next.asked, dns.TypeToString[tt.qtype]+" "+tt.qname)
				if way.want == "below" {
					if !passed {
						t.Errorf("Zone %s: not passed on but answered %s", way.zone, sections(m))
					}
					continue
				}
				// The SRV records are in no order.
				m.Extra = slices.SortedFunc(slices.Values(m.Extra), func(a, b dns.RR) int { return -strings.Compare(a.Header().Name, b.Header().Name) })
				if got := sections(m); got != way.want || !m.Authoritative {
					t.Errorf("Zone %s: got %s, AA %v\nwant %s", way.zone, got, m.Authoritative, way.want)
				}
			}
		})
	}
}

// TestCutRecords has the records of a cut in full, and that they keep the case of a question but not of one with DO.
func TestCutRecords(t *testing.T) {
	s := cutSite(t, "example.org.", "kms1.example.org=up")
	soa := s.Journals[serviceOrg].SOA()
	h := newHandler(&below{answer: fileLike}, s)
	const spelled = "_VlmCS._tcP.eXample.ORG."
	for _, name := range []string{serviceOrg, spelled} {
		m := ask(t, h, newQuestion(name, dns.TypeSOA), false)
		want := dns.Copy(soa).(*dns.SOA)
		want.Hdr.Name = name
		if len(m.Answer) != 1 || m.Answer[0].String() != want.String() {
			t.Errorf("Got %v, want %s", m.Answer, want)
		}
		m = ask(t, h, newQuestion(name, dns.TypeNS), false)
		for i, ns := range s.NS {
			if len(m.Answer) != 2 || m.Answer[i].String() != name+"\t30\tIN\tNS\t"+ns {
				t.Errorf("Got %v", m.Answer)
			}
		}
	}
	for _, qtype := range []uint16{dns.TypeSOA, dns.TypeNS} {
		if m := ask(t, h, edns(newQuestion(spelled, qtype), 1232, true), false); m.Answer[0].Header().Name != serviceOrg {
			t.Errorf("With DO the owner is spelled %s", m.Answer[0].Header().Name)
		}
	}
	if soa.Serial == 0 || soa.Mbox != "hostmaster.example.org." || soa.Hdr.Name != serviceOrg || soa.Hdr.Ttl != 30 {
		t.Errorf("Got %s", soa)
	}
	for what, m := range map[string]*dns.Msg{
		"NODATA":   ask(t, h, newQuestion(serviceOrg, dns.TypeTXT), false),
		"NXDOMAIN": ask(t, h, newQuestion("x."+serviceOrg, dns.TypeTXT), false),
	} {
		if m.Ns[0].Header().Ttl != soaMinimum || m.Ns[0].(*dns.SOA).Serial != soa.Serial {
			t.Errorf("%s with %s, want its minimum for a TTL", what, m.Ns[0])
		}
	}
	if soa.Hdr.Ttl != 30 {
		t.Error("A denial changed the record that all share")
	}
}

// TestCutOfTheRoot: the shortest names there are.
func TestCutOfTheRoot(t *testing.T) {
	for _, zone := range []string{".", "_vlmcs._tcp."} {
		h := New([]*Site{cutSite(t, zone, "kms1.example.org=up")}, []string{zone})
		m := ask(t, h, newQuestion("_vlmcs._tcp.", dns.TypeSOA), false)
		if len(m.Answer) != 1 || m.Answer[0].(*dns.SOA).Mbox != "hostmaster." {
			t.Errorf("Zone %s: got %v", zone, m)
		}
		m = ask(t, h, newQuestion("x._vlmcs._tcp.", dns.TypeA), false)
		if m.Rcode != dns.RcodeNameError || len(m.Ns) != 1 || m.Ns[0].Header().Name != "_vlmcs._tcp." {
			t.Errorf("Zone %s: got %v", zone, m)
		}
	}
}

// TestDelegatedWithinALargerBlock: the service name is the zone, and what is around it in the server block is left to others
// but for the name above, which exists.
func TestDelegatedWithinALargerBlock(t *testing.T) {
	s := cutSite(t, serviceOrg, "kms1.example.org=up")
	for name, next := range map[string]*below{"a zone": {answer: fileLike}, "nobody": {}} {
		h := newHandler(next, s)
		m := ask(t, h, newQuestion("_tcp.example.org.", dns.TypeA), false)
		if m.Rcode != dns.RcodeSuccess || len(m.Ns) != 1 || m.Ns[0].Header().Name != "example.org." {
			t.Errorf("%s behind: got %v", name, m)
		}
	}
	m := ask(t, newHandler(&below{answer: fileLike}, s), newQuestion(serviceOrg, dns.TypeDS), false)
	if len(m.Ns) != 1 || m.Ns[0].Header().Name != "example.org." {
		t.Errorf("DS of a zone whose parent is here too: %v", m)
	}
}

// TestFallthroughBelowACut: who comes next may have names in the zone, but it does not deny them in our stead.
func TestFallthroughBelowACut(t *testing.T) {
	has := func(q dns.Question) *dns.Msg {
		m := new(dns.Msg)
		m.Answer = []dns.RR{test.A(q.Name + " 60 IN A 192.0.2.77")}
		return m
	}
	noData := func(dns.Question) *dns.Msg { return &dns.Msg{Ns: []dns.RR{zoneSOA}} }
	for name, tt := range map[string]struct {
		fall []string
		next *below
		want string
	}{
		"without":              {nil, &below{answer: has}, "NXDOMAIN, " + cutDenial},
		"of another zone":      {[]string{"example.net."}, &below{answer: has}, "NXDOMAIN, " + cutDenial},
		"to who has it":        {[]string{"."}, &below{answer: has}, "NOERROR, answer A x._vlmcs._tcp.example.org."},
		"to who has the name":  {[]string{"."}, &below{answer: noData}, "NOERROR, " + zoneDenial},
		"to who denies it":     {[]string{"."}, &below{answer: fileLike}, "NXDOMAIN, " + cutDenial},
		"to who knows nothing": {[]string{"."}, &below{}, "NXDOMAIN, " + cutDenial},
	} {
		t.Run(name, func(t *testing.T) {
			s := cutSite(t, serviceOrg, "kms1.example.org=up")
			s.Fall.Zones = tt.fall
			m := ask(t, delegated(tt.next, s), newQuestion("x."+serviceOrg, dns.TypeA), false)
			if got := sections(m); got != tt.want {
				t.Errorf("Got %s, want %s", got, tt.want)
			}
			if tt.fall == nil && len(tt.next.asked) > 0 {
				t.Errorf("Passed on: %v", tt.next.asked)
			}
		})
	}
}

// TestWithoutNSNoZone: nothing of this is there unless ns is said.
func TestWithoutNSNoZone(t *testing.T) {
	h := newHandler(&below{answer: fileLike}, site(t, "example.org.", "kms1.example.org=up"))
	for _, qtype := range []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeAXFR} {
		if got := sections(ask(t, h, newQuestion(serviceOrg, qtype), true)); got != "NOERROR, "+zoneDenial {
			t.Errorf("%s: got %s", dns.TypeToString[qtype], got)
		}
	}
	if got := sections(ask(t, h, newQuestion("x."+serviceOrg, dns.TypeA), false)); got != "NXDOMAIN, "+zoneDenial {
		t.Errorf("A name below: got %s", got)
	}
}

// TestSignedWithTheZoneAround: to a validator, where the dnssec plugin in front has the keys of the zone around, there is no
// cut. To others, and where the service name is all of the server block, there is.
func TestSignedWithTheZoneAround(t *testing.T) {
	const inside = "x._vlmcs._tcp.example.org."
	for name, tt := range map[string]struct {
		qname  string
		qtype  uint16
		hidden string // from validators
		seen   string
	}{
		"SOA":               {serviceOrg, dns.TypeSOA, "NOERROR, " + zoneDenial, "NOERROR, answer SOA _vlmcs._tcp.example.org. by ns1.example.org."},
		"NS":                {serviceOrg, dns.TypeNS, "NOERROR, " + zoneDenial, "NOERROR, answer NS _vlmcs._tcp.example.org., answer NS _vlmcs._tcp.example.org."},
		"TXT":               {serviceOrg, dns.TypeTXT, "NOERROR, " + zoneDenial, "NOERROR, " + cutDenial},
		"a name below":      {inside, dns.TypeA, "NXDOMAIN, " + zoneDenial, "NXDOMAIN, " + cutDenial},
		"SRV, all the same": {serviceOrg, dns.TypeSRV, "NOERROR, answer SRV _vlmcs._tcp.example.org.", "NOERROR, answer SRV _vlmcs._tcp.example.org."},
	} {
		t.Run(name, func(t *testing.T) {
			over := newHandler(&below{answer: fileLike}, cutSite(t, "example.org.", "kms1.example.org=up"))
			alone := delegated(&below{answer: fileLike}, cutSite(t, serviceOrg, "kms1.example.org=up"))
			over.Signed, alone.Signed = true, true
			unsigned := newHandler(&below{answer: fileLike}, cutSite(t, "example.org.", "kms1.example.org=up"))
			for _, way := range []struct {
				what string
				h    *Handler
				do   bool
				want string
			}{
				{"signed with the zone around, to a validator", over, true, tt.hidden},
				{"signed with the zone around, to another", over, false, tt.seen},
				{"signed alone, to a validator", alone, true, tt.seen},
				{"unsigned, to a validator", unsigned, true, tt.seen},
			} {
				m := ask(t, way.h, edns(newQuestion(tt.qname, tt.qtype), 1232, way.do), false)
				m.Extra = nil
				if got := sections(m); got != way.want {
					t.Errorf("%s: got %s\nwant %s", way.what, got, way.want)
				}
			}
		})
	}
}
