package main

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestCheck: a contender that answers anything else is not measured.
func TestCheck(t *testing.T) {
	r, err := newRecords(t.TempDir(), 1688)
	if err != nil {
		t.Fatal(err)
	}
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
		"without EDNS":      {func(m *dns.Msg) { m.Extra = m.Extra[:hostCount] }, "with EDNS"},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(dns.Msg)
			m.Authoritative = true
			for _, rr := range []string{"0 10 1688 kms-127-0-0-1", "0 30 1688 kms-127-0-0-2", "1 10 1688 kms-127-0-0-3", "1 30 1688 kms-127-0-0-4"} {
				m.Answer = append(m.Answer, record(t, "_vlmcs._tcp.zone07.example. 30 IN SRV "+rr+".zone07.example."))
			}
			for _, n := range []string{"1", "2", "3", "4"} {
				m.Extra = append(m.Extra, record(t, "kms-127-0-0-"+n+".zone07.example. 30 IN A 127.0.0."+n))
			}
			m.SetEdns0(1232, false)
			tc.change(m)
			switch err := r.check(m, 7); {
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
