package discover

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/miekg/dns"
)

// A nameServer is a DNS server that knows what the tests tell it.
type nameServer struct {
	address  string
	zone     string         // with a final dot; everything else is REFUSED
	records  []dns.RR       // in and below zone
	rcodes   map[string]int // by name: answered whatever is asked
	extended *dns.EDNS0_EDE // added to every answer about SRV
	truncate bool           // by UDP nothing is answered but TC
	deaf     string         // this name is not answered at all
	resolver bool           // RA, and no AA
	refer    bool           // answers a referral, as a server without recursion does

	additional bool // the addresses of targets come with the records
}

// newNameServer starts a server for zone with records as in a zone file, which is made odd before it is asked.
func newNameServer(t *testing.T, zone, records string, odd ...func(n *nameServer)) *nameServer {
	t.Helper()
	n := &nameServer{zone: dns.Fqdn(zone), rcodes: make(map[string]int)}
	packets, listener := onePort(t)
	n.address = packets.LocalAddr().String()
	n.add(t, records)
	for _, make := range odd {
		make(n)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: n}, {Listener: listener, Handler: n}} {
		started, done := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			s.Shutdown()
			<-done
		})
	}
	return n
}

// onePort is one port for UDP and TCP, which another program may have by one of them.
func onePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		packets.Close()
	}
	t.Fatal("No port is free for both UDP and TCP")
	return nil, nil
}

// add adds records as in a zone file.
func (n *nameServer) add(t *testing.T, records string) {
	t.Helper()
	p := dns.NewZoneParser(strings.NewReader(records), n.zone, "")
	p.SetDefaultTTL(30)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		n.records = append(n.records, rr)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
}

func (n *nameServer) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	q, m := r.Question[0], new(dns.Msg)
	m.SetReply(r)
	m.Authoritative, m.RecursionAvailable = !n.resolver && !n.refer, n.resolver
	name := strings.ToLower(q.Name)
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	rcode, fixed := n.rcodes[name]
	switch {
	case n.deaf == name:
		return
	case n.truncate && udp:
		m.Truncated = true
	case fixed:
		m.Rcode = rcode
	case n.refer:
		m.Ns = append(m.Ns, n.find(n.zone, dns.TypeNS)...)
	case !dns.IsSubDomain(n.zone, name):
		m.Rcode = dns.RcodeRefused
	default:
		n.answer(m, name, q.Qtype)
	}
	if n.extended != nil && q.Qtype == dns.TypeSRV {
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.Option = append(opt.Option, n.extended)
		m.Extra = append(m.Extra, opt)
	}
	if udp && m.Len() > udpSize {
		m.Truncated, m.Answer = true, nil
	}
	w.WriteMsg(m)
}

// answer fills in what the zone has, following aliases.
func (n *nameServer) answer(m *dns.Msg, name string, qtype uint16) {
	for range 4 {
		if m.Answer = append(m.Answer, n.find(name, qtype)...); len(n.find(name, qtype)) > 0 {
			break
		}
		alias := n.find(name, dns.TypeCNAME)
		if len(alias) == 0 {
			break
		}
		m.Answer, name = append(m.Answer, alias...), strings.ToLower(alias[0].(*dns.CNAME).Target)
	}
	if len(m.Answer) > 0 {
		for _, rr := range m.Answer {
			if srv, ok := rr.(*dns.SRV); ok && n.additional {
				m.Extra = append(m.Extra, n.find(srv.Target, dns.TypeA)...)
			}
		}
		return
	}
	for _, at := range append(dns.Split(name), len(name)-1) { // the nearest SOA, up to the root
		if m.Ns = n.find(name[at:], dns.TypeSOA); len(m.Ns) > 0 || name[at:] == n.zone {
			break
		}
	}
	m.Rcode = dns.RcodeNameError
	for _, rr := range n.records {
		if dns.IsSubDomain(name, strings.ToLower(rr.Header().Name)) {
			m.Rcode = dns.RcodeSuccess
		}
	}
}

func (n *nameServer) find(name string, qtype uint16) []dns.RR {
	var all []dns.RR
	for _, rr := range n.records {
		if strings.EqualFold(rr.Header().Name, name) && rr.Header().Rrtype == qtype {
			all = append(all, rr)
		}
	}
	return all
}

// apex is the beginning of a zone whose name server is the one asked.
const apex = "@ SOA ns1 hostmaster 7 2h 30m 2w 1m\n@ NS ns1\nns1 A 127.0.0.1\n"

// rehearsalHost starts a rehearsal KMS host for the length of the test and returns its port.
func rehearsalHost(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := (&kmsresponder.Rehearsal{}).Serve(t.Context(), ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait) // t.Context is done before clean-up
	return portOf(ln)
}

// hungHost takes connections and never says a word.
func hungHost(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	t.Cleanup(func() { ln.Close() })
	return portOf(ln) // the kernel completes the handshakes
}

// webServer speaks, but not RPC.
func webServer(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
			c.Close()
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return portOf(ln)
}

// deadHost is a port where nothing listens.
func deadHost(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	return portOf(ln)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func portOf(ln net.Listener) string { return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port) }

// client is a client of servers that looks under suffixes.
func client(servers []*nameServer, suffixes ...string) Client {
	c := Client{Prober: probe.Prober{Timeout: 10 * time.Second}, Patience: 10 * time.Second} // nobody is slow on purpose
	for _, s := range servers {
		c.Servers = append(c.Servers, s.address)
	}
	for _, s := range suffixes {
		c.Suffixes = append(c.Suffixes, Suffix{Name: s, Source: "as given", Given: true})
	}
	return c
}

// single is a client of one server for corp with records, that looks under corp.
func single(t *testing.T, records string, odd ...func(n *nameServer)) Client {
	t.Helper()
	return client([]*nameServer{newNameServer(t, corp, records, odd...)}, corp)
}

// impatient is c where somebody never answers.
func impatient(c Client) Client {
	c.Prober.Timeout, c.Patience = 300*time.Millisecond, 100*time.Millisecond
	return c
}

// wants checks that report has a step with a mark and a text, and returns it.
func wants(t *testing.T, r Report, mark Mark, text string) Step {
	t.Helper()
	for _, s := range r.Steps {
		if s.Mark == mark && strings.Contains(s.Text, text) {
			return s
		}
	}
	t.Errorf("No %s with %q among %s", mark, text, steps(r))
	return Step{}
}

// steps is the steps of r, a line each.
func steps(r Report) string {
	var b strings.Builder
	for _, s := range r.Steps {
		b.WriteString("\n" + string(s.Mark) + " " + s.Part + ": " + s.Text + " " + s.Code + " " + strings.Join(s.Change, " | "))
	}
	return b.String()
}
