package history

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// addresses returns the nth of so many addresses.
func addresses(count int) func(n int) netip.Addr {
	return func(n int) netip.Addr {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0a000000+uint32(n%count))
		return netip.AddrFrom4(a)
	}
}

func TestQuestions(t *testing.T) {
	var c Clients
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for n := range depth + 2 {
		c.Ask(Question{At: start.Add(time.Duration(n) * time.Second), From: a, Name: "_vlmcs._tcp.example.org."})
	}
	c.Ask(Question{At: start, From: b})
	got := c.Questions(a)
	if len(got) != depth || !got[0].At.Equal(start.Add((depth+1)*time.Second)) || !got[depth-1].At.Equal(start.Add(2*time.Second)) {
		t.Errorf("Questions of %s: %+v", a, got)
	}
	if got := c.Questions(netip.MustParseAddr("192.0.2.3")); got != nil {
		t.Errorf("Who never asked has %+v", got)
	}
	nth := addresses(2 * maxAsking)
	for n := range 2 * maxAsking {
		c.Ask(Question{From: nth(n)})
	}
	kept := 0
	for i := range c.asking {
		kept += len(c.asking[i].by)
	}
	if kept != maxAsking || c.Questions(a) != nil {
		t.Errorf("%d addresses are remembered, want %d, and not %s", kept, maxAsking, a)
	}
}

// TestQuestionsApart: neighbours are remembered without waiting for each other, and no part is much fuller than others, whatever
// is next to what.
func TestQuestionsApart(t *testing.T) {
	for from, step := range map[string]int{"10.0.0.1": 1, "10.255.255.250": 1, "192.0.2.53": 1 << 8, "10.0.0.53": 1 << 16,
		"2001:db8::1": 1} {
		var c Clients
		a := netip.MustParseAddr(from).As16()
		low := binary.BigEndian.Uint32(a[12:])
		in := make(map[*asking]int)
		for n := range maxAsking {
			if step == 1 && n == 8 && len(in) != 8 {
				t.Errorf("Eight addresses from %s are in %d parts", from, len(in))
			}
			binary.BigEndian.PutUint32(a[12:], low+uint32(n*step))
			in[c.part(netip.AddrFrom16(a).Unmap())]++
		}
		for _, n := range in {
			if n < maxAsking/parts/2 || n > maxAsking/parts*2 {
				t.Errorf("From %s on by %d there are %v addresses in the parts", from, step, slices.Collect(maps.Values(in)))
				break
			}
		}
	}
}

func TestCalls(t *testing.T) {
	var c Clients
	one, other := ledger.ByCMID([16]byte{1}), ledger.ByAddress(netip.MustParseAddr("192.0.2.7"))
	asked := make([]Asked, maxAsks+1)
	c.Call(Call{At: start, Client: one, Machine: "PC1", Asked: asked})
	c.Call(Call{At: start.Add(2 * time.Second), Client: one, Machine: "PC1"})
	c.Call(Call{At: start.Add(time.Second), Client: other})
	asked[0].Host = "changed"
	all := c.Calls(func(Call) bool { return true })
	if len(all) != 3 || all[0].Client != one || all[1].Client != other || !all[2].At.Equal(start) {
		t.Errorf("All calls: %+v", all)
	}
	if n := len(all[2].Asked); n != maxAsks || all[2].Asked[0].Host != "" {
		t.Errorf("%d hosts are kept of one call, want %d of its own: %+v", n, maxAsks, all[2].Asked)
	}
	if got := c.Calls(func(c Call) bool { return c.Machine == "PC1" }); len(got) != 2 {
		t.Errorf("Calls of PC1: %+v", got)
	}
	for n := range maxCalling + 10 {
		var id [16]byte
		binary.BigEndian.PutUint64(id[8:], uint64(n)+2)
		c.Call(Call{Client: ledger.ByCMID(id)})
	}
	if len(c.calling.by) != maxCalling {
		t.Errorf("%d clients are remembered, want %d", len(c.calling.by), maxCalling)
	}
}
