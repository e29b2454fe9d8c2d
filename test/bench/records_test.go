package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestCheck: a contender that answers anything else is not measured.
func TestCheck(t *testing.T) {
	r := records{port: 1688, hosts: 4, zones: 10}
	for name, tc := range map[string]struct {
		change func(*dns.Msg)
		want   string // in the error; "" for none
	}{
		"right":             {func(m *dns.Msg) {}, ""},
		"another order":     {func(m *dns.Msg) { m.Answer[0], m.Answer[3] = m.Answer[3], m.Answer[0] }, ""},
		"a host less":       {func(m *dns.Msg) { m.Answer = m.Answer[1:] }, "want the answer"},
		"a host is suspect": {func(m *dns.Msg) { m.Answer[0].(*dns.SRV).Priority = 2 }, "want the answer"},
		"another TTL":       {func(m *dns.Msg) { m.Answer[0].Header().Ttl = 5 }, "want the answer"},
		"an address less":   {func(m *dns.Msg) { m.Extra = m.Extra[1:] }, "want the addresses"},
		"not authoritative": {func(m *dns.Msg) { m.Authoritative = false }, "want an authoritative answer"},
		"an authority":      {func(m *dns.Msg) { m.Ns = m.Answer[:1] }, "no authority section"},
		"without EDNS":      {func(m *dns.Msg) { m.Extra = m.Extra[:r.hosts] }, "with EDNS"},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(dns.Msg)
			m.Authoritative = true
			for _, rr := range []string{"0 10 1688 kms-127-0-0-1", "0 30 1688 kms-127-0-0-2", "1 10 1688 kms-127-0-0-3", "1 30 1688 kms-127-0-0-4"} {
				m.Answer = append(m.Answer, record(t, "_vlmcs._tcp.zone00007.example. 30 IN SRV "+rr+".zone00007.example."))
			}
			for _, n := range []string{"1", "2", "3", "4"} {
				m.Extra = append(m.Extra, record(t, "kms-127-0-0-"+n+".zone00007.example. 30 IN A 127.0.0."+n))
			}
			m.SetEdns0(1232, false)
			tc.change(m)
			switch err := r.check(m, 7, false); {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func record(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// TestZoneFiles: every way to write the records down says the same.
func TestZoneFiles(t *testing.T) {
	r := records{dir: t.TempDir(), port: 1688, hosts: 3, zones: 2}
	one, err := r.oneZone()
	if err != nil {
		t.Fatal(err)
	}
	got := servicesIn(t, one, "example.")
	each, err := r.zoneEach("static", zoneHead, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range r.zones {
		want := servicesIn(t, filepath.Join(each, strings.TrimSuffix(zone(n), ".")), zone(n))
		if len(want) != 2*r.hosts {
			t.Errorf("%s has %d records, want an SRV and an A record for each host", zone(n), len(want))
		}
		for _, rr := range want {
			if !slices.Contains(got, rr) {
				t.Errorf("%s is not in %q", rr, got)
			}
		}
	}
}

// servicesIn is the SRV and A records of a zone file but for the name server's.
func servicesIn(t *testing.T, file, origin string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z := dns.NewZoneParser(strings.NewReader(string(text)), origin, file)
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		h := rr.Header()
		if h.Rrtype == dns.TypeSRV || h.Rrtype == dns.TypeA && !strings.HasPrefix(h.Name, "ns.") {
			all = append(all, rr.String())
		}
	}
	if err := z.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
