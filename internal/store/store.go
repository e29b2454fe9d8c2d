// Package store keeps octets under keys in one bbolt file, so that they are there after a crash. What they mean is the affair
// of those who put them there.
//
// The file says whose it is and in which format, and carries a sum over all of its records. Open reads every page of it
// before bbolt may: bbolt believes what it finds, and a damaged page can make it panic, fault, recurse without end or ask for
// all of the memory, of which Go lets a program survive only some. Nothing in this package overwrites or truncates a file
// that Open refuses.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// Store is an open file. Its methods may be called by any number of goroutines at once; one transaction runs at a time,
// readers included. Whoever reads often keeps a copy in memory.
//
// Transactions have the store to themselves because bbolt takes some of its locks without a defer: were it to meet a damaged
// page meanwhile, whoever came to wait for such a lock would wait for ever.
type Store struct {
	path string
	file *os.File

	mu     sync.Mutex
	info   fs.FileInfo // which file it is, and its size when it was last looked at; it never shrinks
	db     *bolt.DB
	sum    uint64 // of all records, as the last commit left them
	failed error  // the answer to everything from now on: it met damage, or is closed
	stuck  bool   // bbolt panicked, and may hold its locks for ever
	closed bool
}

// Path is the path that Open was given.
func (s *Store) Path() string { return s.path }

// Update calls f with a transaction that may write. If f returns nil, what it put and deleted is on the disk, all of it, when
// Update returns nil. Otherwise nothing has changed, and f's error is returned if there was one.
// Only ErrUncertain leaves open what the file will say after a restart.
//
// f must not call the store's own methods, keep the transaction, or use it from other goroutines; and it should be quick, for
// everybody else waits. A transaction that changed nothing costs no write.
func (s *Store) Update(f func(*Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.inPlace(); err != nil {
		return err
	}
	return s.transact(true, f)
}

// View calls f with a transaction that only reads, and returns its error. What Update says of f holds here too.
func (s *Store) View(f func(*Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transact(false, f)
}

func (s *Store) transact(writable bool, f func(*Tx) error) error {
	tx, err := s.begin(writable)
	if err != nil {
		return err
	}
	defer tx.end() // also when f panics, or ends its goroutine as a failing test does
	err = f(tx)
	if s.failed != nil {
		return s.failed // whatever f made of it
	}
	if err != nil {
		return err
	}
	return tx.commit()
}

// Close ends the use of the file and lets others open it. It waits for a running transaction. After it, everything returns
// ErrClosed; a second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.failed = fmt.Errorf("store %s: %w", s.path, ErrClosed)
	if !s.stuck {
		return s.shield(s.db.Close)
	}
	// bbolt would wait for its own locks. Its mapping of the file stays until the process ends, and an flock lives as long as
	// any mapping, so it is given up by hand.
	return errors.Join(unlock(s.file), s.file.Close())
}

// guard runs f, which calls bbolt, unless the store has failed. If f panics the store has failed for good: bbolt may hold its
// locks for ever, and what it has in memory is not to be trusted.
func (s *Store) guard(f func() error) error {
	if s.failed != nil {
		return s.failed
	}
	return s.shield(f)
}

// shield is guard for those who must get through although the store has failed.
func (s *Store) shield(f func() error) (err error) {
	// A page that cannot be read any more, since somebody truncated the file or the disk fails, is a memory fault, which ends
	// the process unless this goroutine asked for a panic instead.
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			s.stuck = true
			err = damaged(s.path, fmt.Errorf("bbolt met what it did not expect: %v", r))
			s.failed = err
		}
	}()
	return f()
}

// inPlace checks that the path still leads to the file. What is written to a file that was removed or replaced would be gone
// after a restart, though it had been acknowledged; and one that was truncated has lost something already.
func (s *Store) inPlace() error {
	if s.failed != nil {
		return s.failed
	}
	now, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !os.SameFile(now, s.info):
		return problem(s.path, ErrMoved, nil, adviceMoved)
	case err != nil:
		return nil // which says nothing about the file that is open
	case now.Size() < s.info.Size():
		s.failed = damaged(s.path, fmt.Errorf("somebody truncated it to %d octets while it was open", now.Size()))
		return s.failed
	}
	s.info = now
	return nil
}
