package plugin

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/history"

	"github.com/miekg/dns"
)

// TestQuestionsThatFallThroughAreRemembered: they were asked here, whoever answered.
func TestQuestionsThatFallThroughAreRemembered(t *testing.T) {
	var past history.Clients
	s := site(t, "example.org.", "kms1.example.org=drained")
	s.Fall.Zones = []string{"."}
	h := newHandler(&below{answer: fileLike}, s)
	h.Questions = &past
	ask(t, h, newQuestion("_vlmcs._tcp.example.org.", dns.TypeSRV), false)
	got := past.Questions(netip.MustParseAddr("10.240.0.1"))
	if len(got) != 1 || got[0].Result != "fallthrough" || got[0].Answer != nil {
		t.Errorf("%+v", got)
	}
}

// TestQuestionsAreRemembered: who asked for the service, as they spelled it, and what stood first in the answer. Of other
// names nothing is kept.
func TestQuestionsAreRemembered(t *testing.T) {
	var past history.Clients
	s := site(t, "example.org.", "kms1.example.org/0/10=up@192.0.2.1 192.0.2.9/0/10=up")
	h := newHandler(&below{answer: fileLike}, s)
	h.Questions = &past
	var firsts []string
	for _, q := range []*dns.Msg{
		newQuestion("_VLMCS._tcp.Example.org.", dns.TypeSRV),
		newQuestion("_vlmcs._tcp.example.org.", dns.TypeTXT),
		newQuestion("kms-192-0-2-9.example.org.", dns.TypeA),
		newQuestion("_tcp.example.org.", dns.TypeA),
		newQuestion("www.example.org.", dns.TypeA),
	} {
		reply := ask(t, h, q, false)
		if len(reply.Answer) > 0 {
			if srv, ok := reply.Answer[0].(*dns.SRV); ok {
				firsts = append(firsts, srv.Target)
			}
		}
	}
	got := past.Questions(netip.MustParseAddr("10.240.0.1")) // where the tests of CoreDNS ask from
	if len(got) != 2 {
		t.Fatalf("%d questions are remembered: %+v", len(got), got)
	}
	if q := got[0]; q.Name != "_vlmcs._tcp.example.org." || q.Type != dns.TypeTXT || q.Result != "nodata" || q.Answer != nil {
		t.Errorf("The last: %+v", q)
	}
	q := got[1]
	if q.Name != "_VLMCS._tcp.Example.org." || q.Type != dns.TypeSRV || q.Result != "normal" || q.At.IsZero() {
		t.Errorf("The first: %+v", q)
	}
	want := []string{"0 10 1688 kms1.example.org.", "0 10 1688 kms-192-0-2-9.example.org."}
	if q.Answer == nil || !slices.Equal(q.Answer.Records, want) || q.Answer.More != 0 {
		t.Fatalf("Its answer: %+v", q.Answer)
	}
	if first := q.Answer.Records[q.First]; first != "0 10 1688 "+firsts[0] {
		t.Errorf("%q stood first, remembered is %q", firsts[0], first)
	}
}
