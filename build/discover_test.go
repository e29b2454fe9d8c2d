package main

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/discover"

	"github.com/miekg/dns"
)

// corpZone is a DNS server for example.org with two hosts in corp.example.org of which one is dead, and one that is dead in
// dead.example.org.
func corpZone(t *testing.T, up, down string) string {
	t.Helper()
	port := func(endpoint string) string {
		_, port, err := net.SplitHostPort(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	text := strings.NewReplacer("$UP", port(up), "$DOWN", port(down)).Replace(`$TTL 1m
@ SOA ns1 hostmaster 2026030100 2h 30m 2w 1m
@ NS ns1
ns1 A 127.0.0.1
_vlmcs._tcp.corp SRV 0 60 $UP kms1.corp
_vlmcs._tcp.corp SRV 0 40 $UP kms2.corp
_vlmcs._tcp.dead SRV 0 0 $DOWN kms1.corp
_vlmcs._tcp.dead SRV 10 0 1688 kms2.corp.example.org
kms1.corp A 127.0.0.1
kms2.corp A 127.0.0.1
`)
	var zone []dns.RR
	p := dns.NewZoneParser(strings.NewReader(text), "example.org.", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		zone = append(zone, rr)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return serveDNS(t, dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		m.Authoritative, m.Rcode = true, dns.RcodeNameError
		for _, rr := range zone {
			name := rr.Header().Name
			if dns.IsSubDomain(r.Question[0].Name, name) {
				m.Rcode = dns.RcodeSuccess
			}
			if name == r.Question[0].Name && rr.Header().Rrtype == r.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(m.Answer) == 0 {
			m.Ns = zone[:1]
		}
		w.WriteMsg(m)
	}))
}

func TestDiscoverCommand(t *testing.T) {
	up := rehearsalHost(t)
	server := corpZone(t, up, nobody(t))
	for name, tt := range map[string]struct {
		args   string
		status int
		want   string
	}{
		"suffixes of resolv.conf": {"-resolv testdata/resolv.conf -server " + server, 0, "corp.example.org, the search list of " +
			"resolv.conf"},
		"two suffixes": {"-resolv testdata/resolv.conf -server " + server + " -suffix corp.example.org -suffix " +
			"dead.example.org", 1, "Hosts that this client does not come to"},
		"suffixes with a comma": {"-resolv testdata/resolv.conf -server " + server + " -suffix dead.example.org,corp.example.org", 2,
			"corp.example.org, as given"},
		"Vista": {"-vista -resolv testdata/resolv.conf -server " + server + " -suffix corp.example.org", 0,
			"of which a client of Windows Vista tries any"},
		"server without sense":   {"-server a.b", 3, `-server "a.b": an address and a port`},
		"no such file":           {"-resolv /nowhere/resolv.conf", 3, "name one with -server"},
		"no such file, a server": {"-server " + server + " -suffix corp.example.org", 0, "KMS OK"},
		"server, port a word":    {"-server nonsense:port", 3, "an address and a port from 1 to 65535"},
		"server, port too high":  {"-server 127.0.0.1:99999", 3, "an address and a port from 1 to 65535"},
		"server, port 0":         {"-server [::1]:0", 3, "an address and a port from 1 to 65535"},
		"server, no host":        {"-server a..b:53", 3, "an address and a port from 1 to 65535"},
		"suffix, empty label":    {"-server " + server + " -suffix bad..name", 3, `-suffix "bad..name": a domain, as in corp.example.org`},
		"empty suffix":           {"-server " + server + " -suffix .", 3, "a domain, as in corp.example.org"},
		"too many suffixes":      {"-server " + server + strings.Repeat(" -suffix a.example", 17), 3, "17 suffixes: at most 16"},
		"host and suffix":        {"-host kms1.example.org -suffix corp.example.org", 3, "looks under no suffix"},
		"a host without sense":   {"-server " + server + " -host a:b:c", 3, "NAME or NAME:PORT"},
		"no time":                {"-timeout 0s", 3, "from above 0 to 1h"},
		"too little time": {"-timeout 1ns -resolv testdata/resolv.conf -suffix corp.example.org -server " + server, 3,
			"KMS UNKNOWN - there was not enough time"},
		"surplus word": {"corp.example.org", 3, "the DNS suffix stands behind -suffix"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "discover", strings.Fields(tt.args), &stdout, &stderr)
			if out := stdout.String() + stderr.String(); status != tt.status || !strings.Contains(out, tt.want) {
				t.Errorf("Status %d, want %d and %q: %s", status, tt.status, tt.want, out)
			}
		})
	}
}

func TestExplainCommand(t *testing.T) {
	for name, tt := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"a code":                 {[]string{"0xC004F074"}, 0, "0xC004F074  No Key Management Service"},
		"a negative one":         {[]string{"-json", "-1073418124"}, 0, `"code": "0xC004F074"`},
		"two words for one":      {[]string{"event", "12288", "nxdomain"}, 0, "\n0x8007232B  DNS name does not exist"},
		"a pasted line":          {[]string{"Error: 0xC004F042 The Software Licensing Service ..."}, 0, "0xC004F042  The specified"},
		"one that is not known":  {[]string{"0x80070057"}, 1, "net helpmsg 87"},
		"one that is none":       {[]string{"12293", "NXDOMIAN"}, 3, "did you mean NXDOMAIN?"},
		"none":                   {[]string{"hello"}, 3, `"hello" is no code`},
		"too many":               {strings.Fields(strings.Repeat("0 ", maxExplained+1)), 3, "at most 64"},
		"a line and a code":      {[]string{"-event", "x", "12288"}, 3, "not both"},
		"a line that is none":    {[]string{"-event", "a, b, c"}, 3, "3 fields: event 12288 has 10"},
		"an empty line":          {[]string{"-event", ""}, 3, "1 fields"},
		"a line from a stranger": {[]string{"-event", "12290: 0x0, 25, \x1b[2Jpc\u202e, a, b, 0, 2, 1, c"}, 0, `\x1b[2Jpc\u202e`},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "explain", tt.args, &stdout, &stderr)
			if out := stdout.String() + stderr.String(); status != tt.status || !strings.Contains(out, tt.want) {
				t.Errorf("Status %d, want %d and %q: %s", status, tt.status, tt.want, out)
			}
		})
	}
}

// TestStepRows: in a terminal lines are broken where it ends, and go on where they began.
func TestStepRows(t *testing.T) {
	s := discover.Step{Mark: discover.Fail, Text: strings.Repeat("word ", 30) + "\x1b[2J", Code: "0x8007232B",
		Change: []string{strings.Repeat("other ", 20)}}
	rows := stepRows(s, 60)
	if len(rows) < 6 {
		t.Errorf("Got %d rows", len(rows))
	}
	for i, r := range rows {
		line := paper{colour: true}.line(r)
		text := strings.NewReplacer("\x1b[31m", "", "\x1b[0m", "").Replace(line)
		if columns(text) > 60 || strings.Contains(text, "\x1b") || i > 0 && !strings.HasPrefix(text, "        ") {
			t.Errorf("Row %d is %q", i, line)
		}
	}
	if got := (paper{}).line(stepRows(s, 0)[0]); !strings.HasPrefix(got, "  FAIL  word word") || !strings.HasSuffix(got,
		`\x1b[2J (0x8007232B)`) {
		t.Errorf("In a file: %q", got)
	}
}
