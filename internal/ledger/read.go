package ledger

import (
	"cmp"
	"math"
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
	for e := l.list.oldest(); e != nil && e.last <= last; e = e.newer {
		all = append(all, e.export())
	}
	return all
}

// Summary is the ledger in a few numbers.
type Summary struct {
	Clients   int    // that are remembered
	Silent90  int    // of them, did not call for 90 days or more: half of the 180 that an activation is valid
	Silent150 int    // of those, for 150 days or more: a month is left
	Dropped   uint64 // calls that were not entered because Run was behind
	Evicted   uint64 // clients forgotten because there were too many
}

// Summary counts, as of now.
func (l *Ledger) Summary(now time.Time) Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{Clients: len(l.clients), Dropped: l.dropped.Load(), Evicted: l.evicted}
	for e := l.list.oldest(); e != nil; e = e.newer {
		silent := now.Sub(time.Unix(0, e.last))
		if silent < 90*day {
			break
		}
		s.Silent90++
		if silent >= 150*day {
			s.Silent150++
		}
	}
	return s
}

// Import adds what a store kept, as of now. Clients that are known already stay as they are: what this process saw is newer.
// Where there are too many, those that called longest ago are left out.
func (l *Ledger) Import(entries []Entry, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, in := range entries {
		if l.clients[in.Client] != nil || now.Sub(in.Last) > forget {
			continue
		}
		e := &entry{client: in.Client, from: in.From, first: in.First.UnixNano(), last: in.Last.UnixNano(), host: in.Host,
			version: in.Version, result: in.Result, machine: in.Machine, calls: in.Calls}
		for _, v := range in.Visits[:min(len(in.Visits), maxVisits)] {
			e.visits = append(e.visits, visit{l.tally(v.Host), v.At.UnixNano()})
		}
		if !in.Served.IsZero() && in.Home != "" {
			e.home, e.served = l.tally(in.Home), in.Served.UnixNano()
		}
		l.clients[in.Client] = e
	}
	l.sort()
	l.today = now.UnixNano() / int64(day)
	l.recount()
}

// sort puts the list in order again and drops what is too much.
func (l *Ledger) sort() {
	all := make([]*entry, 0, len(l.clients))
	for _, e := range l.clients {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.last, b.last) })
	for excess := len(all) - l.max; excess > 0; excess-- {
		delete(l.clients, all[0].client)
		l.evicted++
		all = all[1:]
	}
	l.list = list{}
	for _, e := range all {
		l.list.push(e)
	}
}
