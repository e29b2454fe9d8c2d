package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Bucket is a space of keys of its own. Only those below exist; each holds what the package named with it puts there.
// A new one needs no new format: a program that does not know it leaves it alone.
type Bucket string

const (
	Registrations Bucket = "registrations" // registry: announced KMS hosts
	Addresses     Bucket = "addresses"     // registry: announced A and AAAA records
	Drains        Bucket = "drains"        // who took which host out, and why
	Health        Bucket = "health"        // pool: what was known of hosts at shutdown
	Ledger        Bucket = "ledger"        // ledger: who was activated
	Serials       Bucket = "serials"       // plugin: SOA serials that were given out
)

var buckets = []Bucket{Registrations, Addresses, Drains, Health, Ledger, Serials}

// What one record may have, in octets.
const (
	MaxKey   = 1 << 10 // and at least 1
	MaxValue = 1 << 20
)

// Tx is a transaction. It ends when the function returns that got it.
type Tx struct {
	store   *Store
	bolt    *bolt.Tx // nil once it has ended
	sum     uint64
	changed bool
}

// Get returns the value under key, a copy; nil if there is none. Once the store has failed it returns nil too: what Update and
// View return is to be looked at before anything is done about a missing value.
func (tx *Tx) Get(b Bucket, key string) []byte {
	var value []byte
	_ = tx.in(b, func(bucket *bolt.Bucket) error { // the error, if any, is what View or Update will return
		if bucket != nil {
			value = clone(bucket.Get([]byte(key)))
		}
		return nil
	})
	return value
}

// Put puts value under key in place of any that was there. value may be empty, and may be reused when Put returns.
func (tx *Tx) Put(b Bucket, key string, value []byte) error {
	switch {
	case len(key) == 0:
		return fmt.Errorf("store: a key of %s must have 1 to %d octets", b, MaxKey)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: a key of %s with %d octets: at most %d", ErrTooLarge, b, len(key), MaxKey)
	case len(value) > MaxValue:
		return fmt.Errorf("%w: a value of %s with %d octets: at most %d", ErrTooLarge, b, len(value), MaxValue)
	}
	if value == nil {
		value = []byte{} // or bbolt would give back nil, as for none
	}
	return tx.change(b, key, value)
}

// Delete takes out the value under key, if there is one.
func (tx *Tx) Delete(b Bucket, key string) error { return tx.change(b, key, nil) }

// change makes value, or nothing if it is nil, stand under key.
func (tx *Tx) change(b Bucket, key string, value []byte) error {
	return tx.in(b, func(bucket *bolt.Bucket) (err error) {
		if !tx.bolt.Writable() {
			return fmt.Errorf("store: a View only reads: use Update to change %s", b)
		}
		k := []byte(key)
		var before []byte
		if bucket != nil {
			before = bucket.Get(k)
		}
		if before == nil && value == nil || before != nil && value != nil && string(before) == string(value) {
			return nil
		}
		sum := tx.sum
		if before != nil {
			sum -= sumOf(string(b), k, before)
		}
		if value == nil {
			err = bucket.Delete(k)
		} else {
			sum += sumOf(string(b), k, value)
			if bucket, err = tx.bolt.CreateBucketIfNotExists([]byte(b)); err == nil {
				err = bucket.Put(k, clone(value)) // bbolt keeps the slice until the commit
			}
		}
		if err == nil {
			tx.sum, tx.changed = sum, true
		}
		return err
	})
}

// Each calls f with every record of b in the order of keys, until f returns an error, which it returns. f may change b: what it
// puts behind the current key is still visited. value is f's to keep.
func (tx *Tx) Each(b Bucket, f func(key string, value []byte) error) error {
	var from []byte // where to go on
	for {
		var key string
		var value []byte
		err := tx.in(b, func(bucket *bolt.Bucket) error {
			if bucket == nil {
				return nil
			}
			// A cursor of its own for each step, which no change can invalidate; and f runs outside of guard, so that only
			// bbolt's panics are taken for damage.
			k, v := bucket.Cursor().Seek(from)
			key, value = string(k), clone(v)
			return nil
		})
		if err != nil || key == "" {
			return err
		}
		if err := f(key, value); err != nil {
			return err
		}
		from = append([]byte(key), 0) // no key lies between
	}
}

// in runs f with b's bucket, which is nil until something is put into it.
func (tx *Tx) in(b Bucket, f func(*bolt.Bucket) error) error {
	return tx.store.guard(func() error {
		switch {
		case tx.bolt == nil:
			return fmt.Errorf("store %s: the transaction has ended", tx.store.path)
		case !slices.Contains(buckets, b):
			return fmt.Errorf("store %s: no bucket %q: one of %q", tx.store.path, b, buckets)
		}
		return f(tx.bolt.Bucket([]byte(b)))
	})
}

func (s *Store) begin(writable bool) (*Tx, error) {
	tx := &Tx{store: s, sum: s.sum}
	err := s.guard(func() (err error) {
		if tx.bolt, err = s.db.Begin(writable); err != nil {
			return failure(s.path, err)
		}
		// Somebody may have copied another file over it. bbolt keeps in memory which pages are free, and would write over others.
		if meta := tx.bolt.Bucket(metaBucket); meta == nil || string(meta.Get(sumKey)) != string(formatSum(s.sum)) {
			s.failed = problem(s.path, ErrMoved, nil, adviceMoved)
			return errors.Join(s.failed, tx.bolt.Rollback())
		}
		return nil
	})
	return tx, err
}

// end gives up what was not committed.
func (tx *Tx) end() {
	if tx.bolt != nil {
		_ = tx.store.guard(tx.bolt.Rollback) // fails only if bbolt has ended it already, or the store has failed
		tx.bolt = nil
	}
}

func (tx *Tx) commit() error {
	if !tx.changed {
		return nil
	}
	s, id := tx.store, tx.bolt.ID()
	err := s.guard(func() error {
		if err := tx.bolt.Bucket(metaBucket).Put(sumKey, formatSum(tx.sum)); err != nil {
			return err
		}
		return tx.bolt.Commit()
	})
	if err == nil {
		s.sum, tx.bolt = tx.sum, nil
		return nil
	}
	if s.failed != nil {
		return s.failed
	}
	return s.notCommitted(id, err)
}

// notCommitted says why transaction id failed. Usually that is the end of it. But if the last step failed, which is the fsync
// of the page that makes the transaction valid, bbolt sees that page already while the disk perhaps never will, and the kernel
// does not try again. Another commit would then overwrite what the disk still takes for the valid state; so there is none.
func (s *Store) notCommitted(id int, cause error) error {
	var now int
	err := s.guard(func() error {
		b, err := s.db.Begin(false)
		if err != nil {
			return failure(s.path, err)
		}
		now = b.ID()
		return b.Rollback()
	})
	if err != nil {
		return err
	}
	if now >= id {
		s.failed = problem(s.path, ErrUncertain, cause, adviceRetry)
		return s.failed
	}
	return failure(s.path, cause)
}

// sumOf is a record's share in the sum of all. A sum does not depend on the order, and a change takes a subtraction and an
// addition. It finds accidents, such as a record that is missing from a tree that is whole otherwise; it is no signature.
func sumOf(bucket string, key, value []byte) uint64 {
	h := fnv.New64a()
	var n [4]byte
	for _, part := range [][]byte{[]byte(bucket), key, value} {
		_, _ = h.Write(binary.LittleEndian.AppendUint32(n[:0], uint32(len(part))))
		_, _ = h.Write(part)
	}
	return h.Sum64()
}

// clone is bytes.Clone, but what is empty stays apart from nil, whatever its capacity.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
