package kms

import (
	"fmt"
	"net"
	"testing"
	"time"

	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/header"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/rewrite"

	"github.com/miekg/dns"
)

// TestDirect asks real servers. Octets are compressed; a reply made of records that fits is not.
func TestDirect(t *testing.T) {
	for _, tt := range []struct {
		front  string
		direct bool
		size   uint16 // of the server, in its reply
	}{
		{"", true, 1232},
		{"errors\n prometheus 127.0.0.1:0\n metadata", true, 1232},
		{"bufsize 700", true, 700},
		{"acl {\n allow net 127.0.0.0/8\n }", true, 1232},
		{"header {\n response set ra\n }", false, 1232},
		{"log . {rflags} {\n class error\n }", false, 1232},
		{"cache", false, 1232},
		{"minimal", false, 1232},
		{"rewrite name a.example.org b.example.org", false, 1232},
	} {
		t.Run(tt.front, func(t *testing.T) {
			port := freePort(t)
			s := start(t, fmt.Sprintf("example.org:0 {\n bind 127.0.0.1\n %s\n kms {\n host kms1.example.org:%d address 127.0.0.1\n }\n}\n", tt.front, port))
			q := new(dns.Msg)
			q.SetQuestion("_VLMCS._tcp.Example.org.", dns.TypeSRV)
			q.SetEdns0(1232, false)
			octets := exchange(t, s.udp(0), q)
			m := new(dns.Msg)
			if err := m.Unpack(octets); err != nil {
				t.Fatal(err)
			}
			if direct := len(octets) < m.Len(); direct != tt.direct {
				t.Errorf("Octets: %v\n%x\n%s", direct, octets, m)
			}
			if m.Id != q.Id || !m.Authoritative || len(m.Answer) != 1 || m.Answer[0].Header().Name != q.Question[0].Name {
				t.Errorf("Got %s", m)
			}
			if opt := m.IsEdns0(); opt == nil || opt.UDPSize() != tt.size {
				t.Errorf("Got %v, want %d octets", opt, tt.size)
			}
		})
	}
}

// exchange sends q and returns the octets of the reply.
func exchange(t *testing.T, server string, q *dns.Msg) []byte {
	t.Helper()
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write(packed); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, dns.MaxMsgSize)
	n, err := conn.Read(reply)
	if err != nil {
		t.Fatal(err)
	}
	return reply[:n]
}
