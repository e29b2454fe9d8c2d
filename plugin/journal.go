package plugin

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

const (
	// versionPause is the least time from one version of a zone to the next. A host that flaps becomes six versions a minute,
	// and the secondaries' answers stay within it of ours.
	versionPause = 10 * time.Second

	// settling is how long a new configuration waits before it publishes or tells anything: until then its sockets may not be
	// open, so that a secondary would be told to ask in vain, or CoreDNS may discard it.
	settling = time.Second

	// patience is how long the end of a journal waits for a NOTIFY under way.
	patience = 2 * time.Second

	keepingSerial = "keeping the serial over restarts" // in logs
)

// Journal is the versions of one zone. NewJournal makes it with the first of them, Run adds the others. All methods may be
// called by any number of goroutines at once; those that queries use take no lock.
type Journal struct {
	name  string // of the zone: a service name
	state atomic.Pointer[lineage]
	woken chan struct{} // one token: there is another feed
	news  chan struct{} // one token: there is a version that the secondaries were not told of

	mu        sync.Mutex // guards what follows, and the order of versions
	feed      Feed
	last      uint32    // the newest serial that anybody knows of
	published time.Time // when state was made
	settled   time.Time // until then feed is too new to act upon
	keeping   trouble
	telling   trouble
}

// NewJournal returns a journal whose first version is what f has now. It starts nothing: call Run.
func NewJournal(f Feed) *Journal {
	j := &Journal{name: config.ServiceName(f.Zone), woken: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	j.Configure(f)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.publish(time.Now(), f.zone())
	return j
}

// Configure makes the journal go on with f, as a reload does. What f has becomes a version soon, if it is something new.
func (j *Journal) Configure(f Feed) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.feed, j.settled = f, time.Now().Add(settling)
	if f.Last != nil {
		kept, err := f.Last()
		if err != nil {
			j.keeping.report(err, j.name, keepingSerial)
		} else if kept != 0 && (j.last == 0 || newer(kept, j.last)) {
			j.last = kept
		}
	}
	token(j.woken)
}

// token puts a token into c, unless one is there.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// SOA is the SOA record of the newest version, which is not to be changed.
func (j *Journal) SOA() *dns.SOA { return j.state.Load().soa }

// Run makes a version of each change until ctx is done, and has the secondaries told. It returns when no NOTIFY is under way,
// or a moment later: one cannot be called back.
func (j *Journal) Run(ctx context.Context) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		j.tell(ctx)
	}()
	defer func() {
		select {
		case <-told:
		case <-time.After(patience):
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		j.mu.Lock()
		changed := j.feed.Site.Pool.Changed() // before what it announces is read
		wait := j.advance(time.Now())
		j.mu.Unlock()
		var again <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			again = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-j.woken:
		case <-again:
		}
	}
}

// advance makes a new version if there is something new and it is time; if it is not, it says how long to wait.
func (j *Journal) advance(now time.Time) (wait time.Duration) {
	records, h := j.feed.zone(), j.state.Load()
	if h.same(apexSOA(j.name, j.feed.Site.NS[0], j.feed.ttl(), h.soa.Serial), records) {
		return 0
	}
	if wait := pace(j.published, j.settled, now); wait > 0 {
		return wait
	}
	j.publish(now, records)
	return 0
}

// pace is how long after now the next version may be, if the last was published at published and what it is made from is new
// until settled: at once after a calm, and then no more than one each versionPause.
func pace(published, settled, now time.Time) time.Duration {
	return max(0, published.Add(versionPause).Sub(now), settled.Sub(now))
}

// publish makes records the newest version. Its serial is kept before anybody sees it. If that fails it is published all the
// same: secondaries are worse served by none than by one that, after a restart, the clock alone overtakes.
func (j *Journal) publish(now time.Time, records []dns.RR) {
	j.last, j.published = nextSerial(j.last, now), now
	if j.feed.Keep != nil {
		j.keeping.report(j.feed.Keep(j.last), j.name, keepingSerial)
	}
	soa := apexSOA(j.name, j.feed.Site.NS[0], j.feed.ttl(), j.last)
	if h := j.state.Load(); h != nil {
		j.state.Store(h.next(soa, records))
	} else {
		j.state.Store(&lineage{soa: soa, records: records})
	}
	token(j.news)
}

// tell has the secondaries told of news until ctx is done. One NOTIFY is under way at a time; what becomes news meanwhile is
// the next.
func (j *Journal) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.news:
		}
		j.mu.Lock()
		notify, settled := j.feed.Notify, j.settled
		j.mu.Unlock()
		if notify == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(settled)):
		}
		err := notify(j.name)
		j.mu.Lock()
		j.telling.report(err, j.name, "telling the secondaries of changes")
		j.mu.Unlock()
	}
}

// trouble is whether something last failed, so that it is logged when that changes and not each time.
type trouble bool

// report takes err, or nil, for what was last tried with the zone called name.
func (t *trouble) report(err error, name, what string) {
	switch {
	case err != nil && !bool(*t):
		log.Warningf("zone %s: %s fails: %v", name, what, err)
	case err == nil && bool(*t):
		log.Infof("zone %s: %s works again", name, what)
	}
	*t = err != nil
}
