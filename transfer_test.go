package kms

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/store"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/miekg/dns"
)

// journals is the journals that run.
func journals() []*dnsface.Journal { return engine.Each[*dnsface.Journal](running) }

// transferred is corefile with a name server for the zone, and a secondary at port.
func transferred(port int, ports []int, extra string) string {
	return strings.Replace(corefile(0, ports, nil, "ns ns1.example.org\n "+extra), "kms {",
		fmt.Sprintf("transfer {\n  to 127.0.0.1:%d\n }\n kms {", port), 1)
}

// transfer is the service name as a zone, in words, and its serial.
func (s *server) transfer() (string, uint32) {
	s.t.Helper()
	m := new(dns.Msg)
	m.SetAxfr(service)
	ch, err := new(dns.Transfer).In(m, s.instance.Servers()[0].Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	var words []string
	var serial uint32
	for e := range ch {
		if e.Error != nil {
			s.t.Fatal(e.Error)
		}
		for _, rr := range e.RR {
			switch rr := rr.(type) {
			case *dns.SOA:
				serial = rr.Serial
			case *dns.SRV:
				words = append(words, fmt.Sprint(rr.Port))
			case *dns.NS:
				words = append(words, rr.Ns)
			}
		}
	}
	return strings.Join(words, " "), serial
}

// TestTransferThroughReloads: the secondary is told once, after the start; the journal outlives reloads, good and failed, and
// ends with the last configuration that has it.
func TestTransferThroughReloads(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	notified := make(chan string, 10)
	secondary := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		notified <- dns.OpcodeToString[r.Opcode] + " " + r.Question[0].Name
		w.WriteMsg(new(dns.Msg).SetReply(r))
	})}
	go secondary.ActivateAndServe()
	defer secondary.Shutdown()
	port := pc.LocalAddr().(*net.UDPAddr).Port

	a, b := freePort(t), freePort(t)
	s := start(t, transferred(port, []int{a, b}, ""))
	j := journals()
	got, first := s.transfer()
	if want := fmt.Sprintf("ns1.example.org. %d %d", a, b); got != want || len(j) != 1 || j[0].SOA().Serial != first {
		t.Fatalf("Transferred %q with serial %d, %d journals, want %q", got, first, len(j), want)
	}
	select {
	case got := <-notified:
		if got != "NOTIFY "+service {
			t.Errorf("The secondary got %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("The secondary heard nothing for ten seconds")
	}
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{transferred(port, []int{a, b}, "ttl 7s"), true},
		{transferred(port, []int{a}, ""), true},
		{transferred(port, []int{b}, "rehearse 192.0.2.1:1"), false}, // no address of this machine
	} {
		if err := s.reload(tt.text); (err == nil) != tt.ok {
			t.Fatalf("The reload: %v", err)
		}
		// Within ten seconds of the first version there is no other.
		if now := journals(); len(now) != 1 || now[0] != j[0] || now[0].SOA().Serial != first {
			t.Fatalf("After a reload: %d journals, the same %v, serial %d after %d", len(now), now[0] == j[0], now[0].SOA().Serial, first)
		}
		if _, serial := s.transfer(); serial != first {
			t.Errorf("After a reload version %d is transferred, not %d", serial, first)
		}
	}
	if err := s.reload(corefile(0, []int{a}, nil, "")); err != nil {
		t.Fatal(err)
	}
	if n := len(journals()); n != 0 {
		t.Errorf("Without ns there are %d journals", n)
	}
	s.nothingLeft()
}

// TestSerialInTheStore: a restart goes on after the last serial, whatever the clock says.
func TestSerialInTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	text := transferred(1, []int{freePort(t)}, "store "+path)
	s := start(t, text)
	_, first := s.transfer()
	s.nothingLeft()
	st, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := lastSerial(st, service); kept != first || err != nil {
		t.Errorf("Kept %d, %v, want %d", kept, err, first)
	}
	if none, err := lastSerial(st, "x."+service); none != 0 || err != nil {
		t.Errorf("Of a zone that never was: %d, %v", none, err)
	}
	ahead := first + 1<<30
	if err := keepSerial(st, service, ahead); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, text)
	if _, got := s.transfer(); got != ahead+1 {
		t.Errorf("After %d: %d, want one more", ahead, got)
	}
	s.nothingLeft()

	st, err = store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Update(func(tx *store.Tx) error { return tx.Put(store.Serials, service, []byte("seven")) }); err != nil {
		t.Fatal(err)
	}
	if got, err := lastSerial(st, service); err == nil {
		t.Errorf("Of five octets it makes the serial %d", got)
	}
}

// TestJournalOfEachView: one zone behind two views is two zones to transfer, with hosts of its own each.
func TestJournalOfEachView(t *testing.T) {
	a, b := freePort(t), freePort(t)
	block := func(view string, port int) string {
		return fmt.Sprintf("example.org:0 {\n bind 127.0.0.1\n view x {\n  expr %s\n }\n transfer {\n  to *\n }\n kms {\n"+
			"  host kms.example.org:%d address 127.0.0.1\n  ns ns1.example.org\n }\n}\n", view, port)
	}
	text := block("proto() == 'udp'", a) + block("proto() == 'tcp'", b)
	s := start(t, text)
	before := journals()
	if err := s.reload(text); err != nil {
		t.Fatal(err)
	}
	now := journals()
	if len(before) != 2 || len(now) != 2 || before[0] != now[0] || before[1] != now[1] {
		t.Errorf("%d journals, then %d, want the same two", len(before), len(now))
	}
	if got, _ := s.transfer(); got != fmt.Sprintf("ns1.example.org. %d", b) {
		t.Errorf("Over TCP %q is transferred", got)
	}
	s.nothingLeft()
}
