package main

import (
	"net/netip"
	"strings"
	"testing"
)

func example(t *testing.T) *corefile {
	t.Helper()
	c := &corefile{path: t.TempDir() + "/Corefile", zone: "/zone", store: "/store", socket: "/socket"}
	for i := range 5 {
		c.hosts = append(c.hosts, &host{name: "k" + string(rune('1'+i)) + ".chaos.test.", byName: i == 1, announced: i == 4,
			address: netip.AddrFrom4([4]byte{10, 77, 0, byte(11 + i)})})
	}
	return c
}

// TestTurnsDiffer: each turn gives another Corefile, and no change gives the same once more.
func TestTurnsDiffer(t *testing.T) {
	c := example(t)
	texts := make(map[string]int)
	for turn := range turns {
		text := c.text(turn)
		if before, twice := texts[text]; twice {
			t.Errorf("Turns %d and %d give the same", before, turn)
		}
		texts[text] = turn
	}
	if err := c.change(c.other(4)); err != nil || c.turn != 4 {
		t.Fatalf("The first is turn %d, %v", c.turn, err)
	}
	if got := c.other(4 + 3*turns); got%turns == 4 {
		t.Errorf("Turn %d gives the same", got)
	}
}

// TestMistakes: each of them spoils any good Corefile.
func TestMistakes(t *testing.T) {
	c := example(t)
	for turn := range turns {
		good := c.text(turn)
		for _, m := range mistakes {
			bad := m.spoil(good)
			if bad == good {
				t.Errorf("Turn %d: %s, and nothing is changed", turn, m.name)
			}
			if m.name == "the end is missing" && strings.Count(bad, "{") <= strings.Count(bad, "}") {
				t.Errorf("Turn %d: %s, and all blocks are closed", turn, m.name)
			}
		}
	}
}
