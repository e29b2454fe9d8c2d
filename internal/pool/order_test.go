package pool

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func tier(priority uint16, weights ...uint16) []Record {
	var all []Record
	for _, w := range weights {
		all = append(all, Record{Priority: priority, Weight: w})
	}
	return all
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// within reports whether k of n is inside the 99.9 % bounds of a binomial with chance p.
func within(k, n int, p float64) bool {
	return math.Abs(float64(k)-float64(n)*p) <= 3.2905*math.Sqrt(float64(n)*p*(1-p))+1e-9
}

// TestFirstChoices draws 100,000 first choices of each kind of client from the answers that a snapshot gives.
func TestFirstChoices(t *testing.T) {
	const n = 100_000
	for name, weights := range map[string][]uint16{
		"10/30/60": {10, 30, 60},
		"all zero": {0, 0, 0},
		"equal":    {7, 7, 7, 7},
		"65535/1":  {65535, 1},
	} {
		records := append(tier(0, weights...), tier(1, 5, 0, 9)...)
		s := &Snapshot{Records: records, orders: orderings(records, seeded())}
		total := 0.0
		for _, w := range weights {
			total += float64(w)
		}
		byWeight := func(i int) float64 {
			switch {
			case i >= len(weights):
				return 0
			case total == 0:
				return 1 / float64(len(weights))
			}
			return float64(weights[i]) / total
		}
		// The RFC draws from 0 to the sum inclusive: one number too many, which goes to whoever stands first.
		byRFC := func(i int) float64 {
			if i >= len(weights) {
				return 0
			}
			return (float64(weights[i]) + 1/float64(len(weights))) / (total + 1)
		}
		any := func(int) float64 { return 1 / float64(len(records)) }
		for client, c := range map[string]struct {
			choose func(order []uint16, rnd *rand.Rand) int
			want   func(i int) float64
		}{
			"takes the first record": {func(order []uint16, _ *rand.Rand) int { return int(order[0]) }, byWeight},
			"RFC 2782":               {func(order []uint16, rnd *rand.Rand) int { return rfc2782(records, order, rnd) }, byRFC},
			"random, as Vista":       {func(order []uint16, rnd *rand.Rand) int { return int(order[rnd.IntN(len(order))]) }, any},
		} {
			t.Run(name+"/"+client, func(t *testing.T) {
				rnd := seeded()
				count := make([]int, len(records))
				for range n {
					count[c.choose(s.Order(rnd.Uint32()), rnd)]++
				}
				for i, k := range count {
					if p := c.want(i); !within(k, n, p) {
						t.Errorf("Record %d: chosen %d times of %d, want %.0f", i, k, n, p*n)
					}
				}
			})
		}
	}
}

// rfc2782 is a client's choice, as the RFC's section "Usage rules" words it: arrange those of the lowest priority in any
// order with weight 0 first, draw a number from 0 to the sum of weights, take the first whose running sum reaches it.
func rfc2782(records []Record, order []uint16, rnd *rand.Rand) int {
	var best []uint16
	for _, i := range order {
		if records[i].Priority == records[order[0]].Priority {
			best = append(best, i)
		}
	}
	rnd.Shuffle(len(best), func(i, j int) { best[i], best[j] = best[j], best[i] })
	slices.SortStableFunc(best, func(a, b uint16) int { return min(int(records[a].Weight), 1) - min(int(records[b].Weight), 1) })
	sum := 0
	for _, i := range best {
		sum += int(records[i].Weight)
	}
	drawn, running := rnd.IntN(sum+1), 0
	for _, i := range best {
		if running += int(records[i].Weight); running >= drawn {
			return int(i)
		}
	}
	panic("unreachable")
}

// TestOrderingsAreOrderings: each is a permutation, tier after tier.
func TestOrderingsAreOrderings(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 6, 17, 256} {
		var records []Record
		for i := range n {
			records = append(records, Record{Priority: uint16(i / 3), Weight: uint16(i % 4 * 10)})
		}
		all := orderings(records, seeded())
		if n > 1 && (len(all) < minOrders || len(all) > maxOrders) {
			t.Errorf("%d records: %d orderings", n, len(all))
		}
		for _, order := range all {
			sorted := slices.Sorted(slices.Values(order))
			for i := range n {
				if int(sorted[i]) != i {
					t.Fatalf("%d records: %v is no permutation", n, order)
				}
			}
			if !slices.IsSortedFunc(order, func(a, b uint16) int { return int(records[a].Priority) - int(records[b].Priority) }) {
				t.Fatalf("%d records: %v mixes tiers", n, order)
			}
		}
	}
}

// TestOrderCoversAll: the whole range of n reaches every ordering, and nothing else.
func TestOrderCoversAll(t *testing.T) {
	records := tier(0, 1, 1)
	s := &Snapshot{Records: records, orders: orderings(records, seeded())}
	if &s.Order(0)[0] != &s.orders[0][0] || &s.Order(math.MaxUint32)[0] != &s.orders[len(s.orders)-1][0] {
		t.Error("The ends of the range do not reach the first and the last ordering")
	}
}

// TestLaterPlacesFollowWeights: behind the first place, the draw goes on by weight: given a first of weight 60, the second
// of 10/30 is the heavier one three times of four.
func TestLaterPlacesFollowWeights(t *testing.T) {
	records := tier(0, 10, 30, 60)
	n, k := 0, 0
	rnd := seeded()
	for range 100 {
		for _, order := range orderings(records, rnd) {
			if order[0] == 2 {
				n++
				if order[1] == 1 {
					k++
				}
			}
		}
	}
	if !within(k, n, 0.75) {
		t.Errorf("Weight 30 before weight 10 in %d of %d, want three of four", k, n)
	}
}

func BenchmarkOrderings(b *testing.B) {
	for _, n := range []int{4, 100} {
		records := tier(0, make([]uint16, n)...)
		b.Run(map[int]string{4: "4hosts", 100: "100hosts"}[n], func(b *testing.B) {
			for b.Loop() {
				orderings(records, seeded())
			}
		})
	}
}
