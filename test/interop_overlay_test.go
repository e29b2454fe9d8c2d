//go:build interop

package test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zoneFile is the zone that kms is laid over below, as BIND has it.
func zoneFile(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("testdata/corp.example.org.zone")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

const (
	keyName   = "clients."
	keySecret = "c2l4dGVlbiBvY3RldHMuIG9yIHRoaXJ0eS10d28uLi4="
	digKey    = "-y hmac-sha256:" + keyName + ":" + keySecret
)

// TestOverlay: laid over a zone that already has an SRV record of the name, kms shadows that record and nothing else,
// whatever else stands in the chain.
func TestOverlay(t *testing.T) {
	for name, tt := range map[string]struct {
		chain   string // lines of the server block
		blocks  string // more server blocks
		options string // of dig
		unlike  func(t *testing.T, s *server)
	}{
		"nothing":     {},
		"cache":       {chain: "cache 3600", unlike: testCached},
		"dnssec":      {chain: "dnssec {\nkey file $KEYS\n}", options: "+dnssec", unlike: testDenied},
		"loadbalance": {chain: "loadbalance round_robin"},
		"minimal":     {chain: "minimal", unlike: testMinimal},
		"rewrite":     {chain: "rewrite name exact kms.corp.example.org _vlmcs._tcp.corp.example.org", unlike: testRewritten},
		"view": {
			chain:  "view others {\nexpr client_ip() != '127.0.0.2'\n}",
			blocks: branchView,
			unlike: testViews,
		},
		"tsig":     {chain: "tsig {\nsecret " + keyName + " " + keySecret + "\nrequire all\n}", options: digKey, unlike: testSignedMessages},
		"transfer": {chain: "transfer {\nto *\n}", unlike: testTransfer},
		// Without loadbalance: CoreDNS 1.15.0 signs no message whose addresses it has moved behind the TSIG record.
		"all but loadbalance": {
			chain: "metadata\nprometheus 127.0.0.1:0\nerrors\nheader {\nresponse set ra\n}\nbufsize 1232\ncache 3600\n" +
				"rewrite name exact kms.corp.example.org _vlmcs._tcp.corp.example.org\ndnssec {\nkey file $KEYS\n}\n" +
				"transfer {\nto *\n}\nnsid x\ntsig {\nsecret " + keyName + " " + keySecret + "\nrequire all\n}",
			options: digKey + " +dnssec +nsid",
		},
	} {
		t.Run(name, func(t *testing.T) {
			kms1, kms2, kms3 := startHost(t), startHost(t), startHost(t)
			keys := makeKeys(t, "corp.example.org", "-a ECDSAP256SHA256 -f KSK")
			s := startServer(t, `corp.example.org:$PORT {
				bind 127.0.0.1
				`+tt.chain+`
				kms {
					host kms1.corp.example.org:$KMS1 priority 0 weight 60 address 127.0.0.1
					host kms2.corp.example.org:$KMS2 priority 0 weight 40 address 127.0.0.1
					host kms3.corp.example.org:$KMS3 priority 10 address 127.0.0.1
					probe rpc interval 1s timeout 500ms fall 2
				}
				file $ZONE
			}
			`+tt.blocks, "$KEYS", keys.files, "$ZONE", zoneFile(t), "$KMS1", kms1.number(), "$KMS2", kms2.number(), "$KMS3", kms3.number())
			awaitUp(t, "corp.example.org", 3)

			ask := func(name, qtype string) *reply {
				t.Helper()
				return s.dig(t, append(strings.Fields(tt.options), name, qtype)...)
			}
			testOverlaid(t, ask, kms1, kms2, kms3)
			if tt.unlike != nil {
				tt.unlike(t, s)
			}
			kms2.die()
			await(t, 6*time.Second, "the dead host is gone", func() bool {
				return len(services(ask(service, "SRV").answer())) == 2
			})
			equal(t, "answer without the dead host", services(ask(service, "SRV").answer()), []string{
				"kms1.corp.example.org:" + kms1.number() + " 0 60",
				"kms3.corp.example.org:" + kms3.number() + " 10 0",
			})
		})
	}
}

// testOverlaid checks what holds whatever is in the chain.
func testOverlaid(t *testing.T, ask func(name, qtype string) *reply, kms1, kms2, kms3 *fakeHost) {
	t.Helper()
	equal(t, "answer of kms", services(ask(service, "SRV").answer()), []string{
		"kms1.corp.example.org:" + kms1.number() + " 0 60",
		"kms2.corp.example.org:" + kms2.number() + " 0 40",
		"kms3.corp.example.org:" + kms3.number() + " 10 0",
	})
	for _, tt := range []struct{ name, qtype, status, answer string }{
		{"_ldap._tcp.corp.example.org.", "SRV", "NOERROR", "_ldap._tcp.corp.example.org.\tIN\tSRV\t0 100 389 www.corp.example.org."},
		{"www.corp.example.org.", "A", "NOERROR", "www.corp.example.org.\tIN\tA\t192.0.2.80"},
		{"www.corp.example.org.", "AAAA", "NOERROR", "www.corp.example.org.\tIN\tAAAA\t2001:db8::80"},
		{"intranet.corp.example.org.", "CNAME", "NOERROR", "intranet.corp.example.org.\tIN\tCNAME\twww.corp.example.org."},
		{"old-kms.corp.example.org.", "A", "NOERROR", "old-kms.corp.example.org.\tIN\tA\t192.0.2.99"},
		{"corp.example.org.", "MX", "NOERROR", "corp.example.org.\tIN\tMX\t10 mail.corp.example.org."},
	} {
		r := ask(tt.name, tt.qtype)
		if r.status != tt.status {
			t.Errorf("Got status %s for %s %s\n%s", r.status, tt.name, tt.qtype, r.text)
		}
		equal(t, tt.name+" "+tt.qtype+" from the zone file", records(ofType(r.answer(), dns.StringToType[tt.qtype])), []string{tt.answer})
	}
	for _, qtype := range []string{"TXT", "A"} {
		r := ask(service, qtype)
		soas := ofType(r.authority(), dns.TypeSOA)
		if r.status != "NOERROR" || len(r.answer()) != 0 || len(soas) != 1 {
			t.Errorf("Got status %s, answer %v, authority section %v for type %s", r.status, r.answer(), r.authority(), qtype)
			continue
		}
		if soa := soas[0].(*dns.SOA); soa.Serial != 2026010203 || soa.Hdr.Ttl != 60 {
			t.Errorf("Got the SOA %s, want the zone file's for as long as it lets a denial be kept", soa)
		}
	}
}

// testCached: the cache works, for the zone file.
func testCached(t *testing.T, s *server) {
	hits := func() float64 {
		return metric(t, "coredns_cache_hits_total", "server", "dns://127.0.0.1:"+strconv.Itoa(int(s.port)))
	}
	before := hits()
	s.dig(t, "www.corp.example.org", "A")
	if hits() != before+1 {
		t.Errorf("The cache was asked and did not hit")
	}
	s.dig(t, service, "SRV")
	s.dig(t, service, "TXT")
	if hits() != before+1 {
		t.Errorf("The cache answered for kms")
	}
}

// testDenied: a NODATA is signed and denies the type.
func testDenied(t *testing.T, s *server) {
	r := s.dig(t, "+dnssec", service, "TXT")
	nsecs := ofType(r.authority(), dns.TypeNSEC)
	if len(nsecs) != 1 || len(ofType(r.authority(), dns.TypeRRSIG)) != 2 {
		t.Fatalf("Got the authority section %v, want SOA and NSEC, both signed", r.authority())
	}
	if types := nsecs[0].(*dns.NSEC).TypeBitMap; slices.Contains(types, dns.TypeTXT) || !slices.Contains(types, dns.TypeSRV) {
		t.Errorf("Got %s, want one that denies TXT and not SRV", nsecs[0])
	}
}

// testMinimal: addresses are left out of positive answers.
func testMinimal(t *testing.T, s *server) {
	if r := s.dig(t, service, "SRV"); len(r.answer()) != 3 || len(r.additional()) != 0 {
		t.Errorf("Got %d SRV records, additional section %v", len(r.answer()), r.additional())
	}
}

// testRewritten: another name for ours gets our answer under the name that was asked for.
func testRewritten(t *testing.T, s *server) {
	const alias = "kms.corp.example.org."
	r := s.dig(t, alias, "SRV")
	if len(r.answer()) != 3 || r.question != alias {
		t.Fatalf("Got %d SRV records for %s:\n%s", len(r.answer()), r.question, r.text)
	}
	for _, rr := range r.answer() {
		if rr.Header().Name != alias {
			t.Errorf("Got the owner %s", rr.Header().Name)
		}
	}
	if r := s.dig(t, service, "SRV"); r.answer()[0].Header().Name != service {
		t.Errorf("The record of one answer was changed for another: %s", r.answer()[0])
	}
}

const branchView = `
corp.example.org:$PORT {
	bind 127.0.0.1
	view branch {
		expr client_ip() == '127.0.0.2'
	}
	kms {
		host kms3.corp.example.org:$KMS3 priority 0 address 127.0.0.1
		host kms1.corp.example.org:$KMS1 priority 7 weight 1 address 127.0.0.1
		ttl 60s
		probe rpc interval 1s timeout 500ms fall 2
	}
	file $ZONE
}`

// testViews: two views of one zone name their own hosts.
func testViews(t *testing.T, s *server) {
	here, there := services(s.dig(t, service, "SRV").answer()), s.dig(t, "-b", "127.0.0.2", service, "SRV")
	if got := services(there.answer()); len(got) != 2 || !strings.HasPrefix(got[0], "kms3.") || !strings.HasSuffix(got[1], " 7 1") {
		t.Errorf("Got %v in the branch", got)
	}
	if ttl := there.answer()[0].Header().Ttl; ttl != 60 {
		t.Errorf("Got TTL %d in the branch, want 60", ttl)
	}
	if len(here) != 3 {
		t.Errorf("Got %v outside the branch", here)
	}
}

// testSignedMessages: who asks with the key gets an answer signed with it, and who asks without gets none.
func testSignedMessages(t *testing.T, s *server) {
	each(t, func(t *testing.T, ask asker) {
		for _, question := range []string{service + " SRV", service + " TXT", "www.corp.example.org A", "_tcp.corp.example.org A"} {
			for _, transport := range []string{"+notcp", "+tcp"} {
				r := ask(s, t, append(append(strings.Fields(digKey), transport, "+norecurse"), strings.Fields(question)...)...)
				// Both warn when a signature is missing or wrong.
				if r.status != "NOERROR" || !strings.Contains(r.text, "TSIG PSEUDOSECTION") || strings.Contains(r.text, "WARNING") {
					t.Errorf("Got no signed answer to %s:\n%s", question, r.text)
				}
			}
		}
		if r := ask(s, t, service, "SRV"); r.status != "REFUSED" || len(r.answer()) != 0 {
			t.Errorf("Got status %s without a key", r.status)
		}
	})
}

// testTransfer: the zone that kms is laid over can be transferred as before. It is the zone of the file: what kms answers
// depends on the moment and belongs to no version of it.
func testTransfer(t *testing.T, s *server) {
	for _, name := range []string{"dig", "kdig"} {
		out, ok := program(t, name, "@127.0.0.1", "-p", strconv.Itoa(int(s.port)), "+tcp", "corp.example.org", "AXFR")
		var types []string
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) > 4 && !strings.HasPrefix(line, ";") {
				types = append(types, fields[3])
			}
		}
		const all = 16
		if !ok || len(types) != all || types[0] != "SOA" || types[all-1] != "SOA" || !strings.Contains(out, "old-kms") {
			t.Errorf("Got %d records from %s, want %d:\n%s", len(types), name, all, out)
		}
	}
}

// TestParent: kms for a zone that is no zone of its own takes the SOA of the zone around it.
func TestParent(t *testing.T) {
	kms := startHost(t)
	s := startServer(t, `corp.example.org:$PORT {
		bind 127.0.0.1
		kms berlin.corp.example.org {
			host kms1.berlin.corp.example.org:$KMS address 127.0.0.1
			probe rpc interval 1s timeout 500ms
		}
		file $ZONE
	}`, "$KMS", kms.number(), "$ZONE", zoneFile(t))
	awaitUp(t, "berlin.corp.example.org", 1)
	const name = "_vlmcs._tcp.berlin.corp.example.org."
	equal(t, "answer", services(s.dig(t, name, "SRV").answer()), []string{"kms1.berlin.corp.example.org:" + kms.number() + " 0 0"})
	for _, name := range []string{name, "_tcp.berlin.corp.example.org."} {
		r := s.dig(t, name, "TXT")
		if ns := r.authority(); r.status != "NOERROR" || len(ns) != 1 || ns[0].Header().Name != "corp.example.org." {
			t.Errorf("Got status %s, authority section %v for %s", r.status, ns, name)
		}
	}
	equal(t, "answer of the zone above", services(s.dig(t, service, "SRV").answer()), []string{"old-kms.corp.example.org:1688 0 0"})
}

// TestQueriesWhileHostsFlip puts every plugin that touches answers into one chain and asks from many sides at once while a
// host dies and comes back. The race detector looks for records that are shared and changed; the test for answers that were
// never true.
func TestQueriesWhileHostsFlip(t *testing.T) {
	kms1, kms2, kms3 := startHost(t), startHost(t), startHost(t)
	keys := makeKeys(t, "corp.example.org", "-a ECDSAP256SHA256 -f KSK")
	const chain = `
		bind 127.0.0.1
		metadata
		errors
		cache
		header {
			response set ra
		}
		loadbalance
		rewrite name exact kms.corp.example.org _vlmcs._tcp.corp.example.org
		dnssec {
			key file $KEYS
		}
		transfer {
			to *
		}
		tsig {
			secret ` + keyName + " " + keySecret + `
		}
		kms {
			host kms1.corp.example.org:$KMS1 priority 0 weight 60 address 127.0.0.1
			host kms2.corp.example.org:$KMS2 priority 0 weight 40 address 127.0.0.1
			host 127.0.0.1:$KMS3 priority 10
			probe rpc interval 1s timeout 500ms fall 2
		}
		file $ZONE
	`
	s := startServer(t, "corp.example.org:$PORT {"+chain+"\nview plain {\nexpr client_ip() != '127.0.0.2'\n}\n}\n"+
		"corp.example.org:$PORT {"+chain+"\nview small {\nexpr client_ip() == '127.0.0.2'\n}\nminimal\n}",
		"$KEYS", keys.files, "$ZONE", zoneFile(t), "$KMS1", kms1.number(), "$KMS2", kms2.number(), "$KMS3", kms3.number())
	awaitUp(t, "corp.example.org", 3)

	one, two, three := "kms1.corp.example.org:"+kms1.number(), "kms2.corp.example.org:"+kms2.number(), "kms-127-0-0-1.corp.example.org:"+kms3.number()
	legal := [][]string{
		{one + " 0 60", two + " 0 40", three + " 10 0"},  // all is well
		{one + " 0 60", three + " 10 0", two + " 11 40"}, // one is suspect
		{one + " 0 60", three + " 10 0"},                 // and then gone
	}
	names := []string{service, "_VlMcS._tCp.CoRp.ExAmPlE.oRg.", "kms.corp.example.org."}
	const least = 300 // of each goroutine, and until the host was seen to go and to come back

	var clients sync.WaitGroup
	flipped := make(chan struct{})
	var asked [8]int
	var seen [8]map[string]bool
	for c := range asked {
		seen[c] = make(map[string]bool)
		clients.Go(func() {
			how := asking{tcp: c%4 == 3, size: []uint16{0, 1232}[c%2], dnssec: c%2 == 1}
			for done := false; !done || asked[c] < least; asked[c]++ {
				select {
				case <-flipped:
					done = true
				default:
				}
				name := names[asked[c]%len(names)]
				reply, err := s.ask(name, dns.TypeSRV, how)
				if err != nil {
					t.Errorf("No answer: %v", err)
					return
				}
				if err := legalReply(reply, name, legal, keys.anchor); err != nil {
					t.Errorf("%v\n%s", err, reply)
					return
				}
				seen[c][strings.Join(services(reply.Answer), ", ")] = true
			}
		})
	}
	up := func() bool { return metric(t, "coredns_kms_host_up", "pool", "corp.example.org", "host", two) == 1 }
	for range 2 {
		kms2.die()
		await(t, 10*time.Second, "the host gone", func() bool { return len(s.services(t, service)) == 2 })
		kms2.start(t)
		await(t, 10*time.Second, "the host back", up)
	}
	close(flipped)
	clients.Wait()
	for c := range asked {
		if len(seen[c]) != len(legal) && !t.Failed() {
			t.Errorf("Client %d saw %d different answers in %d, want %d", c, len(seen[c]), asked[c], len(legal))
		}
	}
}

// legalReply says what is wrong with a reply to a question for name.
func legalReply(reply *dns.Msg, name string, legal [][]string, key *dns.DNSKEY) error {
	if reply.Rcode != dns.RcodeSuccess || !reply.Authoritative || reply.Truncated || reply.Question[0].Name != name {
		return fmt.Errorf("wrong header or question")
	}
	got := services(reply.Answer)
	if !slices.ContainsFunc(legal, func(l []string) bool { return slices.Equal(l, got) }) {
		return fmt.Errorf("an answer that was never true: %v", got)
	}
	for _, rr := range reply.Answer {
		if !strings.EqualFold(rr.Header().Name, name) {
			return fmt.Errorf("an owner that nobody asked for: %s", rr.Header().Name)
		}
	}
	sigs := ofType(reply.Answer, dns.TypeRRSIG)
	if reply.IsEdns0() == nil || !reply.IsEdns0().Do() {
		if len(sigs) != 0 {
			return fmt.Errorf("signatures that nobody asked for")
		}
		return nil
	}
	if len(sigs) != 1 {
		return fmt.Errorf("%d signatures", len(sigs))
	}
	if name == "kms.corp.example.org." {
		return nil // signed under the name that it stands for
	}
	sig := sigs[0].(*dns.RRSIG)
	if err := sig.Verify(key, ofType(reply.Answer, dns.TypeSRV)); err != nil {
		return fmt.Errorf("wrong signature: %w", err)
	}
	return nil
}
