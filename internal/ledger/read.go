package ledger

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// Clients is how many distinct clients host counts: those that it took a request of, or of which it was sent a copy, in the
// last thirty days. It takes no lock.
func (l *Ledger) Clients(host string) int {
	if t := (*l.tallies.Load())[host]; t != nil {
		return int(t.clients.Load())
	}
	return 0
}

// Homes is how many clients had their own last answered call, of the last thirty days, at host. Each client has one home,
// so the sum over hosts counts nobody twice. It takes no lock.
func (l *Ledger) Homes(host string) int {
	if t := (*l.tallies.Load())[host]; t != nil {
		return int(t.homes.Load())
	}
	return 0
}

// Taken is when host last took a request of a client's own; zero if it never did, as far as is known. What a store had counts
// as long as the client has not been served by another host since. It takes no lock.
func (l *Ledger) Taken(host string) time.Time {
	if t := (*l.tallies.Load())[host]; t != nil && t.taken.Load() > 0 {
		return time.Unix(0, t.taken.Load())
	}
	return time.Time{}
}

// Visited is when host last took a request of c, or a copy of one; zero if it never did.
func (l *Ledger) Visited(c Client, host string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.clients[c]; e != nil {
		for _, v := range e.visits {
			if v.tally.host == host {
				return time.Unix(0, v.at)
			}
		}
	}
	return time.Time{}
}

// Find is what is known of c.
func (l *Ledger) Find(c Client) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.clients[c]; e != nil {
		return e.export(), true
	}
	return Entry{}, false
}

// Export is every client, those that called longest ago first: what a store keeps, and what Import takes.
func (l *Ledger) Export() []Entry { return l.until(math.MaxInt64) }

// Silent is the clients that did not call for d or longer before now, those that called longest ago first.
func (l *Ledger) Silent(now time.Time, d time.Duration) []Entry {
	return l.until(now.Add(-d).UnixNano())
}

// until is the clients whose last call was at last or before.
func (l *Ledger) until(last int64) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Entry
	for e := range l.inOrder {
		if e.last > last {
			break
		}
		all = append(all, e.export())
	}
	return all
}

// Query is which clients are wanted.
type Query struct {
	Until    time.Time // only those whose last call was then or before; zero: whenever it was
	Unserved bool      // only those that no host ever took a request of

	// Match, if set, is who is wanted. It is called with the ledger locked, and must be quick.
	Match func(c Client, from netip.Addr, machine string) bool

	Offset, Limit int // of the rows that are returned
}

// Select is how many clients q wants, and as many of them as it has room for: those that called longest ago first. Who matches
// is settled at one moment; calls go on while many rows are made, and a row has what came of them.
func (l *Ledger) Select(q Query) (page []Entry, total int) {
	found, total := l.find(q)
	page = make([]Entry, 0, len(found))
	for some := range slices.Chunk(found, batch) {
		page = l.export(page, some)
	}
	return page, total
}

// find is the clients for the rows that q wants, and how many match. The entries may change, or be forgotten, as soon as it returns.
func (l *Ledger) find(q Query) (found []*entry, total int) {
	last := int64(math.MaxInt64)
	if !q.Until.IsZero() {
		last = q.Until.UnixNano()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.inOrder {
		if e.last > last {
			break
		}
		if q.Unserved && e.home != nil || q.Match != nil && !q.Match(e.client, e.from, e.machine) {
			continue
		}
		if total >= q.Offset && len(found) < q.Limit {
			found = append(found, e)
		}
		total++
	}
	return found, total
}

// export appends some clients to page, under one lock.
func (l *Ledger) export(page []Entry, some []*entry) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range some {
		page = append(page, e.export())
	}
	return page
}

// Weeks counts clients by the weeks since their last call, as of now: the first number is of those that called within a week,
// the last of all that called longer ago than the others say.
func (l *Ledger) Weeks(now time.Time, n int) []int {
	weeks := make([]int, n)
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.inOrder {
		week := int(now.Sub(time.Unix(0, e.last)) / (7 * day))
		weeks[min(max(week, 0), n-1)]++
	}
	return weeks
}

// Rejected counts the clients that call in vain: that called within d before now, and that no host took a request of for as
// long, though they were known by then.
func (l *Ledger) Rejected(now time.Time, d time.Duration) int {
	since, n := now.Add(-d).UnixNano(), 0
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.inOrder {
		if e.last > since && e.served <= since && e.first <= since {
			n++
		}
	}
	return n
}

// inOrder is every client, those that called longest ago first.
func (l *Ledger) inOrder(yield func(*entry) bool) {
	a, b := l.served.oldest(), l.strangers.oldest()
	for a != nil || b != nil {
		e := a
		if a == nil || b != nil && b.last < a.last {
			e, b = b, b.newer
		} else {
			a = a.newer
		}
		if !yield(e) {
			return
		}
	}
}

// Summary is the ledger in a few numbers.
type Summary struct {
	Clients   int    // that are remembered
	Unserved  int    // of them, were never served by any host
	Silent90  int    // of them, did not call for 90 days or more: half of the 180 that an activation is valid
	Silent150 int    // of those, for 150 days or more: a month is left
	Silent180 int    // of those, for 180 days or more: whatever activation they had is over
	Dropped   uint64 // calls that were not entered because Run was behind
	Evicted   uint64 // clients forgotten because there were too many
}

// Summary counts, as of now.
func (l *Ledger) Summary(now time.Time) Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{Clients: len(l.clients), Unserved: l.strangers.length, Dropped: l.dropped.Load(), Evicted: l.evicted}
	for e := range l.inOrder {
		silent := now.Sub(time.Unix(0, e.last))
		if silent < 90*day {
			break
		}
		s.Silent90++
		if silent >= 150*day {
			s.Silent150++
		}
		if silent >= 180*day {
			s.Silent180++
		}
	}
	return s
}
