package main

import (
	"testing"

	"github.com/miekg/dns"
)

// TestCompressed: of answers with the same records, those whose owners are pointers are told from others.
func TestCompressed(t *testing.T) {
	for _, compress := range []bool{false, true} {
		m := new(dns.Msg)
		m.SetQuestion(zones[direct], dns.TypeSRV)
		header := dns.RR_Header{Name: zones[direct], Rrtype: dns.TypeSRV, Class: dns.ClassINET}
		m.Answer = []dns.RR{&dns.SRV{Hdr: header, Target: "k1.chaos.test."}}
		m.Compress = compress
		p, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := compressed(p); got != compress {
			t.Errorf("Got %t, want %t", got, compress)
		}
		for n := range 12 + len(zones[direct]) + 6 {
			if compressed(p[:n]) {
				t.Errorf("%d octets have no record", n)
			}
		}
	}
}

// TestWays: a good part of the questions of either transport is answered by octets, another by records.
func TestWays(t *testing.T) {
	for _, over := range []string{"udp", "tcp"} {
		ways := make(map[way]int)
		for zone := range zones {
			for i := range 300 {
				ways[wayOf(zone, over, i)]++
			}
		}
		if ways[byOctets] != 200 || ways[byRecords] < 300 {
			t.Errorf("Over %s: %v", over, ways)
		}
	}
}
