package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

const (
	saveEvery = 5 * time.Minute // what a crash may cost: counts of a month do not notice it
	saveBatch = 1000            // clients in one transaction, for which everybody else waits
)

// Book is the ledger of the process together with the store that it is kept in.
type Book struct {
	*ledger.Ledger
	report func(error)
	store  atomic.Pointer[store.Store]
	moved  chan struct{} // one token: store changed
	last   *store.Store  // that the ledger's changes are counted from; Run's own
}

// HoldLedger returns the ledger of the process, and keeps it running for as long as l lives. One that is started anew begins
// with what st has, and may take a second for that. st, which may be nil, is where it is kept until Keep says otherwise; l
// holds it already. report is told what goes wrong with keeping it, again every five minutes.
func HoldLedger(l *Lease, st *store.Store, report func(error)) (*Book, error) {
	return Hold(l, "ledger", func() (*Book, func(context.Context), error) {
		b := &Book{Ledger: ledger.New(0), report: report, moved: make(chan struct{}, 1)}
		b.store.Store(st)
		b.open(st)
		return b, b.run, nil
	})
}

// Keep says where the ledger is kept from now on; nil: nowhere.
func (b *Book) Keep(st *store.Store) {
	if b.store.Swap(st) != st {
		select {
		case b.moved <- struct{}{}:
		default:
		}
	}
}

// Kept is whether the ledger outlives a restart.
func (b *Book) Kept() bool { return b.store.Load() != nil }

// run runs the ledger and keeps it until ctx is done, and then what came before that.
func (b *Book) run(ctx context.Context) {
	var entering sync.WaitGroup
	entering.Go(func() { b.Ledger.Run(ctx) })
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-b.moved:
		case <-ctx.Done():
			entering.Wait()
			b.save()
			return
		}
		b.save()
	}
}

// save stores what changed.
func (b *Book) save() {
	st := b.store.Load()
	if st != b.last {
		b.open(st)
	}
	if st == nil || b.last != st {
		return
	}
	if err := SaveLedger(st, b.Ledger); err != nil && b.store.Load() == st {
		b.report(err)
	}
}

// open begins with another store. One that cannot be read is not written to either.
func (b *Book) open(st *store.Store) {
	b.last = nil
	b.Unstored()
	if st == nil {
		return
	}
	damaged, err := LoadLedger(st, b.Ledger)
	if damaged != nil {
		b.report(damaged)
	}
	if err != nil {
		b.report(err)
		return
	}
	b.last = st
}

// LoadLedger adds the clients that st has to book. Rows that cannot be read are left where they are; damaged tells of them.
func LoadLedger(st *store.Store, book *ledger.Ledger) (damaged, err error) {
	var all []ledger.Entry
	var rows ledger.Rows
	bad := 0
	err = st.View(func(tx *store.Tx) error {
		return tx.Each(store.Ledger, func(key string, value []byte) error {
			e, err := rows.Parse(key, value)
			if err != nil {
				if bad++; bad == 1 {
					damaged = err
				}
				return nil
			}
			all = append(all, e)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("the ledger cannot be read: %w", err)
	}
	book.Import(all, time.Now())
	if bad > 0 {
		damaged = fmt.Errorf("store %s: %d clients of the ledger cannot be read, and are forgotten: %w", st.Path(), bad, damaged)
	}
	return damaged, nil
}

// SaveLedger stores what changed in book since it was last called. The ledger is not locked while st writes.
func SaveLedger(st *store.Store, book *ledger.Ledger) error {
	for {
		c := book.Changes(saveBatch)
		if len(c.Gone)+len(c.Changed) == 0 {
			return nil
		}
		if err := saveChanges(st, c); err != nil {
			book.NotStored(c)
			if errors.Is(err, store.ErrClosed) {
				return err
			}
			return fmt.Errorf("the ledger cannot be stored, and is kept in memory: %w", err)
		}
		book.Stored(c)
		if len(c.Gone)+len(c.Changed) < saveBatch {
			return nil // what came since can wait
		}
	}
}

func saveChanges(st *store.Store, c ledger.Changes) error {
	return st.Update(func(tx *store.Tx) error {
		for _, client := range c.Gone {
			if err := tx.Delete(store.Ledger, client.Key()); err != nil {
				return err
			}
		}
		for _, e := range c.Changed {
			if err := tx.Put(store.Ledger, e.Key(), e.AppendRow(nil)); err != nil {
				return err
			}
		}
		return nil
	})
}
