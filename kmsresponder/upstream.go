package kmsresponder

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxParked is how many connections to one host are kept between calls.
	maxParked = 64

	// parkedFor is how long: a Windows host closes a connection that idles for
	// 30 s.
	parkedFor = 20 * time.Second

	// silentFor is how long a host that kept a call waiting in vain comes after
	// the others: as long as probes need to tell what it is worth.
	silentFor = 5 * time.Second
)

// upstream is one KMS host as calls see it: the connections that wait for work.
// Any number of goroutines may use it.
type upstream struct {
	endpoint string
	own      *atomic.Pointer[own] // upstreams.own
	itself   atomic.Bool          // the last new connection would have led back here

	silent   atomic.Pointer[time.Time]      // when it last was, by the monotonic clock: somebody may set the other; nil since it answered
	answered atomic.Pointer[netip.AddrPort] // the address that last took a connection

	mu     sync.Mutex
	parked []*upstreamConn // the latest last
	closed bool
}

// take returns a parked connection to one of the addresses, or nil: the latest
// of lane, or else the latest.
func (u *upstream) take(addresses []netip.Addr, lane int32, now time.Time) *upstreamConn {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.parked) > 0 {
		i := len(u.parked) - 1
		for i > 0 && u.parked[i].lane.Load() != lane {
			i--
		}
		if u.parked[i].lane.Load() != lane {
			i = len(u.parked) - 1
		}
		c := u.parked[i]
		u.parked = slices.Delete(u.parked, i, i+1)
		if now.Sub(c.parked) < parkedFor && slices.Contains(addresses, c.address.Addr()) {
			return c
		}
		c.close()
	}
	return nil
}

// park keeps c for the next call.
func (u *upstream) park(c *upstreamConn, now time.Time) {
	c.parked = now
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || len(u.parked) >= maxParked {
		c.close()
		return
	}
	u.parked = append(u.parked, c)
}

// expire closes the connections parked at or before the time given, and reports
// whether none is left.
func (u *upstream) expire(before time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for n < len(u.parked) && !u.parked[n].parked.After(before) {
		u.parked[n].close()
		n++
	}
	u.parked = slices.Delete(u.parked, 0, n)
	return len(u.parked) == 0
}

// close closes what is parked, and from now on whatever is put back.
func (u *upstream) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, c := range u.parked {
		c.close()
	}
	u.parked = nil
}

// dial opens a connection to the first of the addresses that takes one, and
// binds. Each gets an equal part of the time that is left, the one that last
// worked before all others.
func (u *upstream) dial(addresses []netip.Addr, port uint16, until time.Time) (*upstreamConn, error) {
	if len(addresses) > 1 {
		if last := u.answered.Load(); last != nil {
			if i := slices.Index(addresses, last.Addr()); i > 0 {
				addresses = slices.Clone(addresses)
				addresses[0], addresses[i] = addresses[i], addresses[0]
			}
		}
	}
	var first error
	var here own
	if at := u.own.Load(); at != nil {
		here = *at
	}
	for i, a := range addresses {
		part := time.Until(until) / time.Duration(len(addresses)-i)
		address := netip.AddrPortFrom(a, port)
		c, err := dialUpstream(address, time.Now().Add(part), here)
		u.itself.Store(errors.Is(err, errOwn))
		if err == nil {
			if len(addresses) > 1 {
				u.answered.Store(&address)
			}
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// wasSilent reports whether the host lately kept a call waiting in vain.
func (u *upstream) wasSilent(now time.Time) bool {
	at := u.silent.Load()
	return at != nil && now.Sub(*at) < silentFor
}

// upstreams are the hosts that calls went to, by endpoint. They outlive a
// change of configuration. The map is replaced, never changed.
type upstreams struct {
	all atomic.Pointer[map[string]*upstream]
	own atomic.Pointer[own] // where the gateway listens; nil: nowhere yet
	mu  sync.Mutex          // writers'

	closed bool // guarded by mu
}

func (s *upstreams) get(endpoint string) *upstream {
	if all := s.all.Load(); all != nil {
		if u := (*all)[endpoint]; u != nil {
			return u
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	grown := make(map[string]*upstream)
	if all := s.all.Load(); all != nil {
		for name, u := range *all {
			grown[name] = u
		}
	}
	if u := grown[endpoint]; u != nil {
		return u
	}
	u := &upstream{endpoint: endpoint, own: &s.own, closed: s.closed}
	grown[endpoint] = u
	s.all.Store(&grown)
	return u
}

// find returns the host called endpoint, or nil if no call went there yet.
func (s *upstreams) find(endpoint string) *upstream {
	if all := s.all.Load(); all != nil {
		return (*all)[endpoint]
	}
	return nil
}

// expire closes what was parked at or before the time given, and forgets hosts
// without a connection that wanted does not have.
func (s *upstreams) expire(before time.Time, wanted func(endpoint string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all.Load()
	if all == nil {
		return
	}
	kept := make(map[string]*upstream, len(*all))
	for name, u := range *all {
		if empty := u.expire(before); !empty || wanted(name) {
			kept[name] = u
		} else {
			u.close() // a call that is still under way there puts its connection back
		}
	}
	if len(kept) < len(*all) {
		s.all.Store(&kept)
	}
}

func (s *upstreams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if all := s.all.Load(); all != nil {
		for _, u := range *all {
			u.close()
		}
	}
}
