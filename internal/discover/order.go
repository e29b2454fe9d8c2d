package discover

import (
	"cmp"
	"slices"
)

// inOrder works out each host's chance of being tried first and puts hosts in the order in which clients come to them: by
// priority, and among equals the likeliest first. Those that are not used come last. anyOrder is a client that draws one at
// random, whatever the records say.
func inOrder(hosts []Host, anyOrder bool) {
	first, used := uint16(0), 0
	for _, h := range hosts {
		if h.used && (used == 0 || h.Priority < first) {
			first = h.Priority
		}
		if h.used {
			used++
		}
	}
	sum, weightless := 0.0, 0.0
	for _, h := range hosts {
		if h.used && h.Priority == first {
			sum += float64(h.Weight)
			if h.Weight == 0 {
				weightless++
			}
		}
	}
	if weightless > 0 {
		sum++ // the number 0 is theirs, of those up to the sum of the weights (RFC 2782)
	}
	for i := range hosts {
		switch h := &hosts[i]; {
		case !h.used:
			h.Chance = 0
		case anyOrder:
			h.Chance = 1 / float64(used)
		case h.Priority != first:
			h.Chance = 0
		case h.Weight == 0:
			h.Chance = 1 / weightless / sum
		default:
			h.Chance = float64(h.Weight) / sum
		}
	}
	slices.SortStableFunc(hosts, func(a, b Host) int {
		if a.used != b.used {
			if a.used {
				return -1
			}
			return 1
		}
		if anyOrder {
			return cmp.Compare(a.Endpoint(), b.Endpoint())
		}
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Endpoint(), b.Endpoint()))
	})
}
