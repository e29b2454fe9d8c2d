package plugin

import (
	"bytes"
	golog "log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clog "github.com/coredns/coredns/plugin/pkg/log"

	"github.com/miekg/dns"
)

// TestLineLimiter: ten lines in a second, and the next that is written says how many were not.
func TestLineLimiter(t *testing.T) {
	var l lineLimiter
	now := time.Unix(1000, 0)
	for i := range 25 {
		ok, left := l.next(now.Add(time.Duration(i) * 10 * time.Millisecond))
		if ok != (i < maxLines) || left != 0 {
			t.Errorf("Line %d: got %t, %d", i, ok, left)
		}
	}
	for i, want := range []int{15, 0} {
		if ok, left := l.next(now.Add(time.Second)); !ok || left != want {
			t.Errorf("Line %d of the next second: got %t, %d, want %d", i, ok, left, want)
		}
	}
	if ok, left := l.next(now.Add(-time.Hour)); !ok || left != 0 {
		t.Errorf("Got %t, %d after the clock went back, want a line", ok, left)
	}
}

// TestUpdateLines: each UPDATE has its line, of a level that says how it ended.
func TestUpdateLines(t *testing.T) { synctest.Test(t, testUpdateLines) }

func testUpdateLines(t *testing.T) {
	var lines bytes.Buffer
	golog.SetOutput(&lines)
	defer clog.Discard()
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	const line = "plugin/kms: update of example.org. from 192.0.2.9"
	for _, tt := range []struct {
		sent
		want string
	}{
		{sent{changes: service("kms9.example.org.")}, "[INFO] " + line + ": add _vlmcs._tcp.example.org. SRV 0 0 1688 kms9.example.org.: NOERROR\n"},
		{sent{changes: service("kms1.example.org.")}, "[INFO] " + line + ": add _vlmcs._tcp.example.org. SRV 0 0 1688 kms1.example.org.: NOERROR: " +
			"all of it is so already\n"},
		{sent{key: "any.", changes: "new.example.org. 0 ANY TXT"}, "[WARNING] " + line + " with key any.: delete new.example.org. TXT: NOTAUTH: it is for nothing that a kms block has\n"},
		{sent{changes: service("kms8.example.org.")}, "[WARNING] " + line + ": add _vlmcs._tcp.example.org. SRV 0 0 1688 kms8.example.org.: REFUSED: " +
			"192.0.2.9 is not kms8.example.org.: has [192.0.2.8 2001:db8::8]\n"},
		{sent{changes: service("slow.example.org.")}, "[ERROR] " + line + ": add _vlmcs._tcp.example.org. SRV 0 0 1688 slow.example.org.: SERVFAIL: " +
			"slow.example.org. cannot be looked up: lookup slow.example.org.: i/o timeout\n"},
	} {
		lines.Reset()
		w.send(t, tt.sent)
		if got := lines.String(); !strings.HasSuffix(got, tt.want) || strings.Count(got, "\n") != 1 {
			t.Errorf("Got %q, want %q", got, tt.want)
		}
	}
	for range 2 * maxLines {
		w.send(t, sent{changes: service("kms9.example.org.")})
	}
	time.Sleep(time.Second)
	lines.Reset()
	w.send(t, sent{changes: service("kms9.example.org.")})
	if got, want := lines.String(), "NOERROR (and 15 lines like this were left out)\n"; !strings.HasSuffix(got, want) {
		t.Errorf("Got %q, want %q at its end", got, want)
	}
}

func TestDescribeUpdate(t *testing.T) {
	for name, tt := range map[string]struct {
		changes []string
		n       int
		want    string
	}{
		"nothing":    {nil, 4, "nothing"},
		"each kind":  {[]string{"a.example. 60 IN A 192.0.2.1", "a.example. 0 NONE A 192.0.2.1", "a.example. 0 ANY A", "a.example. 0 ANY ANY"}, 4, "add a.example. A 192.0.2.1, delete a.example. A 192.0.2.1, delete a.example. A, delete a.example. ANY"},
		"too many":   {[]string{"a.example. 0 ANY A", "a.example. 0 ANY A", "a.example. 0 ANY A"}, 1, "delete a.example. A, 2 more"},
		"line feeds": {[]string{`a\010b.example. 60 IN TXT "x\010y"`}, 4, `add a\010b.example. TXT "x\010y"`},
		"too long":   {[]string{"a.example. 60 IN TXT " + strings.Repeat("x", 250)}, 4, "add a.example. TXT \"" + strings.Repeat("x", maxDescribed-len("a.example. TXT \"")) + "..."},
	} {
		u := &update{changes: newUpdateMessage(t, "example.", nil, tt.changes).Ns}
		if got := strings.Join(u.describe(tt.n), ", "); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestDescribeIsPrintable: whatever the type of a record, it does not break out of its line.
func TestDescribeIsPrintable(t *testing.T) {
	for rrtype := range dns.TypeToRR {
		rr := &dns.RFC3597{Hdr: dns.RR_Header{Name: "a.", Rrtype: rrtype, Class: dns.ClassINET}, Rdata: "0a1b0a1b"}
		m := new(dns.Msg).SetUpdate(".")
		m.Ns = []dns.RR{rr}
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if m = new(dns.Msg); m.Unpack(wire) != nil {
			continue // nor does it come through the server
		}
		if got := describe(m.Ns[0]); strings.ContainsAny(got, "\n\r\x1b\t") || len(got) > maxDescribed+3 {
			t.Errorf("%s: got %q", dns.Type(rrtype), got)
		}
	}
	if got := printable("a\nb\x1bc\xffd\u2028eé"); got != "a?b?c?d?eé" {
		t.Errorf("Got %q", got)
	}
}
