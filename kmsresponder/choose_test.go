package kmsresponder

import (
	"slices"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// tiers is a snapshot with hosts a, b, c... of these priorities.
func tiers(priorities ...uint16) *pool.Snapshot {
	s := new(pool.Snapshot)
	for i, p := range priorities {
		s.Records = append(s.Records, pool.Record{Endpoint: string(rune('a' + i)), Priority: p})
	}
	return s
}

// named is the order as a word.
func named(s *pool.Snapshot, order []uint16) string {
	word := ""
	for _, i := range order {
		word += s.Records[i].Endpoint
	}
	return word
}

// homesAtA has n clients at home at a, and none elsewhere.
func homesAtA(n int) func(string) int {
	return func(endpoint string) int {
		if endpoint == "a" {
			return n
		}
		return 0
	}
}

// TestASuspectOpensNoOther: a host that stands behind its equals for a while takes its clients out of the sum.
func TestASuspectOpensNoOther(t *testing.T) {
	s := tiers(0, 0, 1) // b and c, and behind them a, which is suspect
	s.Records[0].Endpoint, s.Records[1].Endpoint, s.Records[2].Endpoint = "b", "c", "a"
	for client := range 100 {
		c := choice{client: identity(clientOf(client)), homes: func(endpoint string) int {
			return map[string]int{"a": 50, "b": 50}[endpoint]
		}}
		if got := named(s, c.order(nil, s)); got != "bca" {
			t.Fatalf("client %d: %s: c, which nobody has filled, is open", client, got)
		}
	}
}

func TestConcentrate(t *testing.T) {
	tests := []struct {
		name       string
		priorities []uint16
		homes      int
		ranks      []uint8
		want       []string // every order that some client gets
	}{
		{"nobody", nil, 0, nil, []string{""}},
		{"one", []uint16{5}, 1000, nil, []string{"a"}},
		{"no clients yet", []uint16{0, 0, 0}, 0, nil, []string{"abc"}},
		{"first not full", []uint16{0, 0, 0}, 49, nil, []string{"abc"}},
		{"first full, none for a second", []uint16{0, 0, 0}, 99, nil, []string{"abc"}},
		{"enough for two", []uint16{0, 0, 0}, 100, nil, []string{"abc", "bac"}},
		{"not enough for three", []uint16{0, 0, 0}, 149, nil, []string{"abc", "bac"}},
		{"enough for three", []uint16{0, 0, 0}, 150, nil, []string{"abc", "acb", "bac", "bca", "cab", "cba"}},
		{"priority first", []uint16{0, 1, 1}, 10_000, nil, []string{"abc"}},
		{"priorities", []uint16{0, 1, 2}, 10_000, nil, []string{"abc"}},
		{"silent behind", []uint16{0, 0, 1}, 0, []uint8{rankSilent, 0, 0}, []string{"bca"}},
		{"unable behind silent", []uint16{0, 0, 1}, 0, []uint8{rankUnable, rankSilent, 0}, []string{"cba"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := tiers(tc.priorities...)
			seen := make(map[string]int)
			for client := range 1000 {
				c := choice{client: identity(clientOf(client)), homes: homesAtA(tc.homes), ranks: tc.ranks}
				first := named(s, c.order(nil, s))
				seen[first]++
				if again := named(s, c.order(nil, s)); again != first {
					t.Fatalf("client %d: %s, then %s", client, first, again)
				}
			}
			var got []string
			for order := range seen {
				got = append(got, order)
			}
			slices.Sort(got)
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v", seen)
			}
			for order, n := range seen {
				if n < 1000/len(seen)*7/10 {
					t.Errorf("only %d of 1000 clients get %s", n, order)
				}
			}
		})
	}
}

// TestRendezvous: a host that opens or goes takes its own share with it, and
// nobody else moves.
func TestRendezvous(t *testing.T) {
	three, four := tiers(0, 0, 0), tiers(0, 0, 0, 0)
	moved, lost := 0, 0
	for client := range 1000 {
		c := choice{client: identity(clientOf(client)), homes: func(string) int { return 70 }}
		before, after := named(three, c.order(nil, three)), named(four, c.order(nil, four))
		if before[0] != after[0] {
			moved++
			if after[0] != 'd' {
				t.Errorf("client %d moved from %s to %s", client, before, after)
			}
		}
		gone := tiers(0, 0, 0)
		gone.Records = gone.Records[1:]
		if without := named(gone, c.order(nil, gone)); before[0] == 'a' {
			lost++
			if without[0] != before[1] {
				t.Errorf("client %d of %s went to %s", client, before, without)
			}
		} else if without[0] != before[0] {
			t.Errorf("client %d of %s moved to %s", client, before, without)
		}
	}
	if moved < 200 || moved > 300 || lost < 280 || lost > 390 {
		t.Errorf("%d of 1000 moved to the fourth, %d had the first", moved, lost)
	}
}

// TestScoreIsFixed: other nodes, and versions, must come to the same host.
func TestScoreIsFixed(t *testing.T) {
	c := choice{client: identity(clientOf(1))}
	if got, want := c.score("kms1.example.org:1688"), uint64(0xe144c51206b52f6a); got != want {
		t.Errorf("score %#x, want %#x", got, want)
	}
}

// TestSpread: RFC 2782 orders, as the pool prepares them.
func TestSpread(t *testing.T) {
	p := poolOf(
		config.Host{Name: "a.example.org.", Port: 1, Weight: 3},
		config.Host{Name: "b.example.org.", Port: 1, Weight: 1},
		config.Host{Name: "c.example.org.", Port: 1, Priority: 1},
	)
	s := p.Snapshot()
	first := make(map[uint16]int)
	for n := range 1 << 12 {
		order := choice{policy: config.Spread, draw: uint32(n) << 20}.order(nil, s)
		first[order[0]]++
		if order[2] != 2 {
			t.Fatalf("order %v", order)
		}
	}
	if a := first[0]; a < 3000 || a > 3150 {
		t.Errorf("first places %v of 4096", first)
	}
	if order := (choice{policy: config.Spread, ranks: []uint8{0, rankUnable, 0}}).order(nil, s); !slices.Equal(order, []uint16{0, 2, 1}) {
		t.Errorf("order %v with b unable", order)
	}
}

func TestCovers(t *testing.T) {
	for key := config.Any; key <= config.ServerC; key++ {
		for group := config.ClientVL; group <= config.ServerC; group++ {
			if got, want := covers(key, group), key == config.Any || group <= key; got != want {
				t.Errorf("%v covers %v: %v", key, group, got)
			}
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	s := tiers(0, 0, 0, 1, 1, 1)
	c := choice{client: 1, homes: func(string) int { return 500 }}
	var room [8]uint16
	b.ReportAllocs()
	for b.Loop() {
		c.client++
		c.order(room[:0], s)
	}
}
