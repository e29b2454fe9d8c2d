package discover

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const corp = "corp.example.org"

// TestDiscover is what a client meets, one thing at a time.
func TestDiscover(t *testing.T) {
	host := func(port string) string {
		return "_vlmcs._tcp SRV 0 0 " + port + " kms1\nkms1 A 127.0.0.1\n"
	}
	const root = "@ SOA ns1 hostmaster 7 2h 30m 2w 1m\n"
	for name, tt := range map[string]struct {
		arrange func(t *testing.T) Client
		status  Status
		code    string
		verdict string
		mark    Mark   // of the step that is looked at
		step    string // in its text
		change  string // in what it says to change
	}{
		"all well": {
			arrange: func(t *testing.T) Client {
				return client([]*nameServer{newNameServer(t, corp, apex+host(rehearsalHost(t)))}, "Corp.Example.org.")
			},
			status: OK, verdict: "reaches it at its first try",
			mark: Good, step: "is in the zone corp.example.org, whose primary server is ns1.corp.example.org, serial 7",
		},
		"NXDOMAIN": {
			arrange: func(t *testing.T) Client { return single(t, apex) },
			status:  Critical, code: "0x8007232B", verdict: "no host: _vlmcs._tcp.corp.example.org: does not exist (NXDOMAIN)",
			mark: Fail, step: "does not exist (NXDOMAIN)", change: "_vlmcs._tcp.corp.example.org. SRV 0 0 1688 kms1.corp.example.org.",
		},
		"NODATA": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp TXT kms1\n")
			},
			status: Critical, code: "0x8007251D", verdict: "exists and has no SRV record (NODATA)",
			mark: Fail, step: "NODATA", change: "all its hosts are down or drained",
		},
		"SERVFAIL": {
			arrange: func(t *testing.T) Client {
				return single(t, apex, func(n *nameServer) {
					n.rcodes["_vlmcs._tcp.corp.example.org."] = dns.RcodeServerFailure
					n.add(t, "@ NS ns2\n") // which has no address
				})
			},
			status: Critical, code: "0x8007232A", verdict: "could not find out (SERVFAIL)",
			mark: Warn, step: "the name server ns2.corp.example.org has no address", change: "take it out of the NS records",
		},
		"REFUSED": {
			arrange: func(t *testing.T) Client {
				return client([]*nameServer{newNameServer(t, "other.example.org", apex)}, corp)
			},
			status: Critical, code: "0x8007232D", verdict: "refuses to answer (REFUSED)",
			mark: Fail, step: "REFUSED", change: "access list",
		},
		"a referral": {
			arrange: func(t *testing.T) Client {
				return single(t, apex, func(n *nameServer) { n.refer = true })
			},
			status: Critical, code: "0x8007251D", verdict: "refers to other servers and resolves nothing itself",
			mark: Fail, step: "a client takes that for no record", change: "ask a resolver",
		},
		"FORMERR": {
			arrange: func(t *testing.T) Client {
				return single(t, apex, func(n *nameServer) { n.rcodes["_vlmcs._tcp.corp.example.org."] = dns.RcodeFormatError })
			},
			status: Critical, code: "0x80072329", verdict: "answers FORMERR",
			mark: Fail, step: "FORMERR", change: "log",
		},
		"no DNS server answers": {
			arrange: func(t *testing.T) Client {
				c := client(nil, corp)
				c.Servers = []string{"127.0.0.1:" + deadHost(t)} // closed to UDP as well, unless somebody took it meanwhile
				return c
			},
			status: Critical, code: "0x800705B4", verdict: "a client finds no host: nothing listens at 127.0.0.1:",
			mark: Fail, step: "nothing listens", change: "port 53",
		},
		"a DNS server that is silent": {
			arrange: func(t *testing.T) Client {
				return impatient(single(t, apex, func(n *nameServer) { n.deaf = "_vlmcs._tcp.corp.example.org." }))
			},
			status: Critical, code: "0x800705B4", verdict: "does not answer",
			mark: Fail, step: "does not answer", change: "port 53",
		},
		"no DNS server": {
			arrange: func(t *testing.T) Client { return client(nil, corp) },
			status:  Critical, code: "0x8007267C", verdict: "a client finds no host: there is none to ask",
			mark: Fail, step: "none to ask", change: "-server",
		},
		"no suffix": {
			arrange: func(t *testing.T) Client { return client([]*nameServer{newNameServer(t, corp, apex)}) },
			status:  Critical, code: "0x8007007B", verdict: "a client finds no host: DNS suffixes: there is none",
			mark: Fail, step: "does not send a single question", change: "slmgr /skms-domain",
		},
		"no suffix, and the bare name works": {
			arrange: func(t *testing.T) Client {
				return client([]*nameServer{newNameServer(t, ".", "_vlmcs._tcp SRV 0 0 1688 kms1.corp.example.org.\n")})
			},
			status: Critical, code: "0x8007007B", verdict: "nslookup works, slmgr does not: the bare name _vlmcs._tcp has 1 SRV record",
			mark: Fail, step: "no client asks for a name without a suffix", change: "put the records at _vlmcs._tcp.SUFFIX",
		},
		"the bare name works, the suffix does not": {
			arrange: func(t *testing.T) Client {
				return client([]*nameServer{newNameServer(t, ".", root+"_vlmcs._tcp SRV 0 0 1688 kms1.corp.example.org.\n")}, corp)
			},
			status: Critical, code: "0x8007232B", verdict: "a client finds no host: nslookup works, slmgr does not: the bare name",
			mark: Fail, step: "the bare name", change: "put the records at _vlmcs._tcp.corp.example.org, where clients look",
		},
		"the search list of tools works": {
			arrange: func(t *testing.T) Client {
				c := client([]*nameServer{newNameServer(t, "example.org", apex+"_vlmcs._tcp.lab SRV 0 0 1688 kms1\n")}, corp)
				c.Search = []string{"lab.example.org", corp}
				return c
			},
			status: Critical, code: "0x8007232B", verdict: "nslookup works, slmgr does not: _vlmcs._tcp.lab.example.org has 1 SRV record",
			mark: Fail, step: "a client with these suffixes does not", change: "or tell the clients: slmgr /skms-domain lab.example.org",
		},
		"the domain above works": {
			arrange: func(t *testing.T) Client {
				return client([]*nameServer{newNameServer(t, "example.org", apex+"_vlmcs._tcp SRV 0 0 1688 kms1\n")}, corp)
			},
			status: Critical, code: "0x8007232B", verdict: "nslookup works, slmgr does not: _vlmcs._tcp.example.org has",
			mark: Good, step: "corp.example.org is no zone of its own",
		},
		"nobody knows the zone": {
			arrange: func(t *testing.T) Client {
				n := newNameServer(t, ".", root, func(n *nameServer) { n.resolver = true })
				return client([]*nameServer{n}, corp)
			},
			status: Critical, code: "0x8007232B", verdict: "does not exist",
			mark: Note, step: `the nearest zone is ".": nobody whom`,
		},
		"a zone cut of its own": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SOA ns1 hostmaster 8 2h 30m 2w 1m\n_vlmcs._tcp NS ns1\n"+host(rehearsalHost(t)))
			},
			status: OK, verdict: "reaches it at its first try",
			mark: Good, step: "the cut is below corp.example.org",
		},
		"a name server that does not serve the zone": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(rehearsalHost(t))+"@ NS ns2\nns2 A 127.0.0.153\n")
			},
			status: Warning, verdict: "the name server ns2.corp.example.org",
			mark: Warn, step: "does not serve corp.example.org", change: "repair that server",
		},
		"name servers that only the resolver reaches": {
			arrange: func(t *testing.T) Client {
				elsewhere := strings.ReplaceAll(apex, "127.0.0.1", "127.0.0.153")
				return single(t, elsewhere+host(rehearsalHost(t)), func(n *nameServer) { n.resolver = true })
			},
			status: OK, verdict: "first try",
			mark: Note, step: "knows the zone all the same",
		},
		"the only host is dead": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(deadHost(t)))
			},
			status: Critical, code: "0xC004F074", verdict: "a client finds one host, and it does not serve: connection to 127.0.0.1:",
			mark: Fail, step: "refused: nothing listens there", change: "take its SRV record away",
		},
		"one of two is dead": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(rehearsalHost(t))+"_vlmcs._tcp SRV 0 0 "+deadHost(t)+" kms1\n")
			},
			status: Warning, verdict: "50 % of clients first try one that does not serve: kms1.corp.example.org:",
			mark: Fail, step: "first for 50 %: connection to",
		},
		"the first is dead": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(deadHost(t))+"_vlmcs._tcp SRV 1 0 "+rehearsalHost(t)+" kms1\n")
			},
			status: Warning, verdict: "every client first tries one that does not serve: kms1.corp.example.org:",
			mark: Fail, step: "always first",
		},
		"the last is dead": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(rehearsalHost(t))+"_vlmcs._tcp SRV 1 0 "+deadHost(t)+" kms1\n")
			},
			status: Warning, verdict: "a client finds a live host, but 2. kms1.corp.example.org:",
			mark: Fail, step: "priority 1, weight 0, behind others",
		},
		"a hung host": {
			arrange: func(t *testing.T) Client {
				c := single(t, apex+host(hungHost(t)))
				c.Prober.Timeout = 300 * time.Millisecond
				return c
			},
			status: Critical, code: "0xC004F074", verdict: "took the connection and did not answer the bind",
			mark: Fail, step: "hung", change: "Restart-Service sppsvc",
		},
		"a host that speaks no RPC": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(webServer(t)))
			},
			status: Critical, code: "0xC004F074", verdict: "not an answer to a DCE/RPC bind",
			mark: Fail, step: "always first", change: "another program has that port",
		},
		"a target that is an alias": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SRV 0 0 "+rehearsalHost(t)+" kms\nkms CNAME kms1\nkms1 A 127.0.0.1\n")
			},
			status: Warning, verdict: "the target is an alias for kms1.corp.example.org",
			mark: Warn, step: "which an SRV target must not be", change: "put kms1.corp.example.org into the SRV record",
		},
		"the service name is an alias": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp CNAME _vlmcs._tcp.hub\n_vlmcs._tcp.hub SRV 0 0 "+rehearsalHost(t)+" ns1\n")
			},
			status: OK, verdict: "first try",
			mark: Note, step: "is an alias for _vlmcs._tcp.hub.corp.example.org",
		},
		"a target without an address": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SRV 0 0 1688 kms1\nkms1 TXT x\n")
			},
			status: Critical, code: "0xC004F074", verdict: "kms1.corp.example.org has no address",
			mark: Fail, step: "has no address", change: "add an A or AAAA record for kms1.corp.example.org",
		},
		"a target that does not exist": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SRV 0 0 1688 kms1\n")
			},
			status: Critical, code: "0xC004F074", verdict: "kms1.corp.example.org does not exist (NXDOMAIN)",
			mark: Fail, step: "does not exist", change: "add an A or AAAA record",
		},
		"a dot that is missing": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SRV 0 0 1688 kms1.corp.example.org\n")
			},
			status: Critical, code: "0xC004F074", verdict: "kms1.corp.example.org.corp.example.org does not exist",
			mark: Fail, step: "does not exist", change: `the dot at the end of the target is missing in the zone file: write "kms1.corp.`,
		},
		"a target that is an address": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SRV 0 0 1688 192.0.2.10.\n")
			},
			status: Critical, code: "0xC004F074", verdict: "the target looks like an IP address",
			mark: Fail, step: "nobody resolves it", change: "give that address a name",
		},
		"port 0": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host("0"))
			},
			status: Critical, code: "0xC004F074", verdict: "the port is 0",
			mark: Fail, step: "where nothing can listen", change: "make it 1688",
		},
		"target .": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SRV 0 0 0 .\n")
			},
			status: Critical, code: "0xC004F074", verdict: "says that there is no KMS host",
			mark: Fail, step: "no KMS host", change: "take the record away",
		},
		"a target that is no host name": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp SRV 0 0 "+rehearsalHost(t)+" kms_1\nkms_1 A 127.0.0.1\n")
			},
			status: Warning, verdict: "no full host name",
			mark: Warn, step: "kms_1.corp.example.org:",
		},
		"one address of two is dead": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(rehearsalHost(t))+"kms1 A 127.0.0.9\n")
			},
			status: Warning, verdict: "a client that tries 127.0.0.9 first waits",
			mark: Warn, step: "127.0.0.9", change: "take the address away from kms1.corp.example.org",
		},
		"a truncated answer": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(rehearsalHost(t)), func(n *nameServer) { n.truncate = true })
			},
			status: OK, verdict: "first try",
			mark: Good, step: "1 SRV record, TTL 30 s, authoritative, by TCP since they do not fit into UDP",
		},
		"a truncated answer, and no TCP": {
			arrange: func(t *testing.T) Client {
				packets, err := net.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				n := &nameServer{zone: corp + ".", truncate: true}
				s := &dns.Server{PacketConn: packets, Handler: n}
				started, done := make(chan struct{}), make(chan error, 1)
				s.NotifyStartedFunc = func() { close(started) }
				go func() { done <- s.ActivateAndServe() }()
				<-started
				t.Cleanup(func() { s.Shutdown(); <-done })
				c := client(nil, corp)
				c.Servers = []string{packets.LocalAddr().String()}
				return c
			},
			status: Critical, code: "0x800705B4", verdict: "does not fit into UDP, and TCP port 53 is not to be had: connection refused",
			mark: Fail, step: "does not fit", change: "open TCP port 53",
		},
		"two servers disagree": {
			arrange: func(t *testing.T) Client {
				port := rehearsalHost(t)
				a, b := newNameServer(t, corp, apex+host(port)), newNameServer(t, corp, apex)
				return client([]*nameServer{a, b}, corp)
			},
			status: Warning, verdict: "answers NXDOMAIN, and 127.0.0.1:",
			mark: Warn, step: "answers NXDOMAIN", change: "make both serve the same zone",
		},
		"two servers have other records": {
			arrange: func(t *testing.T) Client {
				port := rehearsalHost(t)
				a, b := newNameServer(t, corp, apex+host(port)), newNameServer(t, corp, apex+host("1688"))
				return client([]*nameServer{a, b}, corp)
			},
			status: Warning, verdict: "it has kms1.corp.example.org:1688 (0 0), it lacks kms1.corp.example.org:",
			mark: Warn, step: "answers otherwise than",
		},
		"the first server is dead": {
			arrange: func(t *testing.T) Client {
				c := single(t, apex+host(rehearsalHost(t)))
				c.Servers = slices.Insert(c.Servers, 0, "127.0.0.1:"+deadHost(t))
				return c
			},
			status: Warning, verdict: "a client finds a live host, but nothing listens at",
			mark: Fail, step: "nothing listens at", change: "take it from the clients' list of DNS servers",
		},
		"a high TTL": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+"_vlmcs._tcp 86400 SRV 0 0 "+rehearsalHost(t)+" ns1\n")
			},
			status: Warning, verdict: "the TTL is high: for 24h0m0s",
			mark: Warn, step: "TTL", change: "lower the TTL",
		},
		"an extended error": {
			arrange: func(t *testing.T) Client {
				return single(t, apex+host(rehearsalHost(t)), func(n *nameServer) {
					n.extended = &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeStaleAnswer, ExtraText: "every host is down\x1b[31m\u202e"}
				})
			},
			status: Warning, verdict: `the server adds: Stale Answer (3): every host is down\x1b[31m\u202e`,
			mark: Warn, step: "Stale Answer",
		},
		"several suffixes, the second has it": {
			arrange: func(t *testing.T) Client {
				c := client([]*nameServer{newNameServer(t, "example.org", apex+"_vlmcs._tcp SRV 0 0 "+rehearsalHost(t)+" ns1\n")})
				c.Suffixes = []Suffix{{Name: corp, Source: "x"}, {Name: "example.org", Source: "x"}}
				return c
			},
			status: OK, verdict: "under example.org",
			mark: Note, step: "does not exist (NXDOMAIN): a client goes on to its next suffix",
		},
		"several suffixes that were asked for": {
			arrange: func(t *testing.T) Client {
				n := newNameServer(t, "example.org", apex+"_vlmcs._tcp SRV 0 0 "+rehearsalHost(t)+" ns1\n")
				return client([]*nameServer{n}, corp, "example.org")
			},
			status: Warning, verdict: "_vlmcs._tcp.corp.example.org: does not exist",
			mark: Warn, step: "does not exist", change: "publish",
		},
		"several suffixes, other hosts": {
			arrange: func(t *testing.T) Client {
				n := newNameServer(t, "example.org", apex+"_vlmcs._tcp SRV 0 0 "+rehearsalHost(t)+" ns1\n"+
					"_vlmcs._tcp.corp SRV 0 0 "+deadHost(t)+" ns1\n")
				return client([]*nameServer{n}, "example.org", corp)
			},
			status: Warning, verdict: "has other records than _vlmcs._tcp.example.org",
			mark: Fail, step: "connection to", // of the host that this client does not come to
		},
		"Vista": {
			arrange: func(t *testing.T) Client {
				c := single(t, apex+host(rehearsalHost(t))+"_vlmcs._tcp SRV 9 0 "+deadHost(t)+" kms1\n")
				c.AnyOrder = true
				return c
			},
			status: Warning, verdict: "50 % of clients first try",
			mark: Fail, step: "first for 50 %",
		},
		"a host that was set by hand": {
			arrange: func(t *testing.T) Client {
				c := client([]*nameServer{newNameServer(t, corp, apex)})
				c.Host = "NS1." + corp + ":" + rehearsalHost(t)
				return c
			},
			status: OK, verdict: "a client finds ns1.corp.example.org:",
			mark: Good, step: "as by slmgr /skms",
		},
		"an address that was set by hand": {
			arrange: func(t *testing.T) Client {
				c := client(nil)
				c.Host = "127.0.0.1:" + deadHost(t)
				return c
			},
			status: Critical, code: "0xC004F074", verdict: "it does not serve: connection to 127.0.0.1",
			mark: Fail, step: "refused", change: "slmgr /ckms",
		},
		"a short name that was set by hand": {
			arrange: func(t *testing.T) Client {
				c := single(t, apex)
				c.Host = "ns1:" + rehearsalHost(t)
				return c
			},
			status: OK, verdict: "ns1.corp.example.org:",
			mark: Note, step: "ns1 is a short name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := tt.arrange(t).Discover(t.Context())
			if r.Status != tt.status || r.Code != tt.code || !strings.Contains(r.Verdict, tt.verdict) {
				t.Errorf("Got %s %q %q, want %s %q %q:%s", r.Status, r.Code, r.Verdict, tt.status, tt.code, tt.verdict, steps(r))
			}
			s := wants(t, r, tt.mark, tt.step)
			if !strings.Contains(strings.Join(s.Change, "\n"), tt.change) {
				t.Errorf("Got %q to change, want %q", s.Change, tt.change)
			}
			for _, s := range r.Steps {
				if (s.Mark == Fail) != (len(s.Change) > 0) && s.Mark != Warn {
					t.Errorf("%s %q says to change %q", s.Mark, s.Text, s.Change)
				}
			}
		})
	}
}

// TestDiscoverUsesTheAdditionalSection: addresses that come along are not asked for again.
func TestDiscoverUsesTheAdditionalSection(t *testing.T) {
	n := newNameServer(t, corp, apex+"_vlmcs._tcp SRV 0 0 "+rehearsalHost(t)+" kms1\nkms1 A 127.0.0.1\n", func(n *nameServer) {
		n.additional, n.rcodes["kms1.corp.example.org."] = true, dns.RcodeServerFailure
	})
	r := client([]*nameServer{n}, corp).Discover(t.Context())
	if r.Status != OK || len(r.Hosts) != 1 || len(r.Hosts[0].Addresses) != 1 || !r.Hosts[0].Addresses[0].Given {
		t.Errorf("Got %s, %+v", r.Status, r.Hosts)
	}
}

func TestDiscoverAnswers(t *testing.T) {
	n := newNameServer(t, corp, apex+"_vlmcs._tcp SRV 10 60 "+rehearsalHost(t)+" ns1\n"+
		"_vlmcs._tcp SRV 10 40 1688 kms2\n_vlmcs._tcp SRV 20 0 1688 kms3\n")
	r := client([]*nameServer{n}, corp).Discover(t.Context())
	if len(r.Answers) != 1 || r.Answers[0].Outcome != "NOERROR" || r.Answers[0].TTL != 30 ||
		!r.Answers[0].Authoritative || len(r.Answers[0].Records) != 3 {
		t.Errorf("Got %+v", r.Answers)
	}
	var chances []float64
	for _, h := range r.Hosts {
		chances = append(chances, h.Chance)
	}
	if !slices.Equal(chances, []float64{0.6, 0.4, 0}) {
		t.Errorf("Got chances %v", chances)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"version":1`, `"status":"WARNING"`, `"outcome":"passed"`, `"extended_errors":[]`,
		`"suffixes":[{"name":"corp.example.org","source":"as given","given":true}]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("Without %s: %s", want, text)
		}
	}
	if strings.Contains(string(text), ":null") {
		t.Errorf("A list is null: %s", text)
	}
}

// TestDiscoverIsBounded: what outsiders publish does not decide how long it takes.
func TestDiscoverIsBounded(t *testing.T) {
	records := apex
	for i := range 150 {
		records += "_vlmcs._tcp SRV 0 0 " + deadHost(t) + " ns1." + strings.Repeat("x", i%50+1) + "\n"
	}
	c := single(t, records)
	for range 20 {
		c.Suffixes = append(c.Suffixes, Suffix{Name: strings.Repeat("y.", len(c.Suffixes)) + corp},
			Suffix{Name: strings.Repeat("z", 64) + ".example"})
	}
	for range 20 {
		c.Search = append(c.Search, strings.Repeat("s.", len(c.Search)+1)+"example.net")
		c.Servers = append(c.Servers, c.Servers[0])
	}
	r := c.Discover(t.Context())
	if len(r.Suffixes) != MaxSuffixes || len(r.Servers) != MaxServers || len(r.Hosts) > MaxRecords || len(r.Hosts) < 50 {
		t.Errorf("Got %d suffixes, %d servers, %d hosts", len(r.Suffixes), len(r.Servers), len(r.Hosts))
	}
	wants(t, r, Warn, "more records are left out here")
	wants(t, r, Warn, "is left out: it is no domain name")
	wants(t, r, Note, "13 more are not asked")
}

func TestDiscoverEnds(t *testing.T) {
	n := newNameServer(t, corp, apex, func(n *nameServer) { n.deaf = "_vlmcs._tcp.corp.example.org." })
	c := client([]*nameServer{n}, corp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := c.Discover(ctx); r.Status != Unknown || r.Code != "" || !strings.Contains(r.Verdict, "not enough time") {
		t.Errorf("Got %s %s %q", r.Status, r.Code, r.Verdict)
	}
}

func TestInOrder(t *testing.T) {
	hosts := []Host{
		{Record: Record{Priority: 5, Target: "unused"}},
		{Record: Record{Priority: 10, Weight: 0, Target: "b"}, used: true},
		{Record: Record{Priority: 10, Weight: 9, Target: "c"}, used: true},
		{Record: Record{Priority: 20, Weight: 65535, Target: "d"}, used: true},
		{Record: Record{Priority: 10, Weight: 0, Target: "a"}, used: true},
	}
	inOrder(hosts, false)
	var got []string
	sum := 0.0
	for _, h := range hosts {
		got, sum = append(got, h.Target), sum+h.Chance
	}
	if want := []string{"c", "a", "b", "d", "unused"}; !slices.Equal(got, want) || hosts[0].Chance != 0.9 || hosts[1].Chance != 0.05 ||
		sum < 0.999 || sum > 1.001 {
		t.Errorf("Got %v, chances %+v", got, hosts)
	}
	inOrder(hosts, true)
	if hosts[0].Target != "a" || hosts[0].Chance != 0.25 || hosts[3].Chance != 0.25 || hosts[4].Chance != 0 {
		t.Errorf("In any order: %+v", hosts)
	}
}
