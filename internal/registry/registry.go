// Package registry holds the KMS hosts that announced themselves by RFC 2136: who announced what, until when it holds, and,
// if there is a store, durably. One goroutine owns all of it; readers see immutable snapshots; pools are fed with the hosts.
//
// It knows nothing of DNS messages: what may be announced by whom is decided in the edits that come to Change.
package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

const (
	maxWaiting = 1024 // Changes that wait for Run
	maxBatch   = 256  // Changes that share one commit
	maxKey     = 512  // octets of the name of a registry: with a host's name behind it, it is a key of the store
)

var (
	// ErrBusy is returned by Change when as many wait as may: try again later.
	ErrBusy = errors.New("too many changes are waiting")
	// ErrNotStored is returned by Change when the store failed: nothing has changed, here or there.
	ErrNotStored = errors.New("the change could not be stored")
	// ErrEnded is returned by Change when Run has ended: nothing has changed.
	ErrEnded = errors.New("the registry has ended")
)

// Registry is the announced hosts of those who share one. New makes it, Run keeps it. All methods but Run may be called by
// any number of goroutines at once.
type Registry struct {
	// OnExpired, if set, hears of each claim that is taken out because its time is over, and OnDisplaced of each that made
	// place for another because it never proved itself. OnTrouble hears why what passes with
	// time could not be stored; it is tried again a minute later. All are called on Run's goroutine, and must be set before.
	OnExpired   func(Claim)
	OnDisplaced func(Claim)
	OnTrouble   func(error)

	key      string
	settings atomic.Pointer[config.Update]
	snapshot atomic.Pointer[Snapshot]

	gate   sync.RWMutex // held for reading while a Change gets in line
	closed bool         // guarded by gate: nothing more gets in line
	queue  chan *change
	moves  chan move
	ended  chan struct{} // closed when Run returns

	// What follows is Run's alone.
	store   *store.Store // nil: memory alone
	owed    *journal     // what store has where that may differ from book; nil if it never does
	book    *book
	healthy map[string]time.Time // when each claim was last up, as the store has it
	settled time.Time            // nothing runs out before

	feedMu sync.Mutex // guards what follows, and the order of snapshots
	feeds  []*feed

	attemptMu sync.Mutex // guards what follows
	attempts  []Attempt
	oldest    int
}

// New returns a registry with what st has of the one called key, which distinguishes registries in one store. A nil st keeps
// everything in memory alone. It fails if a stored value is damaged, and then changes nothing. It starts nothing: call Run.
func New(u config.Update, key string, st *store.Store) (*Registry, error) {
	if len(key) > maxKey {
		return nil, fmt.Errorf("a registry called by %d octets: at most %d", len(key), maxKey)
	}
	r := &Registry{key: key, store: st, queue: make(chan *change, maxWaiting), moves: make(chan move),
		ended: make(chan struct{}), book: newBook()}
	if st != nil {
		if err := r.book.load(st, key); err != nil {
			return nil, err
		}
	}
	if len(r.book.claims)+len(r.book.addresses) > 0 {
		r.settled = time.Now().Add(settle)
	}
	r.healthy = r.book.health()
	r.settings.Store(&u)
	r.snapshot.Store(r.book.snapshot(nil))
	return r, nil
}

// Configure makes u what holds from now on. A lower Max takes nobody out; it only lets fewer in.
func (r *Registry) Configure(u config.Update) { r.settings.Store(&u) }

// Settings is what New or Configure was given last. It takes no lock.
func (r *Registry) Settings() config.Update { return *r.settings.Load() }

// Snapshot is what is announced now. It takes no lock.
func (r *Registry) Snapshot() *Snapshot { return r.snapshot.Load() }

// change is a Change in line.
type change struct {
	edit   func(*Draft) error
	taken  atomic.Bool // by Run, or by its maker who gave up: whoever is first
	answer chan error  // holds one
	err    error       // what is to be answered if the commit succeeds
}

// Change runs edit with what is announced as it is then, on Run's goroutine: edit must not block, and must not keep the
// Draft. If edit returns an error nothing changes, and Change returns that error. Otherwise Change returns nil once what edit
// did is durable and the pools that are fed have it. Whenever it returns an error, nothing of it has happened or will:
// ErrBusy, ErrNotStored, ErrEnded, that of ctx, or the edit's. Only with store.ErrUncertain may a restart find it all the same.
//
// Changes that wait at the same time share one commit, in the order in which they came.
func (r *Registry) Change(ctx context.Context, edit func(*Draft) error) error {
	c := &change{edit: edit, answer: make(chan error, 1)}
	if err := r.enqueue(c); err != nil {
		return err
	}
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		if c.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-c.answer // it is being done
	}
}

func (r *Registry) enqueue(c *change) error {
	r.gate.RLock()
	defer r.gate.RUnlock()
	if r.closed {
		return ErrEnded
	}
	select {
	case r.queue <- c:
		return nil
	default:
		return ErrBusy
	}
}

// Run serves changes and lets claims run out until ctx is done, and returns when everything accepted by then is answered. A
// registry is run once.
func (r *Registry) Run(ctx context.Context) {
	defer close(r.ended)
	defer r.end()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-minute.C:
			r.age(time.Now())
		case m := <-r.moves:
			m.answer <- r.move(m.to)
		case c := <-r.queue:
			r.serve(c)
		}
	}
}

// end lets nobody in any more, serves who is in line, and stores what was kept back.
func (r *Registry) end() {
	r.gate.Lock()
	r.closed = true
	r.gate.Unlock()
	for {
		select {
		case c := <-r.queue:
			r.serve(c)
		default:
			r.flush()
			return
		}
	}
}

// serve does first and whatever else is in line, with one commit.
func (r *Registry) serve(first *change) {
	before, max := newJournal(), r.Settings().Max
	var batch []*change
	answered := false
	answer := func(err error) {
		answered = true
		for _, c := range batch {
			if err != nil {
				c.err = err // also if its edit failed, or did nothing: it looked at what is not so
			}
			c.answer <- c.err
		}
	}
	defer func() {
		if !answered { // an edit ended this goroutine
			before.undo(r.book)
			answer(errors.New("the edit did not return"))
		}
	}()
	for c := first; c != nil; c = r.next(len(batch)) {
		if c.taken.CompareAndSwap(false, true) { // or else nobody waits for it any more
			batch = append(batch, c)
			c.err = r.book.try(c.edit, before, max)
		}
	}
	_, err := r.commit(before)
	answer(err)
}

// next is the next change in line, or nil if there is none, or the batch is large enough.
func (r *Registry) next(batched int) *change {
	if batched >= maxBatch {
		return nil
	}
	select {
	case c := <-r.queue:
		return c
	default:
		return nil
	}
}

// try runs edit on b, and takes it back if it fails. An edit that panics, which on the goroutine of a query would cost one
// answer, must not cost the server.
func (b *book) try(edit func(*Draft) error, before *journal, max int) (err error) {
	d := &Draft{book: b, before: newJournal(), max: max}
	returned := false
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the edit panicked: %v", p)
		}
		if err != nil || !returned {
			d.before.undo(b)
		} else {
			before.follow(d.before)
		}
		d.book = nil // whoever keeps the Draft shall not get far with it
	}()
	err = edit(d)
	returned = true
	return err
}

// commit makes what differs from before durable, and then visible, and says whether anything did. If that fails it goes back
// to before.
func (r *Registry) commit(before *journal) (changed bool, err error) {
	noted := before
	if r.owed != nil {
		r.owed.follow(before)
		noted = r.owed
	}
	d := r.book.since(noted)
	if d.empty() {
		return false, nil
	}
	if r.store != nil {
		if err := d.write(r.store, r.key); err != nil {
			before.undo(r.book)
			return false, fmt.Errorf("%w: %w", ErrNotStored, err)
		}
	}
	r.owed = nil
	if r.OnDisplaced != nil {
		for _, c := range before.displaced {
			r.OnDisplaced(c)
		}
	}
	for endpoint, c := range d.claims {
		if c == nil {
			delete(r.healthy, endpoint)
		} else {
			r.healthy[endpoint] = c.Healthy
		}
	}
	r.publish(len(d.addresses) == 0)
	return true, nil
}

// publish makes the book as it is now visible, first to the pools, so that who reads the snapshot finds the hosts there.
func (r *Registry) publish(sameAddresses bool) {
	r.feedMu.Lock()
	defer r.feedMu.Unlock()
	last := r.snapshot.Load()
	next := r.book.snapshot(nil)
	if sameAddresses {
		next = r.book.snapshot(last.Addresses)
	}
	for _, f := range r.feeds {
		f.give(next)
	}
	r.snapshot.Store(next)
}
