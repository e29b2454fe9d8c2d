package plugin

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/plugin/tsig"
	"github.com/coredns/coredns/request"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/registry"

	"github.com/miekg/dns"
)

// updateWorld is a handler that takes UPDATEs, and what is around it.
type updateWorld struct {
	*Handler
	site     *Site
	resolver map[string]string // addresses, with blanks between, by name; "?" is a resolver that does not answer
	asked    []string          // of the resolver
}

// settings is what the worlds of these tests have in their update block.
func settings() config.Update {
	u := config.DefaultUpdate()
	u.Max = 3
	u.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	u.Keys = []config.UpdateKey{
		{Name: "any."},
		{Name: "corp.", Targets: []string{"*.corp.example.org.", "kms9.example.org."}},
		{Name: "near.", From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
	}
	return u
}

// newUpdateWorld is a handler for example.org with hosts, in front of a zone that has www, kms5 and an alias.
func newUpdateWorld(t testing.TB, u *config.Update, hosts string) *updateWorld {
	t.Helper()
	s := site(t, "example.org.", hosts)
	s.Update = u
	w := &updateWorld{site: s, Handler: newHandler(&below{answer: zoneLike}, s), resolver: map[string]string{
		"kms9.example.org.": "192.0.2.9", "kms8.example.org.": "192.0.2.8 2001:db8::8", "kms9.example.com.": "192.0.2.9",
		"slow.example.org.": "?",
	}}
	w.updates.resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
		w.asked = append(w.asked, name)
		var found []netip.Addr
		for _, a := range strings.Fields(w.resolver[name]) {
			if a == "?" {
				return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
			}
			found = append(found, netip.MustParseAddr(a))
		}
		if len(found) == 0 {
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		}
		return found, nil
	}
	if u != nil {
		s.Registry = runRegistry(t, *u)
	}
	return w
}

// runRegistry is a registry in memory that runs until the test ends.
func runRegistry(t testing.TB, u config.Update) *registry.Registry {
	t.Helper()
	r, err := registry.New(u, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r
}

// zoneLike answers as a zone that has a few hosts.
func zoneLike(q dns.Question) *dns.Msg {
	records := map[string][]string{
		"www.example.org.":   {"A 192.0.2.80", "TXT one"},
		"kms5.example.org.":  {"A 192.0.2.5", "AAAA 2001:db8::5"},
		"alias.example.org.": {"CNAME kms5.example.org."},
		"text.example.org.":  {"TXT one"},
	}
	m := fileLike(q)
	all, ok := records[strings.ToLower(q.Name)]
	if !ok {
		return m
	}
	m.Rcode = dns.RcodeSuccess
	for _, data := range all {
		rr, _ := dns.NewRR(q.Name + " 60 IN " + data)
		if rr.Header().Rrtype == q.Qtype || rr.Header().Rrtype == dns.TypeCNAME {
			m.Answer, m.Ns = append(m.Answer, rr), nil
		}
		if cname, ok := rr.(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
			m.Answer = append(m.Answer, zoneLike(dns.Question{Name: cname.Target, Qtype: q.Qtype}).Answer...)
		}
	}
	return m
}

// sent is an UPDATE of example.org and where it comes from.
type sent struct {
	from, key              string // from is 192.0.2.9 if empty
	zone                   string // example.org if empty
	prerequisites, changes string // with "; " between
	tcp                    bool
}

func (s sent) message(t testing.TB) *dns.Msg {
	t.Helper()
	if s.zone == "" {
		s.zone = "example.org."
	}
	return newUpdateMessage(t, s.zone, splitLines(s.prerequisites), splitLines(s.changes))
}

// send puts s through the handler, and through the tsig plugin if it is signed, and returns the reply as it comes off the wire.
func (w *updateWorld) send(t testing.TB, s sent) *dns.Msg {
	t.Helper()
	return w.put(t, s, s.message(t))
}

// once is a writer that takes one reply.
type once struct {
	*dnstest.Recorder
	replies int
}

func (w *once) WriteMsg(m *dns.Msg) error {
	w.replies++
	return w.Recorder.WriteMsg(m)
}

func (w *updateWorld) put(t testing.TB, s sent, r *dns.Msg) *dns.Msg {
	t.Helper()
	if s.from == "" {
		s.from = "192.0.2.9"
	}
	rec := &once{Recorder: dnstest.NewRecorder(&test.ResponseWriter{RemoteIP: s.from, TCP: s.tcp})}
	var chain plugin.Handler = w.Handler
	if s.key != "" {
		r.SetTsig(s.key, dns.HmacSHA256, 300, time.Now().Unix())
		chain = &tsig.TSIGServer{Zones: []string{"."}, Next: w.Handler}
	}
	code, err := chain.ServeDNS(context.Background(), request.NewScrubWriter(r, rec), r)
	if err != nil || !plugin.ClientWrite(code) || rec.replies != 1 {
		t.Fatalf("Got code %d, %v and %d replies, want one reply and a code that says so", code, err, rec.replies)
	}
	m := rec.Msg
	if s.key != "" {
		if m.IsTsig() == nil {
			t.Error("Got a reply to a signed UPDATE that is not to be signed")
		}
		m.Extra = m.Extra[:len(m.Extra)-1]
	}
	return reread(t, m)
}

// state is what is announced, a word each: "kms9.example.org:1688/0/0 by address 192.0.2.9", "kms9.example.org. 192.0.2.9".
func (w *updateWorld) state() []string {
	var words []string
	if w.site.Registry == nil {
		return nil
	}
	s := w.site.Registry.Snapshot()
	for _, c := range s.Claims {
		words = append(words, fmt.Sprintf("%s/%d/%d by %s", c.Endpoint(), c.Priority, c.Weight, c.Owner))
	}
	for name, all := range s.Addresses {
		for _, a := range all {
			words = append(words, name+" "+a.String())
		}
	}
	slices.Sort(words)
	return words
}

// service is the line that announces a host with priority and weight 0.
func service(target string) string { return "_vlmcs._tcp.example.org. 60 IN SRV 0 0 1688 " + target }

// unservice is the line that takes it back.
func unservice(target string) string { return "_vlmcs._tcp.example.org. 0 NONE SRV 0 0 1688 " + target }

// dnsSeed is a file of the corpus of FuzzUpdate.
func dnsSeed(wire []byte, key string) []byte {
	return fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\nstring(%q)\n", wire, key)
}
