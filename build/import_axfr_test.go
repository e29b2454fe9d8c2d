package main

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// dnsServer serves handler over TCP and UDP at one port of 127.0.0.1 until the test ends, and returns the address.
func dnsServer(t *testing.T, secrets map[string]string, handler dns.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // runs after the shutdowns
	for _, s := range []*dns.Server{{Listener: ln}, {PacketConn: conn}} {
		s.Handler, s.TsigSecret = handler, secrets
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		wg.Go(func() {
			if err := s.ActivateAndServe(); err != nil {
				t.Error(err)
			}
		})
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return ln.Addr().String()
}

// zoneRecords reads records of corp.example.org, one a line.
func zoneRecords(t *testing.T, text string) []dns.RR {
	t.Helper()
	var all []dns.RR
	parser := dns.NewZoneParser(strings.NewReader(text), "corp.example.org.", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		all = append(all, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	transferKey    = "transfer.example.org."
	transferSecret = "c2l4dGVlbiBvY3RldHMuIG9yIHRoaXJ0eS10d28uLi4="
	otherSecret    = "YW5vdGhlciBzZWNyZXQsIG9mIGFub3RoZXIgc2l0ZQ=="
)

// primary transfers corp.example.org, in messages of one record each, to whoever signs or, if open, to everybody.
func primary(t *testing.T, open bool) string {
	t.Helper()
	zone := zoneRecords(t, "$TTL 60\n@ SOA ns1 h 1 1 1 1 1\n@ NS ns1\nns1 A 127.0.0.1\nkms1 A 192.0.2.1\n"+
		"_vlmcs._tcp SRV 0 7 1688 kms1\n_vlmcs._tcp SRV 1 0 1688 kms2\n")
	return dnsServer(t, map[string]string{transferKey: transferSecret}, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		signed := r.IsTsig() != nil && w.TsigStatus() == nil
		switch {
		case r.IsTsig() != nil && !signed:
			m.SetRcode(r, dns.RcodeNotAuth)
		case r.Question[0].Name != "corp.example.org.":
			m.SetRcode(r, dns.RcodeNotAuth)
		case r.Question[0].Qtype != dns.TypeAXFR:
			m.SetReply(r)
			m.Answer = zone[:1]
		case !open && !signed:
			m.SetRcode(r, dns.RcodeRefused)
		default:
			envelopes := make(chan *dns.Envelope, len(zone)+1)
			for _, rr := range append(zone, zone[0]) {
				envelopes <- &dns.Envelope{RR: []dns.RR{rr}}
			}
			close(envelopes)
			if err := new(dns.Transfer).Out(w, r, envelopes); err != nil {
				t.Error(err)
			}
			return
		}
		if key := r.IsTsig(); signed {
			m.SetTsig(key.Hdr.Name, key.Algorithm, 300, time.Now().Unix())
		}
		w.WriteMsg(m)
	})
}

func TestImportTransfer(t *testing.T) {
	open, closed := primary(t, true), primary(t, false)
	keyFile := writeFile(t, "key \"Transfer.example.org\" {\n\talgorithm hmac-sha256;\n\tsecret \""+transferSecret+"\";\n};\n")
	key := func(name, algorithm, secret string) string { return name + ":" + algorithm + ":" + secret }
	for name, tt := range map[string]struct {
		args   []string
		status int
		stderr string
	}{
		"open":                {[]string{"-axfr", open}, 0, ""},
		"open, signed":        {[]string{"-axfr", open, "-keyfile", keyFile}, 0, ""},
		"closed":              {[]string{"-axfr", closed}, 3, "answers REFUSED to a transfer of corp.example.org.: it must allow that"},
		"closed, signed":      {[]string{"-axfr", closed, "-keyfile", keyFile}, 0, ""},
		"key as an argument":  {[]string{"-axfr", closed, "-key", key(transferKey, "hmac-sha512", transferSecret)}, 0, ""},
		"key as dig takes it": {[]string{"-axfr", closed, "-key", key("hmac-sha256", transferKey, transferSecret)}, 0, ""},
		"another secret":      {[]string{"-axfr", closed, "-key", key(transferKey, "hmac-sha256", otherSecret)}, 3, "does not sign its reply"},
		"another key":         {[]string{"-axfr", closed, "-key", key("x", "hmac-sha256", transferSecret)}, 3, "not the key x."},
		"another zone":        {[]string{"-axfr", open, "-zone", "example.net"}, 3, "answers NOTAUTH to a transfer of example.net.: it does not have that zone"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := runImport(t, append([]string{"-no-probe", "-zone", "corp.example.org"}, tt.args...)...)
			if status != tt.status || !strings.Contains(stderr, tt.stderr) || strings.Contains(stderr, transferSecret) {
				t.Fatalf("Status %d, %s%s", status, stdout, stderr)
			}
			want := "host kms1.corp.example.org priority 0 weight 7;host kms2.corp.example.org priority 1 weight 0"
			if got := strings.Join(lines(stdout, "host"), ";"); status == 0 && got != want {
				t.Errorf("Got %s, want %s", got, want)
			}
		})
	}
}

// TestTransferCut: a transfer that ends early is no zone.
func TestTransferCut(t *testing.T) {
	soa := zoneRecords(t, "@ 60 SOA ns1 h 1 1 1 1 1\n")
	server := dnsServer(t, nil, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		m.Answer = append(soa, zoneRecords(t, "_vlmcs._tcp 60 SRV 0 0 1688 kms1\n")...)
		w.WriteMsg(m)
		if r.Question[0].Qtype == dns.TypeAXFR {
			w.Close()
		}
	})
	status, stdout, stderr := runImport(t, "-zone", "corp.example.org", "-axfr", server)
	if status != 3 || stdout != "" || !strings.Contains(stderr, "transfer of corp.example.org. from "+server+": EOF") {
		t.Errorf("Status %d, %s%s", status, stdout, stderr)
	}
}
