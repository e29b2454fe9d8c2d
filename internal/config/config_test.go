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
	u := DefaultUpdate()
	u.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	b.Update = &u
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
		"no host, observe":       {func(b *Block) { b.Hosts, b.Update.Allow, b.Update.Observe = nil, nil, true }, "observe lets none"},
		"no host, no update":     {func(b *Block) { b.Hosts, b.Update = nil, nil }, "no KMS host: name at least one"},
		"update by nobody":       {func(b *Block) { b.Update.Allow = nil }, "update: nobody could announce a host"},
		"key twice":              {func(b *Block) { b.Update.Keys = []UpdateKey{{Name: "a."}, {Name: "a."}} }, "key a. twice"},
		"key not absolute":       {func(b *Block) { b.Update.Keys = []UpdateKey{{Name: "a"}} }, "the name of a TSIG key"},
		"key in upper case":      {func(b *Block) { b.Update.Keys = []UpdateKey{{Name: "A."}} }, "the name of a TSIG key"},
		"target":                 {func(b *Block) { b.Update.Keys = []UpdateKey{{Name: "a.", Targets: []string{"*."}}} }, "as in *.example.org"},
		"lease 0":                {func(b *Block) { b.Update.Lease = 0 }, "lease 0s: from 1h to 2160h"},
		"lease 91 days":          {func(b *Block) { b.Update.Lease = 91 * 24 * time.Hour }, "from 1h to 2160h"},
		"max 0":                  {func(b *Block) { b.Update.Max = 0 }, "max 0: from 1 to 256"},
		"max 257":                {func(b *Block) { b.Update.Max = 257 }, "max 257: from 1 to 256"},
		"delegated without ns":   {func(b *Block) { b.Zones, b.Hosts = []string{"_vlmcs._tcp.example.org."}, nil }, "needs name servers of its own"},
		"ns below":               {func(b *Block) { b.NS = []string{"a._vlmcs._tcp.example.org."} }, "a name outside"},
		"ns twice":               {func(b *Block) { b.NS = []string{"a.example.org.", "a.example.org."} }, "twice"},
		"ns of one label":        {func(b *Block) { b.NS = []string{"a."} }, "not fully qualified"},
		"nine ns":                {func(b *Block) { b.NS = make([]string, 9) }, "at most 8"},
		"store a directory":      {func(b *Block) { b.Store = "/var/" }, "the path of a file"},
		"control with a NUL":     {func(b *Block) { b.Control = "/run/\x00" }, "the path of a file"},
		"control too long":       {func(b *Block) { b.Control = "/" + strings.Repeat("a", MaxSocketPath) }, "at most 107"},
		"one path for both":      {func(b *Block) { b.Store, b.Control = "/a", "/a" }, "two paths"},
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

// TestHostsThatAnnounceThemselves: a block that listens for them needs no other.
func TestHostsThatAnnounceThemselves(t *testing.T) {
	b := valid()
	b.Hosts = nil
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
	b.Zones, b.NS = []string{"_vlmcs._tcp.example.org."}, []string{"ns1.example.org."}
	b.Control = "/" + strings.Repeat("a", MaxSocketPath-1)
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
}

func TestServiceName(t *testing.T) {
	for zone, want := range map[string]string{
		"example.org.":             "_vlmcs._tcp.example.org.",
		".":                        "_vlmcs._tcp.",
		"_vlmcs._tcp.example.org.": "_vlmcs._tcp.example.org.",
		"_vlmcs._tcp.":             "_vlmcs._tcp.",
		"_tcp.example.org.":        "_vlmcs._tcp._tcp.example.org.",
	} {
		if got := ServiceName(zone); got != want {
			t.Errorf("ServiceName(%q) = %q, want %q", zone, got, want)
		}
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
