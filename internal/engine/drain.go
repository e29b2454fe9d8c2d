package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

// maxAbsent bounds the stored drains of hosts that are in no pool. They may come back; but not all of them, for ever.
const maxAbsent = 256

// ErrNoStore says that a decision lasts until the process ends.
var ErrNoStore = errors.New("no store is configured")

// Drain takes the host called endpoint out of every pool that has it, and returns those. It is stored durably before any of
// them is told. An error says that it was not: it is in force all the same, for somebody wants the host out now, and
// lasts until the process ends. st may be nil, which is ErrNoStore.
func Drain(e *Engine, st *store.Store, endpoint string, d pool.Drainage) ([]Pool, error) {
	e.deciding.Lock()
	defer e.deciding.Unlock()
	delete(e.back, endpoint)
	present := e.endpoints()
	err := keep(st, func(tx *store.Tx) error {
		if err := putDrain(tx, endpoint, d); err != nil {
			return err
		}
		return dropAbsent(tx, present)
	})
	return e.tell(endpoint, func(p Pool) error { return p.Drain(endpoint, d) }), err
}

// Undrain puts the host called endpoint back, likewise. It need not be in a pool.
func Undrain(e *Engine, st *store.Store, endpoint string) ([]Pool, error) {
	e.deciding.Lock()
	defer e.deciding.Unlock()
	e.putBack(st, endpoint)
	err := keep(st, func(tx *store.Tx) error { return tx.Delete(store.Drains, endpoint) })
	return e.tell(endpoint, func(p Pool) error { return p.Undrain(endpoint) }), err
}

// LoadDrains is every drain in st, which may be nil, by endpoint. One whose circumstances cannot be read is there without
// them, beside an error.
func LoadDrains(st *store.Store) (map[string]pool.Drainage, error) {
	all := make(map[string]pool.Drainage)
	if st == nil {
		return all, nil
	}
	var errs []error
	err := st.View(func(tx *store.Tx) error {
		return tx.Each(store.Drains, func(endpoint string, value []byte) error {
			d, err := readDrain(value)
			if err != nil {
				errs = append(errs, fmt.Errorf("store %s: who drained %q cannot be read: %w", st.Path(), endpoint, err))
			}
			all[endpoint] = d
			return nil
		})
	})
	return all, errors.Join(append(errs, err)...)
}

// AlignDrains brings together the drains in st and those of running pools, as after a reload that named another store, or one
// that works again. What is in force is stored. What is stored is put into force, since nobody could know of it before, but
// for hosts that somebody put back later: those drains go.
func AlignDrains(e *Engine, st *store.Store) error {
	e.deciding.Lock()
	defer e.deciding.Unlock()
	stored, _ := LoadDrains(st) // LoadMemories says what cannot be read
	back := make(map[string]bool)
	for endpoint, d := range stored {
		back[endpoint] = e.isBack(endpoint, d)
	}
	drained := make(map[string]pool.Drainage)
	defer e.forget()
	for _, p := range Each[Pool](e) {
		in := p.Drained()
		for endpoint, d := range stored {
			if _, ok := in[endpoint]; !ok && !back[endpoint] {
				_ = p.Drain(endpoint, d) // an error says that it has not got the host, and remembers the drain
			}
		}
		maps.Copy(drained, in)
	}
	maps.DeleteFunc(back, func(endpoint string, is bool) bool { _, ok := drained[endpoint]; return !is || ok })
	maps.DeleteFunc(drained, func(endpoint string, _ pool.Drainage) bool { _, ok := stored[endpoint]; return ok })
	if len(back)+len(drained) == 0 {
		return nil
	}
	return st.Update(func(tx *store.Tx) error {
		for endpoint := range back {
			if err := tx.Delete(store.Drains, endpoint); err != nil {
				return err
			}
		}
		for endpoint, d := range drained {
			if err := putDrain(tx, endpoint, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// Drained is the drains that are in force, by endpoint, also those of hosts that are in no pool.
func Drained(e *Engine) map[string]pool.Drainage {
	all := make(map[string]pool.Drainage)
	for _, p := range Each[Pool](e) {
		maps.Copy(all, p.Drained())
	}
	return all
}

// putBack notes that somebody puts endpoint back now: later than any drain of it that is in force or in st, although by a
// clock that was set back it may be earlier. The oldest notes go if there are too many.
func (e *Engine) putBack(st *store.Store, endpoint string) {
	now := time.Now().Round(time.Second)
	stored, _ := LoadDrains(st) // LoadMemories says what cannot be read
	for _, d := range []pool.Drainage{stored[endpoint], Drained(e)[endpoint]} {
		if d.At.After(now) {
			now = d.At
		}
	}
	if _, ok := e.back[endpoint]; !ok && len(e.back) >= maxAbsent {
		oldest := ""
		for other, at := range e.back {
			if oldest == "" || at.Before(e.back[oldest]) {
				oldest = other
			}
		}
		delete(e.back, oldest)
	}
	e.back[endpoint] = now
}

// isBack is whether somebody put endpoint back since d, whose time is to the second.
func (e *Engine) isBack(endpoint string, d pool.Drainage) bool {
	at, ok := e.back[endpoint]
	return ok && !d.At.After(at)
}

func keep(st *store.Store, f func(*store.Tx) error) error {
	if st == nil {
		return ErrNoStore
	}
	return st.Update(f)
}

func putDrain(tx *store.Tx, endpoint string, d pool.Drainage) error {
	value, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return tx.Put(store.Drains, endpoint, value)
}

func readDrain(value []byte) (d pool.Drainage, err error) {
	if err := json.Unmarshal(value, &d); err != nil {
		return pool.Drainage{}, err
	}
	return d, nil
}

// dropAbsent deletes the oldest drains of hosts that are not present, if they are too many.
func dropAbsent(tx *store.Tx, present map[string]bool) error {
	type absent struct {
		endpoint string
		at       time.Time
	}
	var all []absent
	err := tx.Each(store.Drains, func(endpoint string, value []byte) error {
		if !present[endpoint] {
			d, _ := readDrain(value) // what cannot be read is of the year 1, and the first to go
			all = append(all, absent{endpoint, d.At})
		}
		return nil
	})
	if err != nil || len(all) <= maxAbsent {
		return err
	}
	slices.SortFunc(all, func(a, b absent) int { return a.at.Compare(b.at) })
	for _, a := range all[:len(all)-maxAbsent] {
		if err := tx.Delete(store.Drains, a.endpoint); err != nil {
			return err
		}
	}
	return nil
}

// endpoints is every host of every pool.
func (e *Engine) endpoints() map[string]bool {
	all := make(map[string]bool)
	for _, p := range Each[Pool](e) {
		for _, h := range p.Hosts() {
			all[h.Endpoint()] = true
		}
	}
	return all
}

// tell tells every pool and returns those that have endpoint. No pool starts meanwhile, since the caller holds e.deciding.
func (e *Engine) tell(endpoint string, f func(Pool) error) []Pool {
	var told []Pool
	defer e.forget()
	for _, p := range Each[Pool](e) {
		has := slices.ContainsFunc(p.Hosts(), func(h pool.Status) bool { return h.Endpoint() == endpoint })
		// One that has not got it remembers the drain, or forgets it, and an error only says that it has not got it.
		if err := f(p); err == nil && has {
			told = append(told, p)
		}
	}
	return told
}
