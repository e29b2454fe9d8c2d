package kmsresponder

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Refusal is why a client was turned away before any host was asked.
type Refusal uint8

const (
	RefusedNetwork     Refusal = iota // its address is in none of the networks allowed
	RefusedConnections                // too many connections in all
	RefusedClient                     // too many connections of this client
	RefusedRate                       // too many requests of this client in the last minute
	RefusedLoop                       // this very message is under way here: it has been round
)

var refusalWords = [...]string{"network", "connections", "client", "rate", "loop"}

// String returns the word that stands in metrics.
func (r Refusal) String() string { return refusalWords[r] }

// Refusals is every reason, for those who prepare a row for each.
func Refusals() []Refusal {
	return []Refusal{RefusedNetwork, RefusedConnections, RefusedClient, RefusedRate, RefusedLoop}
}

// Limits bound what clients may take. Everywhere, a negative number is no limit.
type Limits struct {
	Connections int // open at once
	Client      int // open at once from one address
	Rate        int // requests from one address in a minute; as many may come at once
}

// maxGuests bounds the addresses that are remembered for their requests alone.
const maxGuests = 1 << 16

// guest is what one address has taken. admission.mu guards it.
type guest struct {
	conns int

	// full is when its requests will be forgotten: each moves it on by a
	// minute's share, and it may be at most a minute ahead (GCRA).
	full time.Time
}

// admission counts what clients take. It reads no clock; any number of
// goroutines may use it.
type admission struct {
	mu     sync.Mutex
	conns  int
	guests map[netip.Addr]*guest
}

func newAdmission() *admission { return &admission{guests: make(map[netip.Addr]*guest)} }

// allowed reports whether from, which is not IPv4-mapped, is in one of the
// networks.
func allowed(networks []netip.Prefix, from netip.Addr) bool {
	from = from.WithZone("") // a prefix contains no address with a zone
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(from) })
}

// household is what limits are for: an IPv4 address, or the /64 around an IPv6
// address, of which one machine has as many as it likes.
func household(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().Addr()
}

// enter takes a connection in, to be given back with leave, or says why not.
func (a *admission) enter(from netip.Addr, now time.Time, l Limits) (_ *guest, why Refusal, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.Connections >= 0 && a.conns >= l.Connections {
		return nil, RefusedConnections, false
	}
	from = household(from)
	g := a.guests[from]
	if g == nil {
		if len(a.guests) >= maxGuests {
			a.makeRoom(now)
		}
		g = new(guest)
		a.guests[from] = g
	}
	if l.Client >= 0 && g.conns >= l.Client {
		return nil, RefusedClient, false
	}
	a.conns++
	g.conns++
	return g, 0, true
}

func (a *admission) leave(from netip.Addr, g *guest, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns--
	g.conns--
	a.forget(household(from), g, now)
}

// request reports whether g may make one more request, and counts it if so.
func (a *admission) request(g *guest, now time.Time, l Limits) bool {
	if l.Rate < 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.After(g.full) {
		g.full = now
	}
	next := g.full.Add(time.Minute / time.Duration(max(l.Rate, 1)))
	if l.Rate == 0 || next.Sub(now) > time.Minute {
		return false
	}
	g.full = next
	return true
}

// open is the number of connections.
func (a *admission) open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conns
}

// sweep forgets the addresses that have taken nothing for a minute.
func (a *admission) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for from, g := range a.guests {
		a.forget(from, g, now)
	}
}

func (a *admission) forget(from netip.Addr, g *guest, now time.Time) {
	if g.conns == 0 && !g.full.After(now) {
		delete(a.guests, from)
	}
}

// makeRoom forgets what it may and, if that is nobody, someone without a
// connection, who may then make a minute's requests once more.
func (a *admission) makeRoom(now time.Time) {
	for from, g := range a.guests {
		a.forget(from, g, now)
	}
	if len(a.guests) < maxGuests {
		return
	}
	for from, g := range a.guests {
		if g.conns == 0 {
			delete(a.guests, from)
			return
		}
	}
}
