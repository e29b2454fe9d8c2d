package plugin

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"
)

// TestAmplification: how many octets come back for one that is sent, over UDP, where the sender may have forged whom they go
// to. The figures of docs/security.md are those that -v prints.
func TestAmplification(t *testing.T) {
	for _, tt := range []struct {
		hosts int
		size  uint16 // of EDNS; 0: none
		most  float64
	}{
		{1, 0, 4}, {3, 0, 8}, {6, 0, 12}, {256, 0, 12}, // RFC 1035: 512 octets
		{6, 1232, 12}, {256, 1232, 22}, {256, 4096, 72},
	} {
		h := oneHandler(t, "corp.example.org.", tt.hosts)
		q := newQuestion("_vlmcs._tcp.corp.example.org.", dns.TypeSRV)
		if tt.size > 0 {
			edns(q, tt.size, false)
		}
		sent, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		reply := ask(t, h, q, false)
		reply.Compress = true
		got, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if limit := max(int(tt.size), dns.MinMsgSize); len(got) > limit {
			t.Errorf("%d hosts: %d octets for a client that takes %d", tt.hosts, len(got), limit)
		}
		factor := float64(len(got)) / float64(len(sent))
		line := fmt.Sprintf("%3d hosts, EDNS %4d: %d octets sent, %4d back, factor %.1f, truncated %v", tt.hosts, tt.size, len(sent), len(got), factor, reply.Truncated)
		t.Log(line)
		if factor > tt.most {
			t.Errorf("%s: more than %.0f", line, tt.most)
		}
	}
}
