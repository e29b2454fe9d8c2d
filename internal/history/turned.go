package history

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of who was turned away.
const (
	maxTurned = 2048 // addresses, of which the last few times are kept
	maxLimits = 256  // properties of pools by which somebody was
	hours     = 24   // for which it is counted
)

// Turned is a client that a responder turned away before it asked any host.
type Turned struct {
	At     time.Time
	Pool   string
	From   netip.Addr
	Reason string // a word of the metric responder_refused_total
	Limit  string // the property of the Corefile that did it, in words
}

// Turning is how often clients were turned away by one property of one pool in the last 24 hours.
type Turning struct {
	Turned // the last of them
	Count  int
}

// turnings counts in hours.
type turnings struct {
	last Turned
	by   [hours]struct{ hour, count int64 }
}

// TurnAway remembers that a client was turned away. Who turns away many is not to be kept by it: it allocates only for
// addresses that are new.
func (c *Clients) TurnAway(t Turned) {
	c.turnedMu.Lock()
	defer c.turnedMu.Unlock()
	c.turned.max = maxTurned
	c.turned.add(t.From.WithZone(""), t)
	key := turnedBy{t.Pool, t.Limit}
	one := c.turnings[key]
	if one == nil {
		if len(c.turnings) >= maxLimits {
			c.forgetTurnings(t.At)
		}
		if c.turnings == nil {
			c.turnings = make(map[turnedBy]*turnings)
		}
		one = new(turnings)
		c.turnings[key] = one
	}
	one.last = t
	hour := t.At.Unix() / 3600
	at := &one.by[uint64(hour)%hours]
	if at.hour != hour {
		at.hour, at.count = hour, 0
	}
	at.count++
}

type turnedBy struct{ pool, limit string }

// forgetTurnings drops what is a day old or, if nothing is, the one that was not used for longest: limits come and go with reloads.
func (c *Clients) forgetTurnings(now time.Time) {
	var oldest turnedBy
	for key, one := range c.turnings {
		if now.Sub(one.last.At) > hours*time.Hour {
			delete(c.turnings, key)
		} else if first := c.turnings[oldest]; first == nil || one.last.At.Before(first.last.At) {
			oldest = key
		}
	}
	if len(c.turnings) >= maxLimits {
		delete(c.turnings, oldest)
	}
}

// TurnedAway is the last times that the client at an address was turned away, the latest first, and how many times there were
// since it is remembered.
func (c *Clients) TurnedAway(from netip.Addr) (last []Turned, times int) {
	c.turnedMu.Lock()
	defer c.turnedMu.Unlock()
	from = from.WithZone("")
	if s := c.turned.by[from]; s != nil {
		times = s.count
	}
	return c.turned.of(from), times
}

// Turnings is by what clients were turned away in the 24 hours before now, by pool.
func (c *Clients) Turnings(now time.Time) []Turning {
	c.turnedMu.Lock()
	defer c.turnedMu.Unlock()
	var all []Turning
	for _, one := range c.turnings {
		t := Turning{Turned: one.last}
		for _, h := range one.by {
			if ago := now.Unix()/3600 - h.hour; 0 <= ago && ago < hours {
				t.Count += int(h.count)
			}
		}
		if t.Count > 0 {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b Turning) int {
		return strings.Compare(a.Pool+" "+a.Limit, b.Pool+" "+b.Limit)
	})
	return all
}
