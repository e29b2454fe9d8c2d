package pool

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// How many orderings a snapshot prepares: as many as fit about a quarter of a millisecond of work and a few dozen KiB, and
// enough that the first places come within 1/minOrders of what the weights ask.
const (
	minOrders   = 256
	maxOrders   = 1024
	orderBudget = 8192 // orderings times hosts
)

// orderings prepares RFC 2782 orderings of records (sorted by priority): tier after tier, and within a tier drawn without
// replacement in proportion to the weights. The first places of the whole set are stratified, not drawn: over all orderings
// each host comes first as often as its weight asks, to within one.
//
// RFC 2782 leaves records of weight 0 "a very small chance" beside others: the chance of drawing 0 among 0 to the sum of the
// weights. If all weights are 0 every record has the same chance.
func orderings(records []Record, rnd *rand.Rand) [][]uint16 {
	if len(records) < 2 {
		only := make([]uint16, len(records))
		return [][]uint16{only}
	}
	n := min(max(orderBudget/len(records), minOrders), maxOrders)
	lead := firstPlaces(shares(firstTier(records)), n, rnd)
	all := make([]uint16, 0, n*len(records))
	orders := make([][]uint16, n)
	keys := make([]float64, len(records))
	chance := tierShares(records)
	for i := range orders {
		order := all[len(all) : len(all)+len(records) : len(all)+len(records)]
		all = all[:len(all)+len(records)]
		for j := range order {
			order[j] = uint16(j)
			// Efraimidis and Spirakis: sorting by exponential keys of rate w draws without replacement by weight w.
			keys[j] = rnd.ExpFloat64() / chance[j]
		}
		keys[lead[i]] = -1
		slices.SortFunc(order, func(a, b uint16) int {
			return cmp.Or(cmp.Compare(records[a].Priority, records[b].Priority), cmp.Compare(keys[a], keys[b]))
		})
		orders[i] = order
	}
	return orders
}

// tierShares is shares of each tier, side by side.
func tierShares(records []Record) []float64 {
	all := make([]float64, 0, len(records))
	for len(records) > 0 {
		tier := firstTier(records)
		all = append(all, shares(tier)...)
		records = records[len(tier):]
	}
	return all
}

// Chances is, for each of records (sorted by priority), its chance of being the first that a client tries which heeds priority
// and weight as RFC 2782 has it. They add up to 1; behind the first tier they are 0.
func Chances(records []Record) []float64 {
	all := make([]float64, len(records))
	if len(records) > 0 {
		copy(all, shares(firstTier(records)))
	}
	return all
}

// shares is each record's chance of coming first in its tier; they add up to 1.
func shares(tier []Record) []float64 {
	sum, zeros := 0.0, 0.0
	for _, r := range tier {
		sum += float64(r.Weight)
		if r.Weight == 0 {
			zeros++
		}
	}
	total := sum
	if zeros > 0 {
		total++ // the number 0, which belongs to the records of weight 0
	}
	out := make([]float64, len(tier))
	for i, r := range tier {
		if r.Weight == 0 {
			out[i] = 1 / zeros / total
		} else {
			out[i] = float64(r.Weight) / total
		}
	}
	return out
}

// firstPlaces gives out n first places by share, in random sequence: systematic sampling, n equidistant points over the
// shares laid end to end.
func firstPlaces(share []float64, n int, rnd *rand.Rand) []int {
	places := make([]int, n)
	offset, end, host := rnd.Float64(), share[0], 0
	for i := range places {
		at := (float64(i) + offset) / float64(n)
		for at >= end && host < len(share)-1 {
			host++
			end += share[host]
		}
		places[i] = host
	}
	rnd.Shuffle(n, func(i, j int) { places[i], places[j] = places[j], places[i] })
	return places
}
