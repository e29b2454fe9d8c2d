package kms

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

func TestParseUpdate(t *testing.T) {
	root := t.TempDir()
	c := caddy.NewTestController("dns", `kms example.org {
		host kms1.example.org
		update {
			allow 10.0.0.0/8 192.0.2.7 target *.Example.org
			port 1688 1689
			key Update.Example.org. from 10.1.0.0/16 2001:db8::/32 target *.Example.org kms9.example.net
			key other target *.corp
			key third from 192.0.2.1
			key fourth
			lease 24h
			max 256
			observe
		}
		ns NS1.example.org ns2.example.net.
		store state/../kms.db
		control /run/kms.sock
	}
	kms example.net {
		update {
			allow 0.0.0.0/0
		}
		store `+root+`/kms.db
	}
	kms _vlmcs._tcp.corp.example.net {
		update {
			key update.example.org
		}
		ns ns1.corp.example.net
		control /run/kms.sock
	}`)
	c.ServerBlockKeys = []string{"example.org.:53", "example.net.:53"}
	dnsserver.GetConfig(c).Root = root
	sites, err := parse(c)
	if err != nil {
		t.Fatal(err)
	}
	network := netip.MustParsePrefix
	if u, want := *sites[0].Update, (config.Update{
		Allow:   []netip.Prefix{network("10.0.0.0/8"), network("192.0.2.7/32")},
		Targets: []string{"*.example.org."}, Ports: []uint16{1688, 1689},
		Keys: []config.UpdateKey{
			{Name: "update.example.org.", From: []netip.Prefix{network("10.1.0.0/16"), network("2001:db8::/32")},
				Targets: []string{"*.example.org.", "kms9.example.net."}},
			{Name: "other.", Targets: []string{"*.corp."}},
			{Name: "third.", From: []netip.Prefix{network("192.0.2.1/32")}},
			{Name: "fourth."},
		},
		Lease: 24 * time.Hour, Max: 256, Observe: true,
	}); !reflect.DeepEqual(u, want) {
		t.Errorf("Got %+v, want %+v", u, want)
	}
	if got := fmt.Sprint(sites[0].NS); got != "[ns1.example.org. ns2.example.net.]" {
		t.Errorf("Name servers %s", got)
	}
	for i, want := range [][2]string{{root + "/kms.db", "/run/kms.sock"}, {root + "/kms.db", ""}, {"", "/run/kms.sock"}} {
		if got := [2]string{sites[i].Store, sites[i].Control}; got != want {
			t.Errorf("Block %d: store and control %q, want %q", i, got, want)
		}
	}
	if u, d := *sites[1].Update, config.DefaultUpdate(); u.Lease != d.Lease || u.Max != d.Max || u.Observe || len(sites[1].Hosts) > 0 {
		t.Errorf("An update block that says little: %+v, hosts %v", u, sites[1].Hosts)
	}
}

// TestOneStorePerProcess: also across the server blocks of a Corefile, which are parsed with one instance.
func TestOneStorePerProcess(t *testing.T) {
	for _, what := range []string{"store", "control"} {
		c := caddy.NewTestController("dns", "kms {\n host a.example.org\n "+what+" /run/a\n}\nkms example.net {\n host a.example.org\n "+what+" /run/b\n}")
		c.ServerBlockKeys = []string{"example.org.:53", "example.net.:53"}
		_, err := parse(c)
		if want := "another kms block of this Corefile has /run/a: one " + what + " per process: say the same in both"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Got %v, want %q", err, want)
		}
	}
}

func TestCheckKeys(t *testing.T) {
	sites, err := parseText("kms example.org {\n update {\n key A.example.org\n key b.\n }\n}\nkms example.net {\n host a.example.org\n}", "example.org.:53", "example.net.:53")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkKeys(sites, map[string]string{"a.example.org.": "", "b.": ""}); err != nil {
		t.Error(err)
	}
	err = checkKeys(sites, map[string]string{"a.example.org.": ""})
	if want := `Testfile:4 - Error during parsing: update: key b.: the tsig plugin of this server block has no such key: add "secret b. BASE64"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Got %v, want %q", err, want)
	}
}

// TestBadSignatureIsSeen: an UPDATE that the tsig plugin does not let pass comes to no line and no counter of kms, and where
// docs/operations.md says that it is seen, it is.
func TestBadSignatureIsSeen(t *testing.T) {
	s := start(t, "example.org:0 {\n bind 127.0.0.1\n prometheus 127.0.0.1:0\n tsig {\n secret key.example. MTIzNDU2Nzg=\n }\n"+
		" kms {\n update {\n key key.example.\n }\n }\n}\n")
	seen := func(name string) float64 {
		families, err := prometheus.DefaultGatherer.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0.0
		for _, f := range families {
			for _, m := range f.GetMetric() {
				counts := f.GetName() == name
				for _, l := range m.GetLabel() {
					counts = counts && (l.GetName() != "rcode" || l.GetValue() == "NOTAUTH")
				}
				if counts {
					n += m.GetCounter().GetValue()
				}
			}
		}
		return n
	}
	const responses, updates = "coredns_dns_responses_total", "coredns_kms_updates_total"
	before, taken := seen(responses), seen(updates)
	m := new(dns.Msg).SetUpdate("example.org.")
	m.Insert([]dns.RR{&dns.SRV{Hdr: dns.RR_Header{Name: service, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: 60}, Port: 1688, Target: "kms9.example.org."}})
	m.SetTsig("key.example.", dns.HmacSHA256, 300, time.Now().Unix())
	c := dns.Client{Timeout: 5 * time.Second, TsigSecret: map[string]string{"key.example.": "ODc2NTQzMjE="}}
	r, _, err := c.Exchange(m, s.udp(0))
	if r == nil || r.Rcode != dns.RcodeNotAuth {
		t.Fatalf("Got %v, %v, want NOTAUTH", r, err)
	}
	s.stop() // for prometheus counts a response after it was sent
	if got := seen(responses) - before; got != 1 {
		t.Errorf("%s counts %v, want 1", responses, got)
	}
	if got := seen(updates) - taken; got != 0 {
		t.Errorf("%s counts %v, want 0: then docs/operations.md is to say so", updates, got)
	}
}
