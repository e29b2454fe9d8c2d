package ledger

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultMax is how many clients are remembered unless New is told otherwise. They take about 40 MB.
	DefaultMax = 100_000

	// Window is how many days a KMS host counts a client after its last request.
	Window = 30

	// maxVisits is how many hosts are remembered of one client. A KMS host key allows six.
	maxVisits = 8

	// forget is when a client that does not call any more is dropped: its activation, valid for 180 days, is long over.
	forget = 365 * 24 * time.Hour

	// believed is how long the wall clock must have gone as the monotonic one does before anybody is forgotten by it, and skew
	// how far they may part in an hour: a clock that is a year ahead for a moment is to cost nobody's place.
	believed = 24 * time.Hour
	skew     = time.Minute

	strangerShare = 10 // one in so many may be a client that no host ever served

	queue = 4096 // calls that may wait for Run
	batch = 256  // calls taken, or rows made for people, under one lock

	moment = 10 * time.Millisecond // that calls are left to gather
	day    = 24 * time.Hour
)

// Ledger is the table. Any number of goroutines may use it at once.
type Ledger struct {
	max     int
	calls   chan Call
	dropped atomic.Uint64

	// tallies are found without a lock: they are read on the path of calls. The map is replaced, never changed.
	tallies atomic.Pointer[map[string]*tally]

	mu        sync.Mutex // guards what follows
	clients   map[Client]*entry
	served    list  // clients that a host took a request of
	strangers list  // clients that no host ever took a request of
	today     int64 // the day that the tallies are of
	evicted   uint64
	changed   []*entry // what a store does not have as it is
	gone      []Client // what a store has and we do not any more

	// For expire, by what Run has run: when the clocks last began to agree, and what both last said.
	steady time.Duration
	seen   struct {
		wall    int64
		running time.Duration
	}
}

// tally is the counts of one host.
type tally struct {
	host    string
	clients atomic.Int64 // that the host counts: they or a copy of theirs came in the window
	homes   atomic.Int64 // whose own last answered call in the window went there
	taken   atomic.Int64 // when it last took a request of a client's own, in nanoseconds; only ever later; 0 if it never did
}

// New returns an empty ledger of at most max clients, DefaultMax if that is 0. It starts nothing: call Run.
func New(max int) *Ledger {
	if max <= 0 {
		max = DefaultMax
	}
	l := &Ledger{max: max, calls: make(chan Call, queue), clients: make(map[Client]*entry)}
	l.tallies.Store(&map[string]*tally{})
	return l
}

// Record hands c over to Run. It does not wait: while Run is behind by thousands of calls, c is dropped and counted.
func (l *Ledger) Record(c Call) {
	select {
	case l.calls <- c:
	default:
		l.dropped.Add(1)
	}
}

// Run enters what is recorded until ctx is done, and what was recorded before that. A ledger is run once.
func (l *Ledger) Run(ctx context.Context) {
	began := time.Now()
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	gather := time.NewTimer(moment)
	defer gather.Stop()
	for {
		select {
		case c := <-l.calls:
			l.enter(c)
			if len(l.calls) > 0 {
				continue
			}
			// Those who record are not to wake somebody each time: what comes within a moment is entered together.
			gather.Reset(moment)
			select {
			case <-gather.C:
			case <-ctx.Done():
			}
		case now := <-hourly.C:
			l.expire(now, now.Sub(began))
		case <-ctx.Done():
			l.Settle()
			return
		}
	}
}

// Settle enters what is recorded before it returns. It is part of Run, and for those who do without Run, having a time of
// their own.
func (l *Ledger) Settle() {
	for len(l.calls) > 0 {
		l.enter(<-l.calls)
	}
}

// enter takes c and those that wait behind it.
func (l *Ledger) enter(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply(c)
	for range batch {
		select {
		case c := <-l.calls:
			l.apply(c)
		default:
			return
		}
	}
}

// Enter records c before it returns, for those who are on no client's path and have to see the effect.
func (l *Ledger) Enter(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply(c)
}

// apply is the one way into the table.
func (l *Ledger) apply(c Call) {
	l.turn(c.At)
	e := l.clients[c.Client]
	if e == nil {
		// A copy may come before the call that it was made of.
		e = &entry{client: c.Client, from: c.From, first: c.At.UnixNano(), last: c.At.UnixNano()}
		l.clients[c.Client] = e
		l.strangers.push(e)
	}
	l.mark(e)
	counted := c.Counted && c.Host != ""
	if counted {
		l.visit(e, l.tally(c.Host), c.At)
	}
	if !c.Copied {
		l.listOf(e).touch(e)
		e.take(c)
		if counted {
			l.move(e, l.tally(c.Host), c.At)
		}
	}
	l.trim()
}

// listOf is the list that e stands in.
func (l *Ledger) listOf(e *entry) *list {
	if e.home == nil {
		return &l.strangers
	}
	return &l.served
}

// trim forgets who is too much, those first who were never served: a caller can make up machine ids by the million, but a
// KMS host does not take them.
func (l *Ledger) trim() {
	for len(l.clients) > l.max || l.strangers.length > max(l.max/strangerShare, 1) {
		oldest := l.strangers.oldest()
		if oldest == nil {
			oldest = l.served.oldest()
		}
		l.evicted++
		l.remove(oldest)
	}
}

// visit enters that a host took a request of e.
func (l *Ledger) visit(e *entry, t *tally, at time.Time) {
	for i := range e.visits {
		v := &e.visits[i]
		if v.tally != t {
			continue
		}
		if !l.current(v.at) && l.current(at.UnixNano()) {
			t.clients.Add(1)
		}
		v.at = max(v.at, at.UnixNano())
		return
	}
	if len(e.visits) == maxVisits {
		e.dropVisit(l)
	}
	e.visits = append(e.visits, visit{t, at.UnixNano()})
	if l.current(at.UnixNano()) {
		t.clients.Add(1)
	}
}

// move makes t the home of e.
func (l *Ledger) move(e *entry, t *tally, at time.Time) {
	switch {
	case e.home == nil:
		l.strangers.drop(e)
		l.served.push(e)
	case l.current(e.served):
		e.home.homes.Add(-1)
	}
	e.home, e.served = t, at.UnixNano()
	t.take(e.served)
	if l.current(e.served) {
		t.homes.Add(1)
	}
}

// current is whether at, in nanoseconds, lies in the window that the tallies are of.
func (l *Ledger) current(at int64) bool { return l.today-at/int64(day) < Window }

// tally returns that of host, a new one if there is none yet.
func (l *Ledger) tally(host string) *tally {
	old := *l.tallies.Load()
	if t := old[host]; t != nil {
		return t
	}
	grown := maps.Clone(old)
	t := &tally{host: host}
	grown[host] = t
	l.tallies.Store(&grown)
	return t
}

// take enters that the host took a request at, in nanoseconds. It is called under the ledger's lock.
func (t *tally) take(at int64) { t.taken.Store(max(t.taken.Load(), at)) }

// turn makes the tallies those of now's day, if they are not yet. A clock that was set back by days counts as well: what it
// said before was wrong.
func (l *Ledger) turn(now time.Time) {
	today := now.UnixNano() / int64(day)
	if today == l.today || today == l.today-1 { // calls are not quite in order at midnight
		return
	}
	l.today = today
	l.recount()
}

// expire forgets who does not call any more, at now by the wall clock, when Run has run for so long by the monotonic one.
func (l *Ledger) expire(now time.Time, running time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	wall := now.UnixNano()
	parted := time.Duration(wall-l.seen.wall) - (running - l.seen.running)
	if l.seen.wall == 0 || parted.Abs() > skew {
		l.steady = running
	}
	l.seen.wall, l.seen.running = wall, running
	if running-l.steady < believed {
		return
	}
	for _, from := range []*list{&l.served, &l.strangers} {
		for e := from.oldest(); e != nil && wall-e.last > int64(forget); e = from.oldest() {
			l.remove(e)
		}
	}
}

// recount makes all tallies anew, without those that nothing refers to any more.
func (l *Ledger) recount() {
	type sums struct{ clients, homes int64 }
	all := make(map[*tally]*sums)
	sum := func(t *tally) *sums {
		if all[t] == nil {
			all[t] = new(sums)
		}
		return all[t]
	}
	for _, e := range l.clients {
		for _, v := range e.visits {
			if s := sum(v.tally); l.current(v.at) {
				s.clients++
			}
		}
		if e.home != nil {
			if s := sum(e.home); l.current(e.served) {
				s.homes++
			}
		}
	}
	kept := make(map[string]*tally, len(all))
	for t, s := range all {
		t.clients.Store(s.clients)
		t.homes.Store(s.homes)
		kept[t.host] = t
	}
	l.tallies.Store(&kept)
}

// remove forgets e and takes it off the tallies.
func (l *Ledger) remove(e *entry) {
	for len(e.visits) > 0 {
		e.dropVisit(l)
	}
	if e.home != nil && l.current(e.served) {
		e.home.homes.Add(-1)
	}
	l.unmark(e)
	if e.stored {
		l.gone = append(l.gone, e.client)
	}
	delete(l.clients, e.client)
	l.listOf(e).drop(e)
}
