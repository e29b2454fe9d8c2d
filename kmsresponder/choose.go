package kmsresponder

import (
	"cmp"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// hostFull is how many distinct clients a KMS host keeps: twice the highest
// threshold there is. More do not raise its count.
const hostFull = 50

// Ranks put hosts behind others whatever the policy says. Nobody is left out:
// what a rank rests on may be old or a mistake in the Corefile.
const (
	rankAble   uint8 = iota
	rankSilent       // it kept the last call waiting in vain
	rankUnable       // it declined this client before, or its key does not cover the product
)

// choice is what is known when the hosts for one call are put in order.
type choice struct {
	policy config.Policy
	client uint64                    // identifies the client, for config.Concentrate
	homes  func(endpoint string) int // clients that have the host as their home, for Concentrate; nil if nobody knows
	draw   uint32                    // at random, for config.Spread
	ranks  []uint8                   // by index of the record; nil if all are able
}

// order appends the indices of s.Records to dst in the order in which to ask
// them.
//
// Concentrate opens the host after the first k only when there are clients for
// all of them to be full: with hostFull clients, the second host would begin
// with a count of one, and every client sent there would stay unactivated until
// the threshold is reached, which in a network of 60 it never is. A host that is
// open takes a share of all clients, the same ones always (rendezvous hashing),
// and opening another moves only the share that it takes over. Hosts that are
// not open follow in their own order, so that when the open ones fail, everybody
// comes to the same one.
func (c choice) order(dst []uint16, s *pool.Snapshot) []uint16 {
	start := len(dst)
	if c.policy == config.Spread {
		dst = append(dst, s.Order(c.draw)...)
	} else {
		dst = c.concentrate(dst, s.Records)
	}
	if c.ranks != nil {
		slices.SortStableFunc(dst[start:], func(a, b uint16) int { return cmp.Compare(c.ranks[a], c.ranks[b]) })
	}
	return dst
}

func (c choice) concentrate(dst []uint16, records []pool.Record) []uint16 {
	for first := 0; first < len(records); {
		tier := tierAt(records, first)
		end := first + len(tier)
		start := len(dst)
		for i := first; i < end; i++ {
			dst = append(dst, uint16(i))
		}
		if open := c.open(tier); open > 1 {
			slices.SortFunc(dst[start:start+open], func(a, b uint16) int {
				return cmp.Or(cmp.Compare(c.score(records[b].Endpoint), c.score(records[a].Endpoint)), cmp.Compare(a, b))
			})
		}
		first = end
	}
	return dst
}

// tierAt is the records of one priority that begin at first.
func tierAt(records []pool.Record, first int) []pool.Record {
	end := first + 1
	for end < len(records) && records[end].Priority == records[first].Priority {
		end++
	}
	return records[first:end]
}

// open is how many hosts of a tier, from the first, are given clients.
func (c choice) open(tier []pool.Record) int {
	return min(max(c.clients(tier)/hostFull, 1), len(tier))
}

// clients is how many have one of these hosts, which are of one priority, as
// their home. Those of other priorities do not count: a host that is suspect
// stands behind its equals for some seconds, and its clients are no reason to
// open another one, whose count is low.
func (c choice) clients(tier []pool.Record) int {
	n := 0
	if c.homes != nil {
		for i := range tier {
			n += c.homes(tier[i].Endpoint)
		}
	}
	return n
}

// score is the client's attachment to a host: of those open, it stays with the
// highest. It is the same on every node and after every restart.
func (c choice) score(endpoint string) uint64 { return mix(c.client ^ hash(endpoint)) }

// covers reports whether a host with this key activates products of group, as
// far as is known.
func covers(key, group config.Key) bool { return key == config.Any || key >= group }

// identity makes a number of a client, for choice.
func identity(c ledger.Client) uint64 {
	if c.Address.IsValid() {
		text := c.Address.As16()
		return hash(text[:])
	}
	return hash(c.CMID[:])
}

// hash is FNV-1a, and mix the finalizer of SplitMix64, which FNV needs for its
// high bits to depend on the last octets. An attacker who chooses a client id
// chooses no more than which host serves him.
func hash[T string | []byte](text T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
