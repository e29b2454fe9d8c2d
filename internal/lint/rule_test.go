package lint

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// at is the line that the rules should name; nothing else of the Corefile stands on one of these.
const at = 7

func address(s string) netip.Addr    { return netip.MustParseAddr(s) }
func network(s string) netip.Prefix  { return netip.MustParsePrefix(s) }
func host(name string) config.Host   { return config.Host{Name: name, Port: 1688} }
func priority(n uint16) config.Host  { h := host("kms3.example.org."); h.Priority = n; return h }
func responder() *config.Responder   { r := config.DefaultResponder(); return &r }
func directive(words ...string) Line { return Line{config.Place{File: "Corefile", Line: 20}, words} }

func advertise(priority uint16) *config.Responder {
	r := responder()
	r.Advertise = config.Advertise{Name: "kms.example.org.", Priority: priority}
	return r
}

func update() *config.Update {
	u := config.DefaultUpdate()
	u.Allow = []netip.Prefix{network("192.0.2.0/24")}
	return &u
}

// good is a Corefile about which there is nothing to say: one server block with one kms block.
func good() *Corefile {
	b := config.Default()
	b.Zones = []string{"example.org."}
	b.Hosts = []config.Host{host("kms1.example.org."), host("kms2.example.org.")}
	b.Store = "/var/lib/coredns-kms/kms.db"
	return &Corefile{
		File: "Corefile",
		Servers: []Server{{
			Zones: []string{"example.org."}, Listens: []string{"dns://:53"}, Behind: []string{"file"},
			Directives: map[string][]Line{"errors": {directive("errors")}, "ready": {directive("ready")}, "prometheus": {directive("prometheus")}},
			Blocks: []Block{{
				Block:  b,
				Places: config.Places{"kms": {File: "Corefile", Line: 3}},
				Below:  map[string]Zone{"example.org.": {MNAME: "ns1.example.org."}},
			}},
		}},
		Local: []netip.Addr{address("192.0.2.53")},
		Names: map[string]Name{"ns1.example.org.": {Below: &Answer{Addresses: []netip.Addr{address("192.0.2.53")}}}},
	}
}

func TestGoodIsQuiet(t *testing.T) {
	if found := Check(good()); len(found) > 0 {
		t.Errorf("Got %v, want nothing", found)
	}
}

// TestRules has at least one case for each rule. place is what stands on line 7 of the Corefile, where the finding has to be;
// "" if it belongs to the block, "-" to the file, "+" to the directive on line 20.
func TestRules(t *testing.T) {
	type change func(c *Corefile, s *Server, b *Block)
	cases := []struct {
		rule, place string
		fires       change
		says        string
		quiet       change // what is different where there is nothing to say; nil: the good Corefile
	}{
		{"one-host", "host kms1.example.org:1688", func(_ *Corefile, _ *Server, b *Block) { b.Hosts = b.Hosts[:1] }, "only KMS host",
			func(_ *Corefile, _ *Server, b *Block) { b.Hosts, b.Update = b.Hosts[:1], update() }},
		{"one-host", "host kms1.example.org:1688", func(_ *Corefile, _ *Server, b *Block) {
			b.Hosts, b.Update = b.Hosts[:1], update()
			b.Update.Observe, b.Update.Allow = true, nil
		}, "only KMS host", nil},
		{"hosts-per-key", "host h.example.org:1688", func(_ *Corefile, _ *Server, b *Block) {
			for _, n := range []string{"c", "d", "e", "f", "h"} {
				b.Hosts = append(b.Hosts, host(n+".example.org."))
			}
		}, "more than 6 hosts with \"key any\"", func(_ *Corefile, _ *Server, b *Block) {
			for i, n := range []string{"c", "d", "e", "f", "f", "h"} { // f on two ports, h with another key
				h := host(n + ".example.org.")
				h.Port += uint16(i)
				b.Hosts = append(b.Hosts, h)
			}
			b.Hosts[7].Key = config.ServerA
		}},
		{"unreachable", "host kms2.example.org:1688", func(c *Corefile, _ *Server, _ *Block) {
			c.Probes = map[string]string{"kms1.example.org:1688": "", "kms2.example.org:1688": "connect: refused"}
		}, "kms2.example.org:1688 does not pass a probe from here: connect: refused", func(c *Corefile, _ *Server, b *Block) {
			b.Rehearse = []config.Rehearse{{Address: "127.0.0.1:1688"}} // which runs when the server does
			b.Hosts[0].Addresses, b.Hosts[1].Addresses = []netip.Addr{address("127.0.0.1")}, []netip.Addr{address("127.0.0.1")}
			c.Probes = map[string]string{"kms2.example.org:1688": "connect: refused"}
		}},
		{"unresolvable", "host kms2.example.org:1688", func(c *Corefile, _ *Server, _ *Block) {
			c.Names["kms2.example.org."] = Name{Resolver: &Answer{Err: "no such host"}}
		}, "kms2.example.org cannot be looked up from here (no such host); correct the name", func(c *Corefile, _ *Server, b *Block) {
			b.Hosts[1].Addresses = []netip.Addr{address("192.0.2.2")}
			c.Names["kms2.example.org."] = Name{Resolver: &Answer{Err: "no such host"}}
		}},
		{"unresolvable", "host kms2.example.org:1688", func(c *Corefile, _ *Server, _ *Block) {
			c.Names["kms2.example.org."] = Name{Below: &Answer{Addresses: []netip.Addr{address("192.0.2.2")}}, Resolver: &Answer{}}
		}, "\"address 192.0.2.2\"", func(c *Corefile, _ *Server, _ *Block) { c.Names["kms2.example.org."] = Name{} }},
		{"alias", "host kms2.example.org:1688", func(c *Corefile, _ *Server, _ *Block) {
			c.Names["kms2.example.org."] = Name{Below: &Answer{Alias: "srv.example.org."}}
		}, "host kms2.example.org is an alias of srv.example.org: the target of an SRV record", func(c *Corefile, _ *Server, _ *Block) {
			c.Names["other.example.org."] = Name{Below: &Answer{Alias: "srv.example.org."}}
		}},
		{"alias", "responder advertise", func(c *Corefile, _ *Server, b *Block) {
			b.Responder = advertise(0)
			b.Hosts[0].Priority, b.Hosts[1].Priority = 1, 1
			c.Names["kms.example.org."] = Name{Resolver: &Answer{Alias: "srv.example.org."}}
		}, "advertised name kms.example.org is an alias", nil},
		{"alias", "ns", func(c *Corefile, _ *Server, b *Block) {
			b.NS = []string{"dns.example.org."}
			c.Names["dns.example.org."] = Name{Resolver: &Answer{Alias: "srv.example.org."}}
		}, "the target of an NS record", nil},
		{"by-address", "host 192.0.2.1:1688", func(_ *Corefile, _ *Server, b *Block) {
			b.Hosts[0] = config.Host{Addresses: []netip.Addr{address("192.0.2.1")}, Port: 1688}
		}, "192.0.2.1 is given by its address", func(_ *Corefile, _ *Server, b *Block) { b.Hosts[0].Addresses = []netip.Addr{address("192.0.2.1")} }},
		{"probe-tcp", "probe", func(_ *Corefile, _ *Server, b *Block) { b.Probe.Kind = config.ProbeTCP }, "only connects", nil},

		{"weight-alone", "host kms3.example.org:1688", func(_ *Corefile, _ *Server, b *Block) {
			h := priority(20)
			h.Weight = 5
			b.Hosts = append(b.Hosts, h)
		}, "weight 5 of kms3.example.org:1688 does nothing: nobody else has priority 20", func(_ *Corefile, _ *Server, b *Block) {
			h := priority(20)
			h.Weight = 5
			b.Hosts, b.Update = append(b.Hosts, h), update() // somebody may come to share it
		}},
		{"weights-equal", "host kms1.example.org:1688", func(_ *Corefile, _ *Server, b *Block) { b.Hosts[0].Weight, b.Hosts[1].Weight = 50, 50 },
			"all 2 records of priority 0 have weight 50", func(_ *Corefile, _ *Server, b *Block) { b.Hosts[0].Weight, b.Hosts[1].Weight = 60, 40 }},
		{"weight-zero", "host kms1.example.org:1688", func(_ *Corefile, _ *Server, b *Block) { b.Hosts[1].Weight = 100 },
			"about 1 in 101", func(_ *Corefile, _ *Server, b *Block) {
				b.Hosts = append(b.Hosts, priority(10))
				b.Hosts[0].Weight, b.Hosts[1].Weight = 60, 40
			}},
		{"weight-zero", "responder advertise", func(_ *Corefile, _ *Server, b *Block) {
			b.Hosts[0].Weight, b.Hosts[1].Weight, b.Responder = 60, 40, advertise(0)
		}, "kms.example.org has weight 0", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder = advertise(0)
			b.Hosts = []config.Host{priority(10), priority(11)}
		}},

		{"ttl-above-detection", "ttl", func(_ *Corefile, _ *Server, b *Block) { b.TTL = 20 * time.Second },
			"ttl 20s is more than the 17.4s", func(_ *Corefile, _ *Server, b *Block) { b.TTL = 17 * time.Second }},
		{"ttl-above-detection", "probe", func(_ *Corefile, _ *Server, b *Block) {}, "ttl 30s is more than the 17.4s", nil},
		{"ttl-long", "ttl", func(_ *Corefile, _ *Server, b *Block) { b.TTL = 5 * time.Minute },
			`ttl 5m is more than twice the 17.4s in which a dead host is found out and dropped: resolvers hold it for up to 5m longer; "ttl 17s"`,
			func(_ *Corefile, _ *Server, b *Block) { b.TTL, b.Probe.Interval = 5*time.Minute, 5*time.Minute }},
		{"all-down-parks", "all_down", func(_ *Corefile, _ *Server, b *Block) { b.AllDown = config.ServFail }, "all_down servfail",
			func(_ *Corefile, _ *Server, b *Block) {
				b.AllDown, b.Fall = config.NoData, []string{"."}
				b.Below["example.org."] = Zone{SRV: []Record{{Target: "kms9.example.org.", Port: 1688}}}
			}},
		{"all-down-parks", "all_down", func(_ *Corefile, _ *Server, b *Block) {
			b.AllDown, b.Fall = config.NoData, []string{"example.net."}
			b.Below["example.org."] = Zone{SRV: []Record{{Target: "kms9.example.org.", Port: 1688}}}
		}, "all_down nodata", nil},

		{"shadowed-srv", "", func(_ *Corefile, _ *Server, b *Block) {
			b.Below["example.org."] = Zone{SRV: []Record{{"kms1.example.org.", 1688, 0, 5}, {"old.example.org.", 1688, 0, 0}}}
		}, "at _vlmcs._tcp.example.org (0 5 1688 kms1.example.org; 0 0 1688 old.example.org, which is no host here)", nil},
		{"last-resort-srv", "fallthrough", func(_ *Corefile, _ *Server, b *Block) {
			b.Fall = []string{"."}
			b.Below["example.org."] = Zone{SRV: make([]Record, 8)}
		}, "only if all hosts are drained; with all_down serve not if they are down", nil},
		{"last-resort-srv", "fallthrough", func(_ *Corefile, _ *Server, b *Block) {
			b.AllDown, b.Fall = config.NoData, []string{"example.org."}
			b.Below["example.org."] = Zone{SRV: make([]Record, 8)}
		}, "and 3 more) are the last resort: answered, unprobed, only if all hosts are down or drained", nil},
		{"hidden-zone", "", func(c *Corefile, _ *Server, b *Block) {
			b.Zones = []string{"corp.example.org."}
			c.Servers = append(c.Servers, Server{Zones: []string{"corp.example.org."}, Listens: []string{"dns://:53"}})
		}, "no question for _vlmcs._tcp.corp.example.org comes here: all go to the server block of corp.example.org", func(c *Corefile, _ *Server, b *Block) {
			b.Zones = []string{"corp.example.org."}
			c.Servers = append(c.Servers, Server{Zones: []string{"corp.example.org."}, Listens: []string{"dns://:54"}},
				Server{Zones: []string{"other.example.org."}, Listens: []string{"dns://:53"}},
				Server{Zones: []string{"corp.example.org."}, Listens: []string{"dns://:53"}, Directives: map[string][]Line{"view": {directive("view", "x")}}},
				Server{Zones: []string{"corp.example.org."}, Listens: []string{"dns://:53"}, Directives: map[string][]Line{"bind": {directive("bind", "lo")}}})
		}},
		{"nested-zones", "", func(_ *Corefile, s *Server, b *Block) {
			inner := *b
			inner.Block.Zones, inner.Places = []string{"corp.example.org."}, config.Places{"kms": {File: "Corefile", Line: at}}
			b.Places = config.Places{"kms": {File: "Corefile", Line: 30}}
			s.Blocks = append(s.Blocks, inner)
		}, "corp.example.org lies in example.org of the block on line 30", func(_ *Corefile, _ *Server, b *Block) { b.Zones = []string{"example.org.", "corp.example.org."} }},
		{"nothing-below", "", func(_ *Corefile, s *Server, _ *Block) { s.Behind = nil }, "other names in example.org are answered SERVFAIL",
			func(_ *Corefile, s *Server, b *Block) {
				s.Behind, s.Zones, b.Zones = nil, []string{"_vlmcs._tcp.example.org."}, []string{"_vlmcs._tcp.example.org."}
				b.NS = []string{"ns1.example.org."}
			}},
		{"not-delegated", "ns", func(_ *Corefile, s *Server, b *Block) {
			b.NS, s.Directives["transfer"] = []string{"ns1.example.org."}, []Line{directive("transfer")}
		}, `add "_vlmcs._tcp.example.org. NS ns1.example.org."`, func(_ *Corefile, s *Server, b *Block) {
			b.NS, s.Directives["transfer"] = []string{"ns1.example.org."}, []Line{directive("transfer")}
			b.Below["example.org."] = Zone{NS: []string{"ns1.example.org."}}
		}},
		{"delegated-elsewhere", "ns", func(_ *Corefile, _ *Server, b *Block) {
			b.NS, b.Below["example.org."] = []string{"ns1.example.org."}, Zone{NS: []string{"ns9.example.org."}}
		}, "delegates _vlmcs._tcp.example.org to ns9.example.org, and ns names ns1.example.org", nil},
		{"delegated-elsewhere", "", func(_ *Corefile, _ *Server, b *Block) {
			b.Below["example.org."] = Zone{NS: []string{"ns9.example.org."}}
		},
			`here it is no zone of its own: no SOA, no transfer; add "ns ns9.example.org"`, nil},
		{"no-transfer", "ns", func(_ *Corefile, _ *Server, b *Block) { b.NS = []string{"ns1.example.org.", "ns2.example.org."} }, "ns names 2 servers",
			func(_ *Corefile, _ *Server, b *Block) { b.NS = []string{"ns1.example.org."} }},
		{"dnssec-cut", "ns", func(_ *Corefile, s *Server, b *Block) {
			b.NS, s.Directives["dnssec"] = []string{"ns1.example.org."}, []Line{directive("dnssec")}
		}, "sees no zone _vlmcs._tcp.example.org", func(_ *Corefile, s *Server, b *Block) {
			b.NS, s.Directives["dnssec"] = []string{"ns1.example.org."}, []Line{directive("dnssec")}
			s.Zones, b.Zones = []string{"_vlmcs._tcp.example.org."}, []string{"_vlmcs._tcp.example.org."}
		}},

		{"update-open", "update allow", func(_ *Corefile, _ *Server, b *Block) {
			b.Update = update()
			b.Update.Allow = append(b.Update.Allow, network("::/0"))
		}, "update allow ::/0: anybody", func(_ *Corefile, _ *Server, b *Block) {
			b.Update = update()
			b.Update.Allow, b.Update.Observe = []netip.Prefix{network("::/0")}, true
		}},
		{"update-no-store", "update", func(_ *Corefile, _ *Server, b *Block) { b.Update, b.Store = update(), "" }, `add "store PATH"`,
			func(c *Corefile, _ *Server, b *Block) {
				b.Update, b.Store = update(), ""
				c.Servers = append(c.Servers, Server{Blocks: []Block{{Block: config.Block{Store: "/a"}}}})
				c.Servers[1].Directives = c.Servers[0].Directives
			}},
		{"update-elsewhere", "update", func(c *Corefile, _ *Server, b *Block) {
			b.Update, c.Local = update(), []netip.Addr{address("192.0.2.54")}
		}, "go to ns1.example.org, which the SOA record of the zone below names as the primary and which is 192.0.2.53, not this machine",
			func(_ *Corefile, _ *Server, b *Block) { b.Update = update() }},
		{"update-elsewhere", "update", func(c *Corefile, _ *Server, b *Block) {
			b.Update, c.Names["ns1.example.org."] = update(), Name{Resolver: &Answer{Addresses: []netip.Addr{address("192.0.2.54")}}}
		}, "which is 192.0.2.54", func(c *Corefile, _ *Server, b *Block) {
			b.Update, c.Names["ns1.example.org."] = update(), Name{Resolver: &Answer{Local: true}}
		}},
		{"update-elsewhere", "update", func(c *Corefile, _ *Server, b *Block) {
			b.Update, b.NS = update(), []string{"dns.example.org."}
			c.Names["dns.example.org."] = Name{Resolver: &Answer{}}
		}, "go to dns.example.org, which ns names as the primary and which has no address", func(_ *Corefile, _ *Server, b *Block) {
			b.Update, b.NS = update(), []string{"dns.example.org."} // of which nothing is known
		}},
		{"update-observes", "update observe", func(_ *Corefile, _ *Server, b *Block) { b.Update = update(); b.Update.Observe = true }, "refuses those too",
			func(_ *Corefile, _ *Server, b *Block) {
				b.Update = update()
				b.Update.Observe, b.Update.Allow = true, nil
			}},
		{"lease-short", "update lease", func(_ *Corefile, _ *Server, b *Block) { b.Update = update(); b.Update.Lease = time.Hour }, "lease 1h:",
			func(_ *Corefile, _ *Server, b *Block) { b.Update = update(); b.Update.Lease = 24 * time.Hour }},
		{"no-store", "control", func(_ *Corefile, _ *Server, b *Block) { b.Store, b.Control = "", "/run/kms.sock" }, "a drain is forgotten",
			func(_ *Corefile, _ *Server, b *Block) { b.Store = "" }},
		{"no-store", "responder", func(_ *Corefile, _ *Server, b *Block) { b.Store, b.Responder = "", responder() }, "who called when is forgotten", nil},

		{"advertise-no-address", "responder advertise", func(c *Corefile, _ *Server, b *Block) {
			b.Responder, b.Hosts = advertise(0), []config.Host{priority(10), priority(11)}
			c.Names["kms.example.org."] = Name{Below: &Answer{}, Resolver: &Answer{Addresses: []netip.Addr{address("192.0.2.1")}}}
		}, "kms.example.org, which clients are told, has no address", func(c *Corefile, _ *Server, b *Block) {
			b.Responder, b.Hosts = advertise(0), []config.Host{priority(10), priority(11)}
			c.Names["kms.example.org."] = Name{Below: &Answer{Addresses: []netip.Addr{address("192.0.2.1")}}, Resolver: &Answer{}}
		}},
		{"advertise-no-address", "responder advertise", func(c *Corefile, _ *Server, b *Block) {
			b.Responder, b.Hosts = advertise(0), []config.Host{priority(10), priority(11)}
			c.Names["kms.example.org."] = Name{Resolver: &Answer{Err: "no such host"}}
		}, "has no address (no such host); add", func(c *Corefile, _ *Server, b *Block) {
			b.Responder, b.Hosts = advertise(0), []config.Host{priority(10), priority(11)}
			c.Names["kms.example.org."] = Name{Resolver: &Answer{Err: "127.0.1.1", Local: true}}
		}},
		{"advertise-behind", "responder advertise", func(_ *Corefile, _ *Server, b *Block) { b.Responder = advertise(5) },
			"kms1.example.org:1688 (priority 0) stands before the responder (priority 5)",
			func(_ *Corefile, _ *Server, b *Block) {
				b.Responder = advertise(0)
				b.Responder.Policy = config.Spread
				b.Hosts[1].Priority = 1
			}},
		{"advertise-behind", "responder advertise", func(_ *Corefile, _ *Server, b *Block) { b.Responder = advertise(0) },
			"policy concentrate fills no host", func(_ *Corefile, _ *Server, b *Block) { b.Responder = responder() }},
		{"spread-dilutes", "responder policy", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder = responder()
			b.Responder.Policy, b.Hosts = config.Spread, append(b.Hosts, priority(10))
		}, "policy spread over 2 hosts: each needs 25 clients (or 5 servers) of its own in 30 days, about 50 in all",
			func(_ *Corefile, _ *Server, b *Block) {
				b.Responder = responder()
				b.Responder.Policy, b.Hosts[1].Priority = config.Spread, 10
			}},
		{"warm-low", "responder warm", func(_ *Corefile, _ *Server, b *Block) { b.Responder = responder(); b.Responder.Warm = 24 }, "warm 24 keeps",
			func(_ *Corefile, _ *Server, b *Block) { b.Responder = responder(); b.Responder.Warm = 25 }},
		{"responder-open", "responder allow", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder = responder()
			b.Responder.Allow = []netip.Prefix{network("0.0.0.0/0")}
		}, "responder allow 0.0.0.0/0: anybody", func(_ *Corefile, _ *Server, b *Block) { b.Responder = responder() }},
		{"limit-shared", "responder allow", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder = responder()
			b.Responder.Allow = []netip.Prefix{network("192.0.2.1/32")}
		}, "all share its 100 connections and 120 requests", nil},
		{"limit-unreached", "responder limit", func(_ *Corefile, _ *Server, b *Block) { b.Responder = responder(); b.Responder.Connections = 100 },
			"limit client 100 is not below limit connections 100", func(_ *Corefile, _ *Server, b *Block) { b.Responder = responder(); b.Responder.Connections = 101 }},

		{"rehearsal-among-hosts", "host kms2.example.org:1688", func(c *Corefile, _ *Server, b *Block) {
			b.Rehearse = []config.Rehearse{{Address: ":1688"}}
			c.Names["kms2.example.org."] = Name{Resolver: &Answer{Addresses: []netip.Addr{address("192.0.2.53")}}}
		}, "kms2.example.org:1688 is a rehearsal host of this Corefile, among real ones", func(c *Corefile, _ *Server, b *Block) {
			b.Rehearse = []config.Rehearse{{Address: ":1688"}} // beside hosts that are elsewhere
			c.Names["kms2.example.org."] = Name{Resolver: &Answer{Addresses: []netip.Addr{address("192.0.2.2")}}}
		}},
		{"rehearsal-only", "host kms1.example.org:1688", func(_ *Corefile, _ *Server, b *Block) {
			b.Rehearse = []config.Rehearse{{Address: "192.0.2.53:1688"}}
			b.Hosts[0].Addresses, b.Hosts[1].Addresses = []netip.Addr{address("192.0.2.53")}, []netip.Addr{address("192.0.2.53")}
		}, "all hosts are rehearsal hosts", func(_ *Corefile, _ *Server, b *Block) {
			b.Rehearse = []config.Rehearse{{Address: "127.0.0.1:1688"}}
			b.Hosts[0].Addresses, b.Hosts[1].Addresses = []netip.Addr{address("127.0.0.1")}, []netip.Addr{address("127.0.0.1")}
		}},

		{"no-kms", "-", func(_ *Corefile, s *Server, _ *Block) { s.Blocks = nil }, "no kms block", nil},
		{"server-log", "-", func(c *Corefile, _ *Server, _ *Block) { c.Log = []string{"plugin/file: trying again"} }, "plugin/file: trying again", nil},
		{"unobserved", "", func(_ *Corefile, s *Server, _ *Block) { s.Directives = nil }, "has no errors, prometheus, ready",
			func(c *Corefile, s *Server, _ *Block) {
				s.Directives = map[string][]Line{"errors": {directive("errors")}, "prometheus": {directive("prometheus")}}
				c.Servers = append(c.Servers, Server{Directives: map[string][]Line{"ready": {directive("ready")}}})
			}},
		{"loadbalance-tsig", "+", func(_ *Corefile, s *Server, _ *Block) {
			s.Directives["loadbalance"], s.Directives["tsig"] = []Line{directive("loadbalance")}, []Line{directive("tsig")}
		}, "malformed", func(_ *Corefile, s *Server, _ *Block) { s.Directives["tsig"] = []Line{directive("tsig")} }},
		{"status-open", "status", func(_ *Corefile, _ *Server, b *Block) { b.Status = &config.Status{Address: ":8080"} }, "status :8080: everybody",
			func(_ *Corefile, _ *Server, b *Block) { b.Status = &config.Status{Address: "192.0.2.53:8080"} }},
		{"status-open", "status", func(_ *Corefile, _ *Server, b *Block) { b.Status = &config.Status{Address: "[::]:8080"} }, "status [::]:8080",
			func(_ *Corefile, _ *Server, b *Block) { b.Status = &config.Status{Address: "127.0.0.1:8080"} }},
		{"path-in-tmp", "control", func(_ *Corefile, _ *Server, b *Block) { b.Control = "/tmp/kms.sock" }, "control /tmp/kms.sock is where everybody",
			func(_ *Corefile, _ *Server, b *Block) { b.Control = "/run/kms/tmp/kms.sock" }},
		{"no-kms", "-", func(c *Corefile, _ *Server, _ *Block) { c.Servers = nil }, "nothing in this Corefile", nil},

		{"address-taken", "rehearse 127.0.0.1:1688", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder, b.Rehearse = responder(), []config.Rehearse{config.DefaultRehearse("127.0.0.1:1688")}
		}, "rehearse 127.0.0.1:1688: responder :1688 in the same block listens there", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder, b.Rehearse = responder(), []config.Rehearse{config.DefaultRehearse("127.0.0.1:1689")}
		}},
		{"address-taken", "responder", func(c *Corefile, s *Server, b *Block) {
			other := *b
			other.Places = config.Places{"kms": {File: "Corefile", Line: 13}}
			b.Responder, other.Responder = responder(), responder()
			c.Servers = append([]Server{{Directives: s.Directives, Blocks: []Block{other}}}, *s)
		}, "responder :1688: responder :1688 of the block at Corefile:13 listens there", func(c *Corefile, s *Server, b *Block) {
			other := *b // they share the rehearsal host and the status page
			b.Rehearse, b.Status = []config.Rehearse{config.DefaultRehearse("127.0.0.1:1688")}, &config.Status{Address: "127.0.0.1:80"}
			other.Rehearse, other.Status = b.Rehearse, b.Status
			c.Servers = append(c.Servers, Server{Directives: s.Directives, Blocks: []Block{other}})
		}},
		{"address-taken", "status", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder, b.Status = responder(), &config.Status{Address: "[::1]:1688"}
		}, "status [::1]:1688: responder :1688", func(_ *Corefile, _ *Server, b *Block) {
			b.Responder, b.Status = responder(), &config.Status{Address: "[::1]:1688"}
			b.Responder.Address = "0.0.0.0:1688"
		}},
		{"host-is-responder", "host kms2.example.org:1688", func(c *Corefile, _ *Server, b *Block) {
			b.Responder, b.Hosts[1].Addresses = responder(), c.Local
		}, "kms2.example.org:1688 is where this Corefile's responder :1688 listens", func(c *Corefile, _ *Server, b *Block) {
			b.Responder, b.Hosts[1].Addresses = responder(), c.Local
			b.Responder.Address = "127.0.0.1:1688"
		}},
		{"control-path", "control", func(c *Corefile, _ *Server, b *Block) {
			b.Control, c.Paths = "/srv/kms/s", map[string]Path{"/srv/kms/s": {}}
		}, "there is no directory /srv/kms", func(c *Corefile, _ *Server, b *Block) { // a socket, or a service's directory
			b.Control, c.Paths = "/srv/kms/s", map[string]Path{"/srv/kms/s": {Is: "a socket", Directory: true}}
		}},
		{"control-path", "control", func(c *Corefile, _ *Server, b *Block) {
			b.Control, c.Paths = "/srv/kms", map[string]Path{"/srv/kms": {Is: "a directory", Directory: true}}
		}, "not a socket (a directory)", func(c *Corefile, _ *Server, b *Block) {
			b.Control, c.Paths = "/run/coredns-kms/s", map[string]Path{"/run/coredns-kms/s": {}}
		}},
		{"store-path", "store", func(c *Corefile, _ *Server, b *Block) {
			b.Store, c.Paths = "/srv/kms/kms.db", map[string]Path{"/srv/kms/kms.db": {}}
		}, "there is no directory /srv/kms", func(c *Corefile, _ *Server, b *Block) {
			c.Paths = map[string]Path{b.Store: {}}
		}},
		{"store-path", "store", func(c *Corefile, _ *Server, b *Block) {
			c.Paths = map[string]Path{b.Store: {Is: "a directory", Directory: true}}
		}, "not a file (a directory)", func(c *Corefile, _ *Server, b *Block) {
			c.Paths = map[string]Path{b.Store: {Is: "a file", Directory: true}}
		}},
	}
	tested := map[string]bool{Load: true, unknownRule: true} // see TestIgnore and the command
	for _, tc := range cases {
		tested[tc.rule] = true
		t.Run(tc.rule, func(t *testing.T) {
			check := func(do change) (found, others []Finding) {
				c := good()
				s := &c.Servers[0]
				b := &s.Blocks[0]
				want := config.Place{File: "Corefile", Line: at}
				switch tc.place {
				case "-":
				case "+":
				default:
					b.Places[cmp.Or(tc.place, "kms")] = want
				}
				if do != nil {
					do(c, s, b)
				}
				for _, f := range Check(c) {
					if f.Rule == tc.rule {
						found = append(found, f)
					} else {
						others = append(others, f)
					}
				}
				return found, others
			}
			found, _ := check(tc.fires)
			line := map[string]int{"-": 0, "+": 20}
			want := at
			if l, ok := line[tc.place]; ok {
				want = l
			}
			if len(found) != 1 || found[0].File != "Corefile" || found[0].Line != want || !strings.Contains(found[0].Text, tc.says) {
				t.Fatalf("Got %v, want one finding on line %d with %q", found, want, tc.says)
			}
			if text := found[0].Text; strings.Contains(text, "%!") || strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
				t.Errorf("%q is not one clause of a line", text)
			}
			comment := strings.Repeat("\n", max(want-1, 0)) + "host x # kms-lint: ignore " + tc.rule
			if left := Ignore(found, map[string]string{"Corefile": comment}); want > 0 && len(left) > 0 && found[0].Severity < Error {
				t.Errorf("Got %v in spite of the comment", left)
			}
			if found, _ := check(tc.quiet); tc.quiet != nil && len(found) > 0 {
				t.Errorf("Got %v where there is nothing to say", found)
			}
		})
	}
	for _, r := range Rules() {
		if !tested[r.Name] {
			t.Errorf("Rule %s has no case", r.Name)
		}
	}
}

// TestRuleTable: what holds for every rule.
func TestRuleTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if r.Name == "" || seen[r.Name] || strings.Trim(r.Name, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("Rule %q has no name, or one that is taken or cannot stand in a comment", r.Name)
		}
		seen[r.Name] = true
		if r.Reason == "" || strings.HasSuffix(r.Reason, ".") || strings.Contains(r.Reason, "\n") {
			t.Errorf("Rule %s has the reason %q, want one clause", r.Name, r.Reason)
		}
	}
}

// TestConcentrateIsQuiet: what is said of policy spread is said of nothing else.
func TestConcentrateIsQuiet(t *testing.T) {
	c := good()
	b := &c.Servers[0].Blocks[0]
	b.Responder = responder()
	for i := range b.Hosts {
		b.Hosts[i].Priority = 0
	}
	if found := Check(c); len(found) > 0 {
		t.Errorf("%v", found)
	}
}

// TestNothingBelowIsQuiet: of a zone below without records of the service there is nothing to say, whatever falls through to it.
func TestNothingBelowIsQuiet(t *testing.T) {
	c := good()
	s := &c.Servers[0]
	b := &s.Blocks[0]
	b.Fall, b.Below = []string{"."}, map[string]Zone{"example.org.": {MNAME: "ns1.example.org."}}
	s.Directives["transfer"] = []Line{directive("transfer")}
	if found := Check(c); len(found) > 0 {
		t.Errorf("%v", found)
	}
}

// TestDetection: the bound is that of the design, which internal/pool measures: gone within 18 s with the defaults.
func TestDetection(t *testing.T) {
	for _, tt := range []struct {
		interval, timeout time.Duration
		fall              int
		want              time.Duration
	}{
		{10 * time.Second, 2 * time.Second, 3, 17400 * time.Millisecond},
		{10 * time.Second, 2 * time.Second, 1, 13 * time.Second},
		{10 * time.Second, 5 * time.Second, 3, 26 * time.Second},          // the next probe waits for the timeout of the last
		{time.Second, 500 * time.Millisecond, 2, 2700 * time.Millisecond}, // no slower when suspect than when up
	} {
		if got := Detection(config.Probe{Interval: tt.interval, Timeout: tt.timeout, Fall: tt.fall}); got != tt.want {
			t.Errorf("interval %s, timeout %s, fall %d: %s, want %s", tt.interval, tt.timeout, tt.fall, got, tt.want)
		}
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 5 * time.Minute: "5m", 30 * time.Second: "30s", 90 * time.Second: "1m30s"} {
		if got := short(d); got != want {
			t.Errorf("%s is written %s, want %s", d, got, want)
		}
	}
}

func TestIgnore(t *testing.T) {
	finding := func(line int, s Severity, rule string) Finding {
		return Finding{config.Place{File: "Corefile", Line: line}, s, rule, rule}
	}
	found := []Finding{
		finding(1, Warning, "one-host"), finding(3, Warning, "one-host"), finding(3, Note, "by-address"),
		finding(4, Warning, "one-host"), finding(5, Error, "load"), finding(6, Warning, "alias"),
	}
	text := `host a # kms-lint: ignore one-host: the other one is bought
	# kms-lint:ignore by-address,one-host bogus
host b
host c # about kms-lint, ignore one-host
x # kms-lint: ignore load
host d#kms-lint: ignore alias
# kms-lint: ignore` + "\r\n# kms-lint: ignored alias"
	var got []string
	for _, f := range Ignore(found, map[string]string{"Corefile": text, "other": "# kms-lint: ignore one-host"}) {
		got = append(got, f.String())
	}
	want := []string{
		`Corefile:2: warning: [unknown-rule] there is no rule "bogus" to ignore; "kms lint -rules" lists them`,
		"Corefile:4: warning: [one-host] one-host",
		"Corefile:5: error: [load] load",
		`Corefile:7: warning: [unknown-rule] this ignores nothing; say which rule, as in "# kms-lint: ignore one-host"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("Got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTidy: findings come in the order of the file, and once, wherever a snippet is imported.
func TestTidy(t *testing.T) {
	c := good()
	b := &c.Servers[0].Blocks[0]
	b.Responder, b.Hosts = responder(), b.Hosts[:1]
	b.Responder.Warm, b.Probe.Kind, b.TTL = 5, config.ProbeTCP, 17*time.Second
	b.Places["probe"], b.Places["responder warm"] = config.Place{File: "Corefile", Line: 9}, config.Place{File: "Corefile", Line: 8}
	again, elsewhere := *b, *b.Responder
	elsewhere.Address = ":1689"
	again.Responder = &elsewhere
	c.Servers = append(c.Servers, c.Servers[0])
	c.Servers[1].Blocks = []Block{again}
	var got []string
	for _, f := range Check(c) {
		got = append(got, f.Rule)
	}
	if want := []string{"one-host", "warm-low", "probe-tcp"}; !slices.Equal(got, want) {
		t.Errorf("Got %v, want %v", got, want)
	}
}
