package registry

import (
	"net/netip"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// feed is what one Attach has given to its pool.
type feed struct {
	pool  *pool.Pool
	given map[string]meal // by endpoint
}

// meal is what Enlist was last told of one host.
type meal struct {
	host  config.Host
	hints []netip.Addr
}

func (m meal) equal(o meal) bool {
	return m.host.Port == o.host.Port && m.host.Priority == o.host.Priority && m.host.Weight == o.host.Weight &&
		slices.Equal(m.host.Addresses, o.host.Addresses) && slices.Equal(m.hints, o.hints)
}

// Attach makes the announced hosts of p equal to the claims, and keeps them so until detach is called: from now on p has each
// change before Change returns. Several pools may be fed, and one several times by one registry, as while a reload hands it
// over.
//
// After that p keeps what it has: whoever still answers from it, at the end of a reload, answers as before.
func (r *Registry) Attach(p *pool.Pool) (detach func()) {
	f := &feed{pool: p, given: map[string]meal{}}
	r.feedMu.Lock()
	defer r.feedMu.Unlock()
	for _, h := range p.Hosts() {
		if h.Announced {
			f.given[h.Endpoint()] = meal{} // by an earlier one; like no real one
		}
	}
	f.give(r.snapshot.Load())
	r.feeds = append(r.feeds, f)
	return func() {
		r.feedMu.Lock()
		defer r.feedMu.Unlock()
		r.feeds = slices.DeleteFunc(r.feeds, func(other *feed) bool { return other == f })
	}
}

// give brings the pool in step with s. Hosts come before others go, so that it is never emptier than it should be.
func (f *feed) give(s *Snapshot) {
	now := time.Now()
	next := make(map[string]meal, len(s.Claims))
	for _, c := range s.Claims {
		endpoint, m := c.Endpoint(), meal{c.host(s.Addresses[c.Target]), c.Hints}
		next[endpoint] = m
		if last, ok := f.given[endpoint]; !ok || !last.equal(m) {
			f.pool.Enlist(m.host, m.hints, c.proved(now))
		}
	}
	for endpoint := range f.given {
		if _, ok := next[endpoint]; !ok {
			f.pool.Dismiss(endpoint)
		}
	}
	f.given = next
}
