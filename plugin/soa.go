package plugin

import (
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// soaFresh is how long the SOA record of the zone below is taken for true. A new serial may be told late; nobody refreshes by
// the SOA of a denial.
const soaFresh = 30 * time.Second

// soaCache keeps what the next plugin said its SOA record is. That plugin may have to ask somebody far away who does not
// answer, and denials must not all wait for that: one query at a time asks, the others take what was last known.
type soaCache struct {
	last   atomic.Pointer[soaSeen]
	asking atomic.Bool
}

type soaSeen struct {
	soa *dns.SOA // nil: there is none; never changed
	at  time.Time
}

// get returns a copy of the record, from ask where none is known that is fresh; nil if there is none.
func (c *soaCache) get(ask func() *dns.SOA) *dns.SOA {
	seen := c.last.Load()
	if (seen == nil || time.Since(seen.at) > soaFresh) && c.asking.CompareAndSwap(false, true) {
		defer c.asking.Store(false)
		seen = &soaSeen{soa: ask(), at: time.Now()}
		c.last.Store(seen)
	}
	if seen == nil || seen.soa == nil {
		return nil
	}
	return dns.Copy(seen.soa).(*dns.SOA)
}
