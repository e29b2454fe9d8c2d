package kmsresponder

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// SRV is one KMS host as DNS names it.
type SRV struct {
	Target                 string // with or without a final dot
	Port, Priority, Weight uint16

	// Addresses are those of the target, if the answer had them. Without, the
	// name is left to Dial.
	Addresses []netip.Addr
}

// Endpoint returns "target:port", without a final dot.
func (s SRV) Endpoint() string {
	return net.JoinHostPort(strings.TrimSuffix(s.Target, "."), strconv.Itoa(int(s.Port)))
}

// endpoints is where to connect to, one after the other.
func (s SRV) endpoints() []string {
	if len(s.Addresses) == 0 {
		return []string{s.Endpoint()}
	}
	var list []string
	for _, a := range s.Addresses {
		list = append(list, netip.AddrPortFrom(a, s.Port).String())
	}
	return list
}

// ErrNoData is what Discover returns of a name that is there without SRV records,
// if it can tell.
var ErrNoData = errors.New("the name is there, without an SRV record")

// discover looks for hosts under each suffix, in order, and returns those of the
// first that has any. Otherwise the verdict is not OK; err is of the last look-up
// that failed, if one did.
func (c *RehearsalClient) discover(ctx context.Context) (hosts []SRV, verdict kmswire.HRESULT, err error) {
	verdict = kmswire.NoSuffix
	for _, suffix := range c.Suffixes {
		found, failure := c.Discover(ctx, "_vlmcs._tcp."+strings.Trim(suffix, ".")+".")
		none := kmswire.NoRecord
		if errors.Is(failure, ErrNoData) {
			none, failure = kmswire.NoData, nil
		}
		if failure != nil {
			verdict, err = kmswire.NoHost, failure
			continue
		}
		// A target of "." says that the service is not to be had there (RFC
		// 2782).
		found = slices.DeleteFunc(slices.Clone(found), func(s SRV) bool { return s.Target == "." || s.Target == "" })
		if len(found) > 0 {
			return found, kmswire.OK, nil
		}
		if verdict == kmswire.NoSuffix {
			verdict = none
		}
	}
	return nil, verdict, err
}

// choose returns the index of the host in hosts, which is not empty, to ask
// next.
func (c *RehearsalClient) choose(hosts []SRV) int {
	if c.AnyOrder {
		return c.intN(len(hosts))
	}
	return weigh(hosts, c.intN)
}

// weigh chooses by RFC 2782: among the hosts of the lowest priority number one
// at random, as often as its weight says. Those of weight 0 share the number 0 of
// the numbers up to the sum of the weights, so that they have a very small chance
// beside others and the same chance among themselves. RFC 2782 leaves the number
// to the first host if none has weight 0; here it is not drawn then.
func weigh(hosts []SRV, intN func(int) int) int {
	best := slices.MinFunc(hosts, func(a, b SRV) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	var weightless, others []int
	sum := 0
	for i, h := range hosts {
		switch {
		case h.Priority != best:
		case h.Weight == 0:
			weightless = append(weightless, i)
		default:
			others = append(others, i)
			sum += int(h.Weight)
		}
	}
	n := 0
	if len(weightless) == 0 {
		n = 1 + intN(sum)
	} else if n = intN(sum + 1); n == 0 {
		return weightless[intN(len(weightless))]
	}
	for _, i := range others {
		if n -= int(hosts[i].Weight); n <= 0 {
			return i
		}
	}
	panic("kmsresponder: a random number beyond the sum of the weights")
}

func (c *RehearsalClient) intN(n int) int {
	if c.Rand != nil {
		return c.Rand.IntN(n)
	}
	return rand.IntN(n)
}
