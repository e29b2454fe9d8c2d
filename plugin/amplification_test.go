package plugin

import (
	"fmt"
	"testing"

	"github.com/coredns/coredns/request"

	"github.com/miekg/dns"
)

// TestAmplification: how many octets come back for one that is sent, over UDP, where the sender may have forged whom they go
// to. The figures of docs/security.md are those that -v prints.
func TestAmplification(t *testing.T) {
	for _, tt := range []struct {
		hosts  int
		size   uint16 // of EDNS; 0: none
		direct bool   // as octets, which are compressed; else as records, which are if they have to be
		most   float64
	}{
		{1, 0, true, 3}, {3, 0, true, 5}, {6, 0, true, 9}, {6, 1232, true, 8},
		{1, 0, false, 4}, {3, 0, false, 9}, {6, 0, false, 12}, {6, 1232, false, 13},
		{256, 0, true, 12}, // RFC 1035: 512 octets
		{256, 1232, true, 22}, {256, 4096, true, 72},
	} {
		h := oneHandler(t, "corp.example.org.", tt.hosts)
		h.Direct = toAllIf(tt.direct)
		q := newQuestion("_vlmcs._tcp.corp.example.org.", dns.TypeSRV)
		if tt.size > 0 {
			edns(q, tt.size, false)
		}
		sent, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		w := new(pipe)
		if _, err := h.ServeDNS(t.Context(), request.NewScrubWriter(q, w), q); err != nil {
			t.Fatal(err)
		}
		if limit := max(int(tt.size), dns.MinMsgSize); len(w.got) > limit {
			t.Errorf("%d hosts: %d octets for a client that takes %d", tt.hosts, len(w.got), limit)
		}
		factor := float64(len(w.got)) / float64(len(sent))
		line := fmt.Sprintf("%3d hosts, EDNS %4d, direct %5v: %d octets sent, %4d back, factor %.1f", tt.hosts, tt.size, tt.direct, len(sent), len(w.got), factor)
		t.Log(line)
		if factor > tt.most {
			t.Errorf("%s: more than %.0f", line, tt.most)
		}
	}
}
