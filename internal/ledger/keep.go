package ledger

import (
	"cmp"
	"slices"
	"time"
)

// Changes is some of what a store lacks.
type Changes struct {
	Gone    []Client // to be deleted, and that before Changed is put: a client may be gone and back again
	Changed []Entry  // to be put
}

// Changes takes at most n changes that no store was given yet; those that are gone come first. Whoever takes them says what
// became of them by Stored or NotStored, and takes no others before that. It is quick, so that the table need not be locked
// for as long as a store takes.
func (l *Ledger) Changes(n int) Changes {
	l.mu.Lock()
	defer l.mu.Unlock()
	some := min(n, len(l.gone))
	c := Changes{Gone: slices.Clone(l.gone[:some])}
	if l.gone = l.gone[some:]; len(l.gone) == 0 {
		l.gone = nil
	}
	for n -= some; n > 0 && len(l.changed) > 0; n-- {
		e := l.changed[len(l.changed)-1]
		l.unmark(e)
		c.Changed = append(c.Changed, e.export())
	}
	return c
}

// Stored says that a store has c now.
func (l *Ledger) Stored(c Changes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, in := range c.Changed {
		if e := l.clients[in.Client]; e != nil {
			e.stored = true
		} else {
			l.gone = append(l.gone, in.Client) // forgotten while it was stored
		}
	}
}

// NotStored says that a store could not take c: those are changes still.
func (l *Ledger) NotStored(c Changes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = append(c.Gone, l.gone...)
	for _, in := range c.Changed {
		if e := l.clients[in.Client]; e != nil {
			l.mark(e)
		}
	}
}

// Unstored says that from now on changes go to a store that has nothing of this ledger, as far as is known. Import tells of
// what it does have.
func (l *Ledger) Unstored() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = nil
	for _, e := range l.clients {
		e.stored = false
		l.mark(e)
	}
}

// mark enters e among the changes.
func (l *Ledger) mark(e *entry) {
	if e.change == 0 {
		l.changed = append(l.changed, e)
		e.change = len(l.changed)
	}
}

// unmark takes e out of them.
func (l *Ledger) unmark(e *entry) {
	if e.change == 0 {
		return
	}
	last := len(l.changed) - 1
	l.changed[e.change-1] = l.changed[last]
	l.changed[e.change-1].change = e.change
	l.changed[last] = nil
	l.changed = l.changed[:last]
	e.change = 0
}

// Import adds what a store has, as of now. Clients that are known already stay as they are: what this process saw is newer.
// Nobody is left out for having been silent for long: the clock of a machine that has just started may be anything.
// Where there are too many, those that called longest ago are left out, first of those that no host served.
func (l *Ledger) Import(entries []Entry, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, in := range entries {
		if e := l.clients[in.Client]; e != nil {
			e.stored = true
			continue
		}
		e := &entry{client: in.Client, from: in.From, first: in.First.UnixNano(), last: in.Last.UnixNano(), host: in.Host,
			version: in.Version, result: in.Result, machine: in.Machine, calls: in.Calls, stored: true}
		for _, v := range in.Visits[:min(len(in.Visits), maxVisits)] {
			e.visits = append(e.visits, visit{l.tally(v.Host), v.At.UnixNano()})
		}
		if !in.Served.IsZero() && in.Home != "" {
			e.home, e.served = l.tally(in.Home), in.Served.UnixNano()
			e.home.take(e.served)
		}
		l.clients[in.Client] = e
	}
	l.sort()
	l.today = now.UnixNano() / int64(day)
	l.recount()
}

// sort puts the lists in order again and forgets who is too much.
func (l *Ledger) sort() {
	all := make([]*entry, 0, len(l.clients))
	for _, e := range l.clients {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.last, b.last) })
	l.served, l.strangers = list{}, list{}
	for _, e := range all {
		l.listOf(e).push(e)
	}
	l.trim()
}
