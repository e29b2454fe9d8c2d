package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRecent compares with a model that keeps everything, over keys at random.
func TestRecent(t *testing.T) {
	const most = 5
	r := recent[int, int]{max: most}
	var lru []int // keys, the one silent for longest first
	values := make(map[int][]int)
	rnd := rand.New(rand.NewPCG(3, 4))
	for n := range 10_000 {
		k := rnd.IntN(12)
		r.add(k, n)
		if lru = slices.DeleteFunc(lru, func(other int) bool { return other == k }); len(lru) == most {
			delete(values, lru[0])
			lru = lru[1:]
		}
		lru = append(lru, k)
		values[k] = append([]int{n}, values[k][:min(len(values[k]), depth-1)]...)
		for k := range 12 {
			if got := r.of(k); !slices.Equal(got, values[k]) {
				t.Fatalf("After %d: %d has %v, want %v", n, k, got, values[k])
			}
		}
		seen := 0
		r.all(func(k int, got []int) {
			seen++
			if !slices.Equal(got, values[k]) {
				t.Fatalf("After %d: all has %v for %d, want %v", n, got, k, values[k])
			}
		})
		if seen != len(values) {
			t.Fatalf("After %d: %d keys, want %d", n, seen, len(values))
		}
	}
}

// TestRecentAllocatesNothing when it is full, even for keys that it never saw.
func TestRecentAllocatesNothing(t *testing.T) {
	r := recent[int, [64]byte]{max: 64}
	for k := range 1024 {
		r.add(k, [64]byte{})
	}
	k := 1024
	if n := testing.AllocsPerRun(1000, func() { k++; r.add(k, [64]byte{}) }); n > 0 {
		t.Errorf("%v allocations for a key", n)
	}
}

func BenchmarkAsk(b *testing.B) {
	for _, keys := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			var c Clients
			from := addresses(keys)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				c.Ask(Question{From: from(n)})
			}
		})
	}
}
