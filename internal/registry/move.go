package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/store"
)

// move is a Keep in line.
type move struct {
	to     *store.Store
	answer chan error // holds one
}

// Keep says where the registry keeps what is announced from now on, as a reload may that names a store for the first time, or
// another one; nil: in memory alone. Nobody is lost by that: what st has joins what is announced, of which the newer
// announcement counts, and all of it is stored there. If it cannot be written OnTrouble hears of it, and it is tried again with
// the next change, and each minute; until then no change is accepted.
//
// It fails if a value in st is damaged, and with ErrEnded, and then nothing has changed. It waits for Run.
func (r *Registry) Keep(st *store.Store) error {
	m := move{to: st, answer: make(chan error, 1)}
	select {
	case r.moves <- m:
		return <-m.answer
	case <-r.ended:
		return ErrEnded
	}
}

// Readable is whether Keep would find st, which may be nil, undamaged. It changes nothing.
func (r *Registry) Readable(st *store.Store) error {
	if st == nil {
		return nil
	}
	return newBook().load(st, r.key)
}

// move is Keep, on Run's goroutine.
func (r *Registry) move(st *store.Store) error {
	if st == r.store {
		return nil
	}
	found := newBook()
	if st != nil {
		if err := found.load(st, r.key); err != nil {
			return err
		}
	}
	r.store, r.owed = st, nil
	if len(found.claims)+len(found.addresses) > 0 {
		r.settled = time.Now().Add(settle)
	}
	r.book.join(found)
	if st != nil {
		r.owed, r.healthy = found.against(r.book), found.health()
	}
	if _, err := r.commit(newJournal()); err != nil && r.OnTrouble != nil {
		r.OnTrouble(fmt.Errorf("what is announced: %w", err))
	}
	r.publish(false) // what was found counts even if the rest could not be stored beside it
	return nil
}

// join adds what other has to b. Of two announcements of a host the newer counts; of a name that b has, the addresses in b do.
func (b *book) join(other *book) {
	for endpoint, c := range other.claims {
		mine, ok := b.claims[endpoint]
		if ok && !c.Updated.After(mine.Updated) {
			mine, c = c, mine
		}
		if mine.Healthy.After(c.Healthy) {
			c.Healthy = mine.Healthy
		}
		b.claims[endpoint] = c
	}
	for name, all := range other.addresses {
		if len(b.addresses[name]) == 0 {
			b.addresses[name] = slices.Clone(all)
		}
	}
}

// against is a journal by which a store that has b comes to have what next has.
func (b *book) against(next *book) *journal {
	j := newJournal()
	for endpoint := range next.claims {
		j.claim(b, endpoint)
	}
	for name := range next.addresses {
		j.name(b, name)
	}
	return j
}
