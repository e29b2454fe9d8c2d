package kms

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/dnssec"
	_ "github.com/coredns/coredns/plugin/header"
	_ "github.com/coredns/coredns/plugin/log"
	"github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/shed"
	_ "github.com/coredns/coredns/plugin/tls"
	_ "github.com/coredns/coredns/plugin/tsig"
	"github.com/coredns/coredns/request"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
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
		{"cache", true, 1232}, // which leaves the zones of kms alone
		{"minimal", false, 1232},
		{"rewrite name a.example.org b.example.org", true, 1232},       // of another question
		{"rewrite name suffix example.org. example.org.", false, 1232}, // it gives the name back
		{"tsig {\n secret key. MTIzNDU2Nzg=\n }", true, 1232},          // it is not signed
		{"dnssec", true, 1232},                                         // nor wants signatures
		{"shed", false, 1232},
		{"forward a.example.org 127.0.0.1:9\n forward . 127.0.0.1:9", true, 1232}, // behind kms
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
			if m.Id != q.Id || !m.Authoritative || len(m.Answer) != 1 || !strings.EqualFold(m.Answer[0].Header().Name, q.Question[0].Name) {
				t.Errorf("Got %s", m)
			}
			if opt := m.IsEdns0(); opt == nil || opt.UDPSize() != tt.size {
				t.Errorf("Got %v, want %d octets", opt, tt.size)
			}
		})
	}
}

// TestDirectBesideShed: shed has the replies of a listener pass through its hands, whichever server block they are of.
func TestDirectBesideShed(t *testing.T) {
	port := freePort(t)
	s := start(t, fmt.Sprintf(`
example.org:%d {
	bind 127.0.0.1
	kms {
		host kms1.example.org:%d address 127.0.0.1
	}
}
.:%[1]d {
	bind 127.0.0.1
	shed
}`, port, freePort(t)))
	q := new(dns.Msg)
	q.SetQuestion(service, dns.TypeSRV)
	octets := exchange(t, s.udp(0), q)
	m := new(dns.Msg)
	if err := m.Unpack(octets); err != nil || len(octets) < m.Len() {
		t.Errorf("Octets went past shed: %x, %v", octets, err)
	}
}

// TestDirectToAPlugin: file asks the server itself for the target of a CNAME, and its client gets one reply, to its question.
func TestDirectToAPlugin(t *testing.T) {
	zone := filepath.Join(t.TempDir(), "db.example.net")
	text := "example.net. 60 IN SOA ns.example.net. root.example.net. 1 60 60 60 60\nexample.net. 60 IN NS ns.example.net.\n" +
		"_vlmcs._tcp.example.net. 60 IN CNAME _vlmcs._tcp.example.org.\n"
	if err := os.WriteFile(zone, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	s := start(t, fmt.Sprintf(`
example.org:%d {
	bind 127.0.0.1
	kms {
		host kms1.example.org:%d address 127.0.0.1
	}
}
example.net:%[1]d {
	bind 127.0.0.1
	file %[3]s
}`, port, freePort(t), zone))
	q := new(dns.Msg)
	q.SetQuestion("_vlmcs._tcp.example.net.", dns.TypeSRV)
	m := new(dns.Msg)
	if err := m.Unpack(exchange(t, s.udp(0), q)); err != nil {
		t.Fatal(err)
	}
	if len(m.Question) != 1 || m.Question[0].Name != q.Question[0].Name || len(m.Answer) != 2 {
		t.Errorf("Got %s, want the alias and the host", m)
	}
}

// TestDirectByQUIC: what goes out on a stream of QUIC, of a server block that has plain DNS too, has an end.
func TestDirectByQUIC(t *testing.T) {
	cert, key := certificate(t)
	plain, quicPort := freePort(t), freePort(t)
	start(t, fmt.Sprintf(`
dns://example.org:%d quic://example.org:%d {
	bind 127.0.0.1
	tls %s %s
	kms {
		host kms1.example.org:%d address 127.0.0.1
	}
}`, plain, quicPort, cert, key, freePort(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, fmt.Sprintf("127.0.0.1:%d", quicPort),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"doq"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	q := new(dns.Msg)
	q.SetQuestion(service, dns.TypeSRV)
	q.Id = 0 // RFC 9250 4.2.1
	packed, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write(dnsserver.AddPrefix(packed)); err != nil {
		t.Fatal(err)
	}
	stream.Close()
	stream.SetReadDeadline(time.Now().Add(5 * time.Second))
	reply, err := io.ReadAll(stream)
	if err != nil || len(reply) < 2 {
		t.Fatalf("Got %x, %v", reply, err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply[2:]); err != nil || len(m.Answer) != 1 {
		t.Errorf("Got %v, %v", m, err)
	}
}

// certificate makes one that nobody should trust, and returns the names of its files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"example.org"}}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestStraightAllocatesNothing: it is asked about each answer.
func TestStraightAllocatesNothing(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan float64, 1)
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		front := metrics.NewRecorder(request.NewScrubWriter(r, w))
		plugin.NextOrFailure("", plugin.HandlerFunc(func(_ context.Context, w dns.ResponseWriter, _ *dns.Msg) (int, error) {
			if !straight(w) {
				t.Error("A server's own writer is not straight")
			}
			found <- testing.AllocsPerRun(100, func() { straight(w) })
			return dns.RcodeSuccess, nil
		}), t.Context(), front, r)
		w.WriteMsg(new(dns.Msg).SetReply(r))
	})}
	go server.ActivateAndServe()
	defer server.Shutdown()
	q := new(dns.Msg)
	q.SetQuestion(service, dns.TypeSRV)
	exchange(t, conn.LocalAddr().String(), q)
	if allocations := <-found; allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// exchange sends q and returns the octets of the first reply.
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
