package plugin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/request"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

func init() { clog.Discard() }

// site is a block for zone with the hosts of script, whose words are "NAME[:PORT][/PRIORITY[/WEIGHT]]=STATE[@ADDRESS...]".
func site(t testing.TB, zone, script string) *Site {
	t.Helper()
	s := &Site{Block: config.Default()}
	s.Zones = []string{zone}
	remembered := map[string]pool.Memory{}
	for _, word := range strings.Fields(script) {
		word, addresses, _ := strings.Cut(word, "@")
		word, state, _ := strings.Cut(word, "=")
		parts := strings.Split(word, "/")
		h, err := config.ParseHost(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) > 1 {
			fmt.Sscan(parts[1], &h.Priority)
		}
		if len(parts) > 2 {
			fmt.Sscan(parts[2], &h.Weight)
		}
		for _, a := range strings.FieldsFunc(addresses, func(r rune) bool { return r == '@' }) {
			h.Addresses = append(h.Addresses, netip.MustParseAddr(a))
		}
		s.Hosts = append(s.Hosts, h)
		remembered[h.Endpoint()] = pool.Memory{Health: health(state), At: time.Now()}
	}
	s.Pool = pool.New(s.Hosts, s.Probe, pool.Means{Observer: Observer{Pool: "test"}, Jitter: func() float64 { return 0 }}, remembered)
	return s
}

// health is the Health that leads to state.
func health(state string) pool.Health {
	events := map[string][]pool.Event{"unchecked": nil, "up": {pool.Pass}, "suspect": {pool.Pass, pool.Fail},
		"down": {pool.Fail, pool.Fail, pool.Fail}, "drained": {pool.Pass, pool.Drain}}[state]
	var h pool.Health
	for _, e := range events {
		h, _ = h.Next(e, pool.Thresholds{Rise: 2, Fall: 3})
	}
	return h
}

// below is the next plugin: it remembers whether it was asked, and answers as its function says.
type below struct {
	answer func(q dns.Question) *dns.Msg
	asked  []string
}

func (b *below) Name() string { return "below" }

func (b *below) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	b.asked = append(b.asked, dns.TypeToString[r.Question[0].Qtype]+" "+r.Question[0].Name)
	if b.answer == nil {
		return dns.RcodeRefused, nil
	}
	m := b.answer(r.Question[0])
	m.SetRcode(r, m.Rcode)
	m.Authoritative = true
	w.WriteMsg(m)
	return dns.RcodeSuccess, nil
}

var zoneSOA = test.SOA("example.org. 3600 IN SOA ns1.example.org. root.example.org. 7 7200 1800 86400 60")

// fileLike answers as a zone that knows nothing of KMS: SOA at the apex, NXDOMAIN elsewhere.
func fileLike(q dns.Question) *dns.Msg {
	m := new(dns.Msg)
	if q.Name == "example.org." {
		if q.Qtype == dns.TypeSOA {
			m.Answer = []dns.RR{zoneSOA}
		} else {
			m.Ns = []dns.RR{zoneSOA}
		}
		return m
	}
	m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{zoneSOA}
	return m
}

// newHandler is a handler for sites with next behind it; next may be nil.
func newHandler(next plugin.Handler, sites ...*Site) *Handler {
	h := New(sites, []string{"example.org.", "example.net."})
	h.Next, h.Checked = next, func() bool { return true }
	return h
}

// ask sends one question through h and the scrubbing that CoreDNS's server does, and unpacks what a client would read.
func ask(t testing.TB, h plugin.Handler, r *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	rec := dnstest.NewRecorder(&test.ResponseWriter{TCP: tcp})
	code, err := h.ServeDNS(context.Background(), request.NewScrubWriter(r, rec), r)
	if rec.Msg == nil {
		t.Fatalf("No answer to %s: code %d, %v", r.Question[0].String(), code, err)
	}
	if !plugin.ClientWrite(code) {
		t.Errorf("Code %d after an answer was written: the server would write another", code)
	}
	wire, err := rec.Msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	return m
}

func newQuestion(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	return m
}

func edns(m *dns.Msg, size uint16, do bool) *dns.Msg { return m.SetEdns0(size, do) }

// services is the SRV records of m in words, in their order: "0 60 1688 kms1".
func services(m *dns.Msg) []string {
	var all []string
	for _, rr := range m.Answer {
		s := rr.(*dns.SRV)
		all = append(all, fmt.Sprintf("%d %d %d %s", s.Priority, s.Weight, s.Port, strings.TrimSuffix(s.Target, ".example.org.")))
	}
	return all
}

const serviceOrg = "_vlmcs._tcp.example.org."

func TestServiceAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		hosts string
		all   config.AllDown
		want  string // SRV records of the answer, sorted by priority
		extra string
		ttl   uint32
		rcode int
		ede   string
	}{
		"as configured": {
			hosts: "kms1.example.org/0/60=up@192.0.2.1 kms2.example.org:1689/10/0=up@192.0.2.2@2001:db8::2",
			want:  "0 60 1688 kms1,10 0 1689 kms2", extra: "192.0.2.1 192.0.2.2 2001:db8::2", ttl: 30,
		},
		"unchecked is offered": {hosts: "kms1.example.org=unchecked", want: "0 0 1688 kms1", ttl: 30},
		"suspect goes last, and quickly": {
			hosts: "kms1.example.org=suspect kms2.example.org/10=up", want: "10 0 1688 kms2,11 0 1688 kms1", ttl: 5,
		},
		"dead is gone":    {hosts: "kms1.example.org=down kms2.example.org/10=up", want: "10 0 1688 kms2", ttl: 30},
		"drained is gone": {hosts: "kms1.example.org=drained kms2.example.org/10=up", want: "10 0 1688 kms2", ttl: 30},
		"outside the zone, no address of ours": {
			hosts: "kms1.example.net=up@192.0.2.1", want: "0 0 1688 kms1.example.net.", ttl: 30,
		},
		"given by address": {
			hosts: "192.0.2.7=up [2001:db8::7]:1690/5/1=up", ttl: 30,
			want:  "0 0 1688 kms-192-0-2-7,5 1 1690 kms-2001-0db8-0000-0000-0000-0000-0000-0007",
			extra: "192.0.2.7 2001:db8::7",
		},
		"two ports of one host": {
			hosts: "kms1.example.org:1688=up@192.0.2.1 kms1.example.org:1689/1=up@192.0.2.1",
			want:  "0 0 1688 kms1,1 0 1689 kms1", extra: "192.0.2.1", ttl: 30,
		},
		"all down, serve": {
			hosts: "kms1.example.org=down@192.0.2.1 kms2.example.org/10=down", want: "0 0 1688 kms1", extra: "192.0.2.1",
			ttl: 5, ede: "every KMS host failed its checks: these are the hosts as configured",
		},
		"all down, nodata": {
			hosts: "kms1.example.org=down", all: config.NoData, ede: "every KMS host failed its checks or is drained",
		},
		"all down, servfail": {
			hosts: "kms1.example.org=down", all: config.ServFail, rcode: dns.RcodeServerFailure,
			ede: "every KMS host failed its checks or is drained",
		},
		"all drained is never served": {
			hosts: "kms1.example.org=drained", ede: "every KMS host failed its checks or is drained",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := site(t, "example.org.", tt.hosts)
			s.AllDown = tt.all
			for _, withEDNS := range []bool{false, true} {
				r := newQuestion(serviceOrg, dns.TypeSRV)
				if withEDNS {
					edns(r, 1232, false)
				}
				m := ask(t, newHandler(&below{answer: fileLike}, s), r, false)
				got := services(m)
				slices.SortFunc(got, func(a, b string) int {
					var x, y int
					fmt.Sscan(a, &x)
					fmt.Sscan(b, &y)
					return x - y
				})
				if strings.Join(got, ",") != tt.want || m.Rcode != tt.rcode {
					t.Errorf("Got %q, %s, want %q", got, dns.RcodeToString[m.Rcode], tt.want)
				}
				if m.Authoritative != (tt.rcode == dns.RcodeSuccess) || m.Truncated {
					t.Errorf("Header %s", m.MsgHdr.String())
				}
				for _, rr := range m.Answer {
					if h := rr.Header(); h.Ttl != tt.ttl || h.Name != serviceOrg {
						t.Errorf("Got %s, want TTL %d", rr, tt.ttl)
					}
				}
				var extra []string
				var ede string
				for _, rr := range m.Extra {
					switch rr := rr.(type) {
					case *dns.A:
						extra = append(extra, rr.A.String())
					case *dns.AAAA:
						extra = append(extra, rr.AAAA.String())
					case *dns.OPT:
						for _, o := range rr.Option {
							if e, ok := o.(*dns.EDNS0_EDE); ok {
								ede = e.ExtraText
							}
						}
					}
				}
				slices.Sort(extra)
				if strings.Join(extra, " ") != tt.extra {
					t.Errorf("Additional %q, want %q", extra, tt.extra)
				}
				if withEDNS != (m.IsEdns0() != nil) || withEDNS && ede != tt.ede {
					t.Errorf("EDNS %v, EDE %q, want %q", m.IsEdns0() != nil, ede, tt.ede)
				}
				if tt.want == "" && tt.rcode == dns.RcodeSuccess {
					if len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA || m.Ns[0].Header().Ttl != quick {
						t.Errorf("Authority %v, want one SOA with TTL %d", m.Ns, quick)
					}
				}
			}
		})
	}
}

// TestNewSnapshotNewAnswer: what was prepared for one snapshot is not served from the next.
func TestNewSnapshotNewAnswer(t *testing.T) {
	s := site(t, "example.org.", "kms1.example.org=up kms2.example.org=up")
	h := newHandler(nil, s)
	if got := services(ask(t, h, newQuestion(serviceOrg, dns.TypeSRV), false)); len(got) != 2 {
		t.Fatalf("Got %v", got)
	}
	if err := s.Pool.Drain("kms1.example.org:1688", pool.Drainage{}); err != nil {
		t.Fatal(err)
	}
	if got := services(ask(t, h, newQuestion(serviceOrg, dns.TypeSRV), false)); fmt.Sprint(got) != "[0 0 1688 kms2]" {
		t.Errorf("Right after a drain: %v", got)
	}
}

// TestOrder: rotates for those who take the first, stands still for DNSSEC, and is the same set either way.
func TestOrder(t *testing.T) {
	h := newHandler(nil, site(t, "example.org.", "kms1.example.org/0/10=up kms2.example.org/0/30=up kms3.example.org/0/60=up kms4.example.org/1=up"))
	first := map[string]int{}
	for range 1000 {
		got := services(ask(t, h, newQuestion(serviceOrg, dns.TypeSRV), false))
		first[got[0]]++
		if got[3] != "1 0 1688 kms4" {
			t.Fatalf("The second tier is not last: %v", got)
		}
		slices.Sort(got)
		if len(slices.Compact(got)) != 4 {
			t.Fatalf("Not every host once: %v", got)
		}
	}
	if len(first) != 3 {
		t.Errorf("First places %v: want all of the first tier", first)
	}
	want := services(ask(t, h, edns(newQuestion(serviceOrg, dns.TypeSRV), 4096, true), false))
	for range 100 {
		if got := services(ask(t, h, edns(newQuestion(serviceOrg, dns.TypeSRV), 4096, true), false)); !slices.Equal(got, want) {
			t.Fatalf("With DO set the order changed: %v, then %v", want, got)
		}
	}
}

func TestCaseOfTheQuestionIsKept(t *testing.T) {
	h := newHandler(&below{answer: fileLike}, site(t, "example.org.", "kms1.example.org=up@192.0.2.1 192.0.2.9=up"))
	const mixed = "_VlmCS._tcP.eXample.ORG."
	m := ask(t, h, newQuestion(mixed, dns.TypeSRV), false)
	if m.Question[0].Name != mixed || len(m.Answer) != 2 || m.Answer[0].Header().Name != mixed || m.Answer[1].Header().Name != mixed {
		t.Errorf("Got %v", m)
	}
	// The shared records are untouched.
	if m := ask(t, h, newQuestion(serviceOrg, dns.TypeSRV), false); m.Answer[0].Header().Name != serviceOrg {
		t.Errorf("After a mixed question the records are spelled %s", m.Answer[0].Header().Name)
	}
	if m := ask(t, h, newQuestion("KMS-192-0-2-9.example.org.", dns.TypeA), false); len(m.Answer) != 1 || m.Answer[0].Header().Name != "KMS-192-0-2-9.example.org." {
		t.Errorf("Got %v", m)
	}
	if m := ask(t, h, newQuestion(mixed, dns.TypeTXT), false); m.Rcode != dns.RcodeSuccess || len(m.Ns) != 1 {
		t.Errorf("Got %v", m)
	}
}

func TestOtherTypesAndNames(t *testing.T) {
	const madeUp = "kms-192-0-2-9.example.org."
	for name, tt := range map[string]struct {
		qname string
		qtype uint16
		want  string // of the answer section, or what happened instead
	}{
		"A of the service":           {serviceOrg, dns.TypeA, "nodata"},
		"TXT of the service":         {serviceOrg, dns.TypeTXT, "nodata"},
		"SOA of the service":         {serviceOrg, dns.TypeSOA, "nodata"},
		"DS of the service":          {serviceOrg, dns.TypeDS, "nodata"},
		"ANY of the service":         {serviceOrg, dns.TypeANY, serviceOrg + "\t8482\tIN\tHINFO\t\"RFC8482\" \"\""},
		"A of a made-up name":        {madeUp, dns.TypeA, madeUp + "\t30\tIN\tA\t192.0.2.9"},
		"AAAA of an IPv4 made-up":    {madeUp, dns.TypeAAAA, "nodata"},
		"SRV of a made-up name":      {madeUp, dns.TypeSRV, "nodata"},
		"ANY of a made-up name":      {madeUp, dns.TypeANY, madeUp + "\t8482\tIN\tHINFO\t\"RFC8482\" \"\""},
		"A of a named host":          {"kms1.example.org.", dns.TypeA, "below"},
		"the zone itself":            {"example.org.", dns.TypeSOA, "below"},
		"below the service":          {"x." + serviceOrg, dns.TypeSRV, "below"},
		"another service":            {"_ldap._tcp.example.org.", dns.TypeSRV, "below"},
		"a name that only ends so":   {"x_vlmcs._tcp.example.org.", dns.TypeSRV, "below"},
		"another zone":               {"_vlmcs._tcp.example.net.", dns.TypeSRV, "below"},
		"the empty non-terminal":     {"_tcp.example.org.", dns.TypeNS, "nodata"},
		"made-up name, another zone": {"kms-192-0-2-9.example.net.", dns.TypeA, "below"},
		"made-up name, another host": {"kms-192-0-2-8.example.org.", dns.TypeA, "below"},
	} {
		t.Run(name, func(t *testing.T) {
			next := &below{answer: fileLike}
			h := newHandler(next, site(t, "example.org.", "kms1.example.org=up@192.0.2.1 192.0.2.9=up"))
			m := ask(t, h, newQuestion(tt.qname, tt.qtype), false)
			passed := slices.Contains(next.asked, dns.TypeToString[tt.qtype]+" "+tt.qname)
			switch {
			case tt.want == "below":
				if !passed {
					t.Errorf("Not passed on: %v", m)
				}
			case tt.want == "nodata":
				if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 || len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA {
					t.Fatalf("Got %v", m)
				}
				soa := m.Ns[0].(*dns.SOA)
				if soa.Hdr.Name != "example.org." || soa.Serial != 7 {
					t.Errorf("Got %s, want the zone's own SOA", soa)
				}
			default:
				if len(m.Answer) != 1 || m.Answer[0].String() != tt.want || !m.Authoritative {
					t.Errorf("Got %v, want %q", m, tt.want)
				}
			}
		})
	}
}

// TestNegativeTTL: a denial is kept for the lesser of the SOA's TTL and its minimum (RFC 2308 5).
func TestNegativeTTL(t *testing.T) {
	m := ask(t, newHandler(&below{answer: fileLike}, site(t, "example.org.", "kms1.example.org=up")), newQuestion(serviceOrg, dns.TypeA), false)
	if ttl := m.Ns[0].Header().Ttl; ttl != 60 {
		t.Errorf("TTL %d, want the SOA's minimum of 60", ttl)
	}
	if zoneSOA.Hdr.Ttl != 3600 {
		t.Error("The zone's record was changed")
	}
}

// TestSOAWithoutAZoneBelow: with nobody to ask, or nobody who knows, there still is exactly one SOA.
func TestSOAWithoutAZoneBelow(t *testing.T) {
	rootDenial := func(dns.Question) *dns.Msg {
		m := new(dns.Msg)
		m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{test.SOA("example.net. 86400 IN SOA ns1.example.net. root.example.net. 1 1 1 1 86400")}
		return m
	}
	for name, next := range map[string]plugin.Handler{
		"no next plugin":              nil,
		"one that refuses":            &below{},
		"one that speaks for another": &below{answer: rootDenial},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(next, site(t, "example.org.", "kms1.example.org=up"))
			m := ask(t, h, newQuestion(serviceOrg, dns.TypeA), false)
			if len(m.Ns) != 1 || m.Ns[0].Header().Name != "example.org." || m.Ns[0].Header().Ttl != 30 {
				t.Errorf("Authority %v", m.Ns)
			}
		})
	}
	m := ask(t, newHandler(nil, site(t, "example.org.", "kms1.example.org=up")), newQuestion("_tcp.example.org.", dns.TypeA), false)
	if m.Rcode != dns.RcodeSuccess || len(m.Ns) != 1 {
		t.Errorf("The empty non-terminal: %v", m)
	}
	m = ask(t, newHandler(nil, site(t, ".", "kms1.example.org=up")), newQuestion("_vlmcs._tcp.", dns.TypeA), false)
	if len(m.Ns) != 1 || m.Ns[0].Header().Name != "." {
		t.Errorf("The root zone: %v", m)
	}
}

func TestFallthrough(t *testing.T) {
	for name, tt := range map[string]struct {
		zones []string
		hosts string
		all   config.AllDown
		qtype uint16
		want  bool
	}{
		"another type":                 {[]string{"."}, "kms1.example.org=up", config.Serve, dns.TypeTXT, true},
		"another type, not its zone":   {[]string{"example.net."}, "kms1.example.org=up", config.Serve, dns.TypeTXT, false},
		"SRV":                          {[]string{"."}, "kms1.example.org=up", config.Serve, dns.TypeSRV, false},
		"SRV, all down and nodata":     {[]string{"."}, "kms1.example.org=down", config.NoData, dns.TypeSRV, true},
		"SRV, all down but served":     {[]string{"."}, "kms1.example.org=down", config.Serve, dns.TypeSRV, false},
		"no fallthrough, another type": {nil, "kms1.example.org=up", config.Serve, dns.TypeTXT, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := site(t, "example.org.", tt.hosts)
			s.AllDown = tt.all
			s.Fall.Zones = tt.zones
			next := &below{answer: func(dns.Question) *dns.Msg { return new(dns.Msg) }}
			ask(t, newHandler(next, s), newQuestion(serviceOrg, tt.qtype), false)
			if got := slices.Contains(next.asked, dns.TypeToString[tt.qtype]+" "+serviceOrg); got != tt.want {
				t.Errorf("Passed on: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestNamesAboveTheZoneExist: kms for corp.example.org in a server block for example.org, over a zone that has nothing there.
func TestNamesAboveTheZoneExist(t *testing.T) {
	h := newHandler(&below{answer: fileLike}, site(t, "a.b.example.org.", "kms1.example.org=up"))
	for name, want := range map[string]int{
		"_tcp.a.b.example.org.": dns.RcodeSuccess, "a.b.example.org.": dns.RcodeSuccess, "b.example.org.": dns.RcodeSuccess,
		"c.example.org.": dns.RcodeNameError, "x.a.b.example.org.": dns.RcodeNameError,
	} {
		if m := ask(t, h, newQuestion(name, dns.TypeNS), false); m.Rcode != want || len(m.Ns) != 1 {
			t.Errorf("%s: got %v", name, m)
		}
	}
}

// TestFallthroughNeverDenies: the name exists, whatever the plugin below says of it; and if it says nothing, we do.
func TestFallthroughNeverDenies(t *testing.T) {
	for name, next := range map[string]*below{"NXDOMAIN below": {answer: fileLike}, "nothing below": {}} {
		s := site(t, "example.org.", "kms1.example.org=up")
		s.Fall.Zones = []string{"."}
		m := ask(t, newHandler(next, s), newQuestion(serviceOrg, dns.TypeTXT), false)
		if m.Rcode != dns.RcodeSuccess || len(m.Ns) != 1 {
			t.Errorf("%s: got %v", name, m)
		}
	}
}

// TestDenialsDoNotAllAskBelow: within half a minute one question for the SOA is enough.
func TestDenialsDoNotAllAskBelow(t *testing.T) {
	next := &below{answer: fileLike}
	h := newHandler(next, site(t, "example.org.", "kms1.example.org=up"))
	for range 10 {
		if m := ask(t, h, newQuestion(serviceOrg, dns.TypeA), false); m.Ns[0].(*dns.SOA).Serial != 7 {
			t.Errorf("Got %v", m.Ns)
		}
	}
	if len(next.asked) != 1 {
		t.Errorf("Asked below %d times: %v", len(next.asked), next.asked)
	}
}

// TestWholeRRsets: where not all addresses of a host fit, none of that family is given.
func TestWholeRRsets(t *testing.T) {
	var hosts []string
	for i := range 6 {
		host := fmt.Sprintf("kms%d.example.org/%d=up", i, i)
		for j := range 4 {
			host += fmt.Sprintf("@192.0.2.%d@2001:db8::%d", 10*i+j+1, 10*i+j+1)
		}
		hosts = append(hosts, host)
	}
	h := newHandler(nil, site(t, "example.org.", strings.Join(hosts, " ")))
	for size := uint16(512); size < 1800; size += 40 {
		sets := map[string]int{}
		m := ask(t, h, edns(newQuestion(serviceOrg, dns.TypeSRV), size, false), false)
		for _, rr := range m.Extra {
			if rr.Header().Rrtype != dns.TypeOPT {
				sets[fmt.Sprint(rr.Header().Name, rr.Header().Rrtype)]++
			}
		}
		for name, n := range sets {
			if n != 4 {
				t.Errorf("Size %d: %d of 4 addresses of %s", size, n, name)
			}
		}
		if m.Truncated {
			t.Errorf("Size %d: TC with %d SRV records", size, len(m.Answer))
		}
	}
}

func TestWhatIsNotAQueryIsPassedOn(t *testing.T) {
	for name, change := range map[string]func(*dns.Msg){
		"NOTIFY": func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		"CHAOS":  func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
	} {
		next := &below{answer: func(dns.Question) *dns.Msg { return new(dns.Msg) }}
		r := newQuestion(serviceOrg, dns.TypeSRV)
		change(r)
		ask(t, newHandler(next, site(t, "example.org.", "kms1.example.org=up")), r, false)
		if len(next.asked) != 1 {
			t.Errorf("%s: not passed on", name)
		}
	}
}

// TestTrimming: as many addresses as fit, in the order of the answer; TC only when an SRV record is lost.
func TestTrimming(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("kms%02d.example.org/%d/0=up@192.0.2.%d@2001:db8::%d", i, i/10, i+1, i+1))
	}
	pools := map[string]*Site{
		"3 hosts":  site(t, "example.org.", strings.Join(many[:3], " ")),
		"8 hosts":  site(t, "example.org.", strings.Join(many[:8], " ")),
		"40 hosts": site(t, "example.org.", strings.Join(many, " ")),
	}
	for _, tt := range []struct {
		pool      string
		size      uint16 // 0: no EDNS
		do        bool
		signed    bool
		tcp       bool
		truncated bool
	}{
		{pool: "3 hosts"},
		{pool: "3 hosts", size: 512},
		{pool: "3 hosts", size: 1232},
		{pool: "3 hosts", size: 4096, do: true, signed: true},
		{pool: "3 hosts", size: 1232, do: true, signed: true},
		{pool: "3 hosts", size: 1232, do: true},
		{pool: "8 hosts", size: 512},
		{pool: "8 hosts", size: 1232},
		{pool: "8 hosts", size: 4096},
		{pool: "40 hosts", size: 512, truncated: true},
		{pool: "40 hosts", size: 1232, truncated: true},
		{pool: "40 hosts", size: 4096},
		{pool: "40 hosts", tcp: true},
		{pool: "40 hosts", size: 1232, tcp: true},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			s := pools[tt.pool]
			h := newHandler(nil, s)
			h.Signed = tt.signed
			r := newQuestion(serviceOrg, dns.TypeSRV)
			limit := 512
			if tt.size > 0 {
				edns(r, tt.size, tt.do)
				limit = int(tt.size)
			}
			if tt.tcp {
				limit = dns.MaxMsgSize
			}
			m := ask(t, h, r, tt.tcp)
			m.Compress = true
			if m.Len() > limit {
				t.Errorf("%d octets for a client that takes %d", m.Len(), limit)
			}
			if m.Truncated != tt.truncated || !tt.truncated && len(m.Answer) != len(s.Hosts) {
				t.Errorf("TC %v with %d of %d SRV records", m.Truncated, len(m.Answer), len(s.Hosts))
			}
			addresses := map[string]int{}
			for _, rr := range m.Extra {
				addresses[rr.Header().Name]++
			}
			if tt.tcp || tt.size == 4096 && !tt.signed && tt.pool != "40 hosts" {
				if addresses[m.Answer[len(m.Answer)-1].(*dns.SRV).Target] != 2 {
					t.Errorf("Room for all, got %d additional records", len(m.Extra))
				}
			}
			// Nobody has two addresses while one of an earlier place has none.
			for i, rr := range m.Answer {
				n := addresses[rr.(*dns.SRV).Target]
				for _, later := range m.Answer[i+1:] {
					if k := addresses[later.(*dns.SRV).Target]; k > n {
						t.Fatalf("%s has %d addresses, %s before it %d", later.(*dns.SRV).Target, k, rr.(*dns.SRV).Target, n)
					}
				}
			}
			if tt.signed {
				if room := limit - m.Len(); room < 2*256 {
					t.Errorf("%d octets left for the signatures", room)
				}
			}
		})
	}
}

func TestCacheBypassNamesExactlyWhatIsOwned(t *testing.T) {
	h := newHandler(nil, site(t, "example.org.", "kms1.example.org=up 192.0.2.9=up"), site(t, "corp.example.net.", "kms1.example.org=up"))
	got := h.CacheBypassZones()
	slices.Sort(got)
	want := []string{"_vlmcs._tcp.corp.example.net.", "_vlmcs._tcp.example.org.", "kms-192-0-2-9.example.org."}
	if !slices.Equal(got, want) {
		t.Errorf("Got %v, want %v", got, want)
	}
}

func TestReady(t *testing.T) {
	h := newHandler(nil, site(t, "example.org.", "kms1.example.org=up"))
	for _, checked := range []bool{false, true} {
		h.Checked = func() bool { return checked }
		if h.Ready() != checked {
			t.Errorf("Ready is %v when the first round is done: %v", h.Ready(), checked)
		}
	}
}

// TestSelfSuspicionKeepsTheAnswerAndSaysSo goes through the pool, with a prober that fails for all at once.
func TestSelfSuspicionKeepsTheAnswerAndSaysSo(t *testing.T) {
	s := site(t, "example.org.", "kms1.example.org=up@192.0.2.1 kms2.example.org=up@192.0.2.2")
	failing := pool.Means{
		Probe: func(context.Context, []netip.Addr, uint16) probe.Result {
			return probe.Result{Outcome: probe.Timeout, Err: context.DeadlineExceeded, Start: time.Now()}
		},
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, context.Canceled },
		Jitter:  func() float64 { return -1 }, Observer: Observer{Pool: "test"},
	}
	s.Pool = pool.New(s.Hosts, s.Probe, failing, s.Pool.Remember())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Pool.Run(ctx) }()
	for s.Pool.Snapshot().Condition != pool.SelfSuspected {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("Never suspected itself")
		}
	}
	m := ask(t, newHandler(nil, s), edns(newQuestion(serviceOrg, dns.TypeSRV), 1232, false), false)
	cancel()
	<-done
	if len(m.Answer) != 2 || m.Answer[0].Header().Ttl != 5 || !strings.Contains(fmt.Sprint(m.IsEdns0()), "suspects its own network") {
		t.Errorf("Got %v", m)
	}
}
