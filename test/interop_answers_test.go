//go:build interop

package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// service is the name that these tests ask for.
const service = "_vlmcs._tcp.corp.example.org."

// asker is one of the programs that people ask DNS with.
type asker func(s *server, t *testing.T, args ...string) *reply

var askers = map[string]asker{"dig": (*server).dig, "kdig": (*server).kdig}

// each runs test with every asker.
func each(t *testing.T, test func(t *testing.T, ask asker)) {
	for name, ask := range askers {
		t.Run(name, func(t *testing.T) { test(t, ask) })
	}
}

// TestAnswer: the answer is every host, with its own priority and weight, and the addresses of those in the zone, however
// it is asked for.
func TestAnswer(t *testing.T) {
	kms1, kms2, kms3 := startHost(t), startHost(t), startHost(t)
	s := startServer(t, `corp.example.org:$PORT {
		bind 127.0.0.1
		errors
		kms {
			host kms1.corp.example.org:$KMS1 priority 0 weight 60 address 127.0.0.1
			host kms2.corp.example.org:$KMS2 priority 0 weight 40 address 127.0.0.1 address ::1
			host kms3.corp.example.org:$KMS3 priority 10 address 127.0.0.1
			host kms.example.net:$KMS3 priority 20 weight 65535 address 127.0.0.1
			probe rpc interval 1s timeout 500ms
		}
	}`, "$KMS1", kms1.number(), "$KMS2", kms2.number(), "$KMS3", kms3.number())
	awaitUp(t, "corp.example.org", 4)

	want := []string{
		service + "\tIN\tSRV\t0 40 " + kms2.number() + " kms2.corp.example.org.",
		service + "\tIN\tSRV\t0 60 " + kms1.number() + " kms1.corp.example.org.",
		service + "\tIN\tSRV\t10 0 " + kms3.number() + " kms3.corp.example.org.",
		service + "\tIN\tSRV\t20 65535 " + kms3.number() + " kms.example.net.",
	}
	// Not for kms.example.net: who asks us has no reason to believe what we say of someone else's zone.
	addresses := []string{
		"kms1.corp.example.org.\tIN\tA\t127.0.0.1",
		"kms2.corp.example.org.\tIN\tA\t127.0.0.1",
		"kms2.corp.example.org.\tIN\tAAAA\t::1",
		"kms3.corp.example.org.\tIN\tA\t127.0.0.1",
	}
	for _, transport := range []string{"+notcp", "+tcp"} {
		for _, size := range []string{"+noedns", "+bufsize=512", "+bufsize=1232", "+bufsize=4096", "+dnssec"} {
			t.Run(transport+size, func(t *testing.T) {
				each(t, func(t *testing.T, ask asker) {
					r := ask(s, t, transport, size, "+norecurse", service, "SRV")
					if r.status != "NOERROR" || !slices.Equal(r.flags, []string{"qr", "aa"}) {
						t.Errorf("Got status %s, flags %v", r.status, r.flags)
					}
					if r.udp != (transport == "+notcp") {
						t.Errorf("Got the reply over another transport:\n%s", r.text)
					}
					equal(t, "answer", records(r.answer()), want)
					equal(t, "additional section", records(r.additional()), addresses)
					for _, rr := range slices.Concat(r.answer(), r.additional()) {
						if rr.Header().Ttl != 30 {
							t.Errorf("Got TTL %d for %s, want 30", rr.Header().Ttl, rr)
						}
					}
					if len(r.authority()) != 0 {
						t.Errorf("Got an authority section: %v", r.authority())
					}
					if got := strings.Contains(r.text, "EDNS"); got == (size == "+noedns") {
						t.Errorf("EDNS in the reply: %t\n%s", got, r.text)
					}
					if got := strings.Contains(r.text, "flags: do"); got != (size == "+dnssec") {
						t.Errorf("DO in the reply: %t\n%s", got, r.text)
					}
				})
			})
		}
	}
}

// TestRotation: without DO the records change places, so that clients which take the first one spread; with DO they never
// do, so that one signature does for all.
func TestRotation(t *testing.T) {
	kms := startHost(t)
	s := startServer(t, `corp.example.org:$PORT {
		bind 127.0.0.1
		kms {
			host kms1.corp.example.org:$KMS priority 5 weight 1 address 127.0.0.1
			host kms2.corp.example.org:$KMS priority 5 weight 1 address 127.0.0.1
			host kms3.corp.example.org:$KMS priority 1 weight 1 address 127.0.0.1
			probe rpc interval 1s timeout 500ms
		}
	}`, "$KMS", kms.number())
	awaitUp(t, "corp.example.org", 3)

	for _, tt := range []struct {
		do     string
		orders int
	}{{"+nodnssec", 2}, {"+dnssec", 1}} {
		t.Run(tt.do, func(t *testing.T) {
			orders := make(map[string]int)
			for range 24 { // with two orders, one in 2^23 runs sees only one of them
				order := ""
				for _, rr := range s.dig(t, tt.do, service, "SRV").answer() {
					order += rr.(*dns.SRV).Target[:4] + " "
				}
				if !strings.HasPrefix(order, "kms3 ") {
					t.Errorf("The first tier is not first: %s", order)
				}
				orders[order]++
			}
			if len(orders) != tt.orders {
				t.Errorf("Got orders %v, want %d of them", orders, tt.orders)
			}
		})
	}
}

// TestSizes: who has little room loses addresses first, and is only told to come back over TCP for the sake of SRV records.
func TestSizes(t *testing.T) {
	tests := map[string]struct {
		hosts, addresses int // hosts, and addresses of each
		options          string
		truncated        bool // TC
		trimmed          bool // addresses left out
	}{
		"3 hosts fit where there is no EDNS":       {3, 1, "+noedns", false, false},
		"3 hosts fit into 512":                     {3, 1, "+bufsize=512", false, false},
		"a size below 512 is 512":                  {3, 1, "+bufsize=100", false, false},
		"3 hosts with 8 addresses lose some":       {3, 8, "+bufsize=512", false, true},
		"9 hosts lose addresses without EDNS":      {9, 1, "+noedns", false, true},
		"9 hosts lose addresses in 512":            {9, 1, "+bufsize=512", false, true},
		"9 hosts lose addresses in mixed case":     {9, 1, "+bufsize=512 MIXED", false, true},
		"9 hosts lose addresses with DO":           {9, 1, "+bufsize=512 +dnssec", false, true},
		"9 hosts lose addresses, DO, mixed case":   {9, 1, "+bufsize=512 +dnssec MIXED", false, true},
		"9 hosts fit into 1232":                    {9, 1, "+bufsize=1232", false, false},
		"24 hosts lose addresses in 1232":          {24, 1, "+bufsize=1232", false, true},
		"24 hosts lose addresses in 1232, DO":      {24, 1, "+bufsize=1232 +dnssec", false, true},
		"40 hosts are too many without EDNS":       {40, 1, "+noedns", true, false},
		"40 hosts are too many for 512":            {40, 1, "+bufsize=512", true, false},
		"40 hosts are too many for 1232":           {40, 1, "+bufsize=1232", true, false},
		"40 hosts fit into 4096":                   {40, 1, "+bufsize=4096", false, false},
		"40 hosts with 8 addresses lose some":      {40, 8, "+bufsize=4096", false, true},
		"40 hosts with 8 addresses, beside a NSID": {40, 8, "+bufsize=4096 +nsid", false, true},
		"40 hosts with 8 addresses fit into TCP":   {40, 8, "+tcp", false, false},
		"40 hosts fit into TCP, 512 or not":        {40, 1, "+tcp +bufsize=512", false, false},
		"40 hosts fit into TCP, without EDNS":      {40, 1, "+tcp +noedns", false, false},
	}
	kms := startHost(t)
	var corefile strings.Builder
	hosts := make(map[string]int)
	for _, tt := range tests {
		zone := poolOf(tt.hosts, tt.addresses)
		if hosts[zone] == 0 {
			corefile.WriteString(bigPool(zone, tt.hosts, tt.addresses))
		}
		hosts[zone] = tt.hosts
	}
	s := startServer(t, corefile.String(), "$KMS", kms.number())
	for zone, n := range hosts {
		awaitUp(t, zone, n)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			options, name := strings.Fields(tt.options), "_vlmcs._tcp."+poolOf(tt.hosts, tt.addresses)
			if i := slices.Index(options, "MIXED"); i >= 0 {
				options, name = slices.Delete(options, i, i+1), strings.Replace(name, "_vlmcs._tcp", "_vLmCs._TcP", 1)
			}
			each(t, func(t *testing.T, ask asker) {
				// A cookie, which dig sends unless told not to, takes room in its question that the answer does not need.
				r := ask(s, t, append(options, "+nocookie", "+ignore", name, "SRV")...)
				if r.status != "NOERROR" || r.has("tc") != tt.truncated {
					t.Errorf("Got status %s, flags %v, %d octets", r.status, r.flags, r.size)
				}
				if got := len(r.answer()); (got < tt.hosts) != tt.truncated {
					t.Errorf("Got %d of %d SRV records, TC is %t", got, tt.hosts, r.has("tc"))
				}
				if got, all := len(r.additional()), tt.hosts*tt.addresses; (got < all) != (tt.trimmed || tt.truncated) {
					t.Errorf("Got %d of %d addresses", got, all)
				}
				limit := room(options)
				if r.size > limit {
					t.Errorf("Got %d octets, the client takes %d", r.size, limit)
				}
				// An A record takes 16 octets beside a name that was there before, and an RRset comes whole.
				if tt.trimmed && r.size+16*tt.addresses <= limit {
					t.Errorf("Got %d octets of %d, and still addresses were left out", r.size, limit)
				}
				checkFairness(t, r, tt.addresses)
			})
		})
	}
	t.Run("the way of a client that is told to come back", func(t *testing.T) {
		each(t, func(t *testing.T, ask asker) {
			r := ask(s, t, "+bufsize=512", "_vlmcs._tcp."+poolOf(40, 8), "SRV")
			if r.udp || r.has("tc") || len(r.answer()) != 40 || len(r.additional()) != 40*8 {
				t.Errorf("Got %d SRV records and %d addresses, flags %v, UDP %t", len(r.answer()), len(r.additional()), r.flags, r.udp)
			}
		})
	})
}

func poolOf(hosts, addresses int) string { return fmt.Sprintf("h%da%d.example.org", hosts, addresses) }

// bigPool is a server block for a zone with that many hosts, which are all one.
func bigPool(zone string, hosts, addresses int) string {
	var block strings.Builder
	fmt.Fprintf(&block, "%s:$PORT {\n\tbind 127.0.0.1\n\tkms {\n\t\tprobe rpc interval 1s timeout 500ms\n", zone)
	for i := range hosts {
		fmt.Fprintf(&block, "\t\thost kms%02d.%s:$KMS priority %d weight 1", i, zone, i%3)
		for a := range addresses {
			fmt.Fprintf(&block, " address 127.0.0.%d", a+1) // one that answers is enough to be up
		}
		block.WriteString("\n")
	}
	block.WriteString("\t}\n}\n")
	return block.String()
}

// room is how many octets a client with these options takes.
func room(options []string) int {
	if slices.Contains(options, "+tcp") {
		return dns.MaxMsgSize
	}
	for _, o := range options {
		var n int
		if _, err := fmt.Sscanf(o, "+bufsize=%d", &n); err == nil {
			return max(n, dns.MinMsgSize)
		}
	}
	return dns.MinMsgSize
}

// checkFairness: each host has all its addresses, which are one RRset, or none, and those without come after those with.
func checkFairness(t *testing.T, r *reply, addresses int) {
	t.Helper()
	count := make(map[string]int)
	for _, rr := range r.additional() {
		count[rr.Header().Name]++
	}
	without := ""
	for _, rr := range r.answer() {
		switch target := rr.(*dns.SRV).Target; count[target] {
		case 0:
			without = target
		case addresses:
			if without != "" {
				t.Errorf("%s before it has no address, %s has %d", without, target, addresses)
			}
		default:
			t.Errorf("%d of %d addresses of %s", count[target], addresses, target)
		}
	}
}

// TestCase: the name comes back as it was asked, in the question and at the records, for resolvers that mix case at random
// to be harder to lie to.
func TestCase(t *testing.T) {
	kms := startHost(t)
	s := startServer(t, `corp.example.org:$PORT {
		bind 127.0.0.1
		kms {
			host kms1.corp.example.org:$KMS address 127.0.0.1
			host 127.0.0.1:$KMS
			probe rpc interval 1s timeout 500ms
		}
	}`, "$KMS", kms.number())
	awaitUp(t, "corp.example.org", 2)

	for _, tt := range []struct{ name, qtype string }{
		{"_VlMcS._TcP.cOrP.eXaMpLe.OrG.", "SRV"},
		{"_VLMCS._TCP.CORP.EXAMPLE.ORG.", "SRV"},
		{"_VlMcS._TcP.cOrP.eXaMpLe.OrG.", "ANY"},
		{"KmS-127-0-0-1.cOrP.eXaMpLe.OrG.", "A"},
		{"_VlMcS._TcP.cOrP.eXaMpLe.OrG.", "TXT"},
	} {
		t.Run(tt.name+" "+tt.qtype, func(t *testing.T) {
			// dig asks for ANY over TCP unless told otherwise. With DO the question alone is spelled as it was: the records
			// must be the same for everyone, so that one signature does.
			each(t, func(t *testing.T, ask asker) {
				if r := ask(s, t, "+notcp", "+dnssec", tt.name, tt.qtype); r.question != tt.name {
					t.Errorf("Got the question %s with DO", r.question)
				}
				r := ask(s, t, "+notcp", tt.name, tt.qtype)
				if r.question != tt.name {
					t.Errorf("Got the question %s", r.question)
				}
				for _, rr := range r.answer() {
					if rr.Header().Name != tt.name {
						t.Errorf("Got the owner %s", rr.Header().Name)
					}
				}
				if wanted := tt.qtype != "TXT"; (len(r.answer()) > 0) != wanted {
					t.Errorf("Got %d records", len(r.answer()))
				}
			})
		})
	}
}

// TestOtherTypes: a name that kms owns exists, and has nothing but what it has.
func TestOtherTypes(t *testing.T) {
	kms := startHost(t)
	s := startServer(t, `corp.example.org:$PORT {
		bind 127.0.0.1
		kms {
			host 127.0.0.1:$KMS
			host [::1]:$KMS priority 1
			probe tcp interval 1s timeout 500ms
		}
	}`, "$KMS", kms.number())

	const none = ""
	const four, six = "kms-127-0-0-1.corp.example.org.", "kms-0000-0000-0000-0000-0000-0000-0000-0001.corp.example.org."
	for _, tt := range []struct{ name, qtype, answer string }{
		{service, "A", none},
		{service, "AAAA", none},
		{service, "TXT", none},
		{service, "NS", none},
		{service, "SOA", none},
		{service, "CNAME", none},
		{service, "TYPE65280", none},
		{service, "ANY", service + "\tIN\tHINFO\t\"RFC8482\" \"\""},
		{four, "A", four + "\tIN\tA\t127.0.0.1"},
		{four, "AAAA", none},
		{four, "SRV", none},
		{four, "ANY", four + "\tIN\tHINFO\t\"RFC8482\" \"\""},
		{six, "AAAA", six + "\tIN\tAAAA\t::1"},
		{six, "A", none},
		{"_tcp.corp.example.org.", "A", none},
		{"_tcp.corp.example.org.", "NS", none},
	} {
		t.Run(tt.name+" "+tt.qtype, func(t *testing.T) {
			each(t, func(t *testing.T, ask asker) {
				r := ask(s, t, "+notcp", tt.name, tt.qtype)
				if r.status != "NOERROR" || !r.has("aa") || len(r.additional()) != 0 {
					t.Errorf("Got status %s, flags %v, additional section %v", r.status, r.flags, r.additional())
				}
				if tt.answer != none {
					equal(t, "answer", records(r.answer()), []string{tt.answer})
					equal(t, "authority section", records(r.authority()), nil)
					return
				}
				equal(t, "answer", records(r.answer()), nil)
				if ns := r.authority(); len(ns) != 1 || ns[0].Header().Rrtype != dns.TypeSOA || ns[0].Header().Name != "corp.example.org." {
					t.Errorf("Got the authority section %v, want one SOA of the zone", ns)
				}
			})
		})
	}
	t.Run("made-up names are the targets", func(t *testing.T) {
		each(t, func(t *testing.T, ask asker) {
			r := ask(s, t, service, "SRV")
			equal(t, "answer", records(r.answer()), []string{
				service + "\tIN\tSRV\t0 0 " + kms.number() + " " + four,
				service + "\tIN\tSRV\t1 0 " + kms.number() + " " + six,
			})
			equal(t, "additional section", records(r.additional()), []string{six + "\tIN\tAAAA\t::1", four + "\tIN\tA\t127.0.0.1"})
		})
	})
}

// TestAllDown: when no host is left, what is answered is what was chosen, for a short while, and with a reason.
func TestAllDown(t *testing.T) {
	const unexplained = ""
	dead1, dead2 := freePort(t), freePort(t)
	var corefile strings.Builder
	for _, policy := range []string{"serve", "nodata", "servfail"} {
		fmt.Fprintf(&corefile, `%s.example.org:$PORT {
			bind 127.0.0.1
			kms {
				host kms1.%[1]s.example.org:%d priority 3 weight 7 address 127.0.0.1
				host kms2.%[1]s.example.org:%d priority 4 address 127.0.0.1
				all_down %[1]s
				probe rpc interval 1s timeout 500ms fall 1
			}
		}
		`, policy, dead1, dead2)
	}
	s := startServer(t, corefile.String())

	for _, tt := range []struct {
		policy, status string
		flags          []string
		answer         int
		why            string
	}{
		{"serve", "NOERROR", []string{"qr", "aa"}, 1, "every KMS host failed its checks: these are the hosts as configured"},
		{"nodata", "NOERROR", []string{"qr", "aa"}, 0, "every KMS host failed its checks or is drained"},
		{"servfail", "SERVFAIL", []string{"qr"}, 0, "every KMS host failed its checks or is drained"},
	} {
		t.Run(tt.policy, func(t *testing.T) {
			zone := tt.policy + ".example.org"
			await(t, 5*time.Second, "all hosts down", func() bool {
				return metric(t, "coredns_kms_pool_condition", "pool", zone, "condition", "all-down") == 1
			})
			each(t, func(t *testing.T, ask asker) {
				for _, edns := range []string{"+edns=0", "+noedns"} {
					r := ask(s, t, "+norecurse", "+notcp", edns, "_vlmcs._tcp."+zone, "SRV")
					if r.status != tt.status || !slices.Equal(r.flags, tt.flags) || len(r.answer()) != tt.answer {
						t.Errorf("Got status %s, flags %v, answer %v", r.status, r.flags, r.answer())
					}
					for _, rr := range slices.Concat(r.answer(), r.authority(), r.additional()) {
						if rr.Header().Ttl != 5 {
							t.Errorf("Got TTL %d for %s, want 5", rr.Header().Ttl, rr)
						}
					}
					why := tt.why
					if edns == "+noedns" {
						why = unexplained
					}
					if got := extendedError(r.text); got != why {
						t.Errorf("Got the Extended DNS Error %q with %s, want %q\n%s", got, edns, why, r.text)
					}
				}
			})
		})
	}
	t.Run("serve means the first tier, as configured", func(t *testing.T) {
		want := []string{fmt.Sprintf("kms1.serve.example.org:%d 3 7", dead1)}
		equal(t, "answer", s.services(t, "_vlmcs._tcp.serve.example.org."), want)
	})
}

// TestAllFailTogether: when every host fails within one interval, the server suspects itself and keeps the last good answer.
func TestAllFailTogether(t *testing.T) {
	kms1, kms2 := startHost(t), startHost(t)
	s := startServer(t, `together.example.org:$PORT {
		bind 127.0.0.1
		kms {
			host kms1.together.example.org:$KMS1 priority 1 weight 10 address 127.0.0.1
			host kms2.together.example.org:$KMS2 priority 2 weight 20 address 127.0.0.1
			probe rpc interval 1s timeout 500ms fall 2
		}
	}`, "$KMS1", kms1.number(), "$KMS2", kms2.number())
	awaitUp(t, "together.example.org", 2)
	const name = "_vlmcs._tcp.together.example.org."
	good := s.services(t, name)

	kms1.die()
	kms2.die()
	condition := func(c string) func() bool {
		return func() bool {
			return metric(t, "coredns_kms_pool_condition", "pool", "together.example.org", "condition", c) == 1
		}
	}
	await(t, 5*time.Second, "both hosts down", func() bool {
		return metric(t, "coredns_kms_hosts", "pool", "together.example.org", "state", "down") == 2
	})
	await(t, time.Second, "suspicion of this machine", condition("self-suspected"))
	r := s.dig(t, name, "SRV")
	equal(t, "answer", services(r.answer()), good)
	if ttl := r.answer()[0].Header().Ttl; ttl != 5 {
		t.Errorf("Got TTL %d, want 5", ttl)
	}
	if got := extendedError(r.text); !strings.Contains(got, "suspects its own network and keeps the last good answer") {
		t.Errorf("Got the Extended DNS Error %q\n%s", got, r.text)
	}

	kms1.start(t)
	kms2.start(t)
	awaitUp(t, "together.example.org", 2)
	await(t, time.Second, "calm", condition("calm"))
	equal(t, "answer", s.services(t, name), good)
}

// extendedError is the text of the Extended DNS Error that dig or kdig printed, which must be of the code "Other"; empty if
// there is none.
func extendedError(text string) string {
	for line := range strings.Lines(text) {
		line = strings.Trim(strings.TrimSpace(line), ";) ")
		for _, form := range []string{"EDE: 0 (Other): (", "EDE: 0 (Other): '"} {
			if after, ok := strings.CutPrefix(line, form); ok {
				return strings.TrimRight(after, "'")
			}
		}
	}
	return ""
}
