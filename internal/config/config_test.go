package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func valid() Block {
	b := Default()
	b.Zones = []string{"example.org."}
	b.Hosts = []Host{{Name: "kms1.example.org.", Port: 1688}, {Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 1688}}
	return b
}

func TestDefaultIsValidOnceItHasHosts(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := Default().Validate(); err == nil {
		t.Fatal("A block without hosts is accepted")
	}
}

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Block)
		want   string
	}{
		"duplicate host":         {func(b *Block) { b.Hosts = append(b.Hosts, b.Hosts[0]) }, "duplicate host"},
		"port 0":                 {func(b *Block) { b.Hosts[0].Port = 0 }, "1 to 65535"},
		"address twice":          {func(b *Block) { a := netip.MustParseAddr("192.0.2.1"); b.Hosts[0].Addresses = []netip.Addr{a, a} }, "twice"},
		"unspecified address":    {func(b *Block) { b.Hosts[0].Addresses = []netip.Addr{netip.IPv4Unspecified()} }, "one machine"},
		"nine addresses":         {func(b *Block) { b.Hosts[0].Addresses = make([]netip.Addr, 9) }, "at most 8"},
		"too many hosts":         {func(b *Block) { b.Hosts = make([]Host, MaxHosts+1) }, "at most 256"},
		"ttl 0":                  {func(b *Block) { b.TTL = 0 }, "1s to 5m"},
		"ttl an hour":            {func(b *Block) { b.TTL = time.Hour }, "1s to 5m"},
		"ttl in milliseconds":    {func(b *Block) { b.TTL = 1500 * time.Millisecond }, "whole seconds"},
		"timeout as interval":    {func(b *Block) { b.Probe.Timeout = b.Probe.Interval }, "not below the interval"},
		"timeout tiny":           {func(b *Block) { b.Probe.Timeout = time.Millisecond }, "at least 50ms"},
		"interval tiny":          {func(b *Block) { b.Probe.Interval = time.Millisecond }, "1s to 1h"},
		"rise 0":                 {func(b *Block) { b.Probe.Rise = 0 }, "rise 0: from 1"},
		"fall 101":               {func(b *Block) { b.Probe.Fall = 101 }, "fall 101: from 1 to 100"},
		"host without a name":    {func(b *Block) { b.Hosts[0].Name = "" }, "exactly one address"},
		"underscore in the name": {func(b *Block) { b.Hosts[0].Name = "kms_1.example.org." }, "not a host name"},
	} {
		t.Run(name, func(t *testing.T) {
			b := valid()
			tt.change(&b)
			err := b.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestParseHost(t *testing.T) {
	for in, want := range map[string]string{
		"kms1.example.org":                   "kms1.example.org:1688",
		"KMS1.Example.ORG.":                  "kms1.example.org:1688",
		"kms1.example.org:11688":             "kms1.example.org:11688",
		"192.0.2.10":                         "192.0.2.10:1688",
		"192.0.2.10:1689":                    "192.0.2.10:1689",
		"::ffff:192.0.2.10":                  "192.0.2.10:1688",
		"2001:db8::10":                       "[2001:db8::10]:1688",
		"[2001:db8::10]":                     "[2001:db8::10]:1688",
		"[2001:db8::10]:1689":                "[2001:db8::10]:1689",
		"a-b.c9.example":                     "a-b.c9.example:1688",
		"xn--bcher-kva.example":              "xn--bcher-kva.example:1688",
		"kms1.example.org:0":                 "error: 1 to 65535",
		"kms1.example.org:65536":             "error: 1 to 65535",
		"kms1.example.org:http":              "error: 1 to 65535",
		"kms1.example.org:":                  "error: 1 to 65535",
		"kms1":                               "error: not fully qualified",
		"kms_1.example.org":                  "error: not a host name",
		"-kms.example.org":                   "error: not a host name",
		"kms..example.org":                   "error: not a host name",
		"":                                   "error: not a host name",
		".":                                  "error: not a host name",
		"192.0.2.300":                        "error: neither a host name nor an IP address",
		"fe80::1%eth0":                       "error: without a zone",
		"0.0.0.0":                            "error: one machine",
		"[2001:db8::10":                      "error: NAME:PORT",
		"büro.example.org":                   "error: not a host name",
		strings.Repeat("a.", 128):            "error: at most 253",
		strings.Repeat("a", 64) + ".example": "error: not a host name",
	} {
		h, err := ParseHost(in)
		if rest, wantErr := strings.CutPrefix(want, "error: "); wantErr {
			if err == nil || !strings.Contains(err.Error(), rest) {
				t.Errorf("ParseHost(%q): got error %v, want one with %q", in, err, rest)
			}
			continue
		}
		if err != nil || h.Endpoint() != want {
			t.Errorf("ParseHost(%q) = %q, %v, want %q", in, h.Endpoint(), err, want)
		}
	}
}

func TestWordsRoundTrip(t *testing.T) {
	for _, k := range []Key{Any, ClientVL, ServerA, ServerB, ServerC} {
		if got, err := ParseKey(k.String()); got != k || err != nil {
			t.Errorf("ParseKey(%q) = %v, %v", k, got, err)
		}
	}
	for _, a := range []AllDown{Serve, NoData, ServFail} {
		if got, err := ParseAllDown(a.String()); got != a || err != nil {
			t.Errorf("ParseAllDown(%q) = %v, %v", a, got, err)
		}
	}
	for _, k := range []ProbeKind{ProbeRPC, ProbeTCP} {
		if got, err := ParseProbeKind(k.String()); got != k || err != nil {
			t.Errorf("ParseProbeKind(%q) = %v, %v", k, got, err)
		}
	}
	if _, err := ParseAllDown("nxdomain"); err == nil || !strings.Contains(err.Error(), "serve, nodata, servfail") {
		t.Errorf("Got %v, want an error that lists the words", err)
	}
}
