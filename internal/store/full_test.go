package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that may not grow is what a full disk looks like. The limit holds for a whole process, so a child does it all.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	out, err := spawn("full", path).Output()
	if err != nil || string(out) != "as expected\n" {
		t.Fatalf("%s, %v", out, err)
	}
	s := open(t, path)
	if all, err := content(s); err != nil || len(all) != 42 || all["health last"] != "1" {
		t.Errorf("%d records, %v", len(all), err)
	}
}

// limit is how large this process may make a file, in octets.
func limit(size uint64) {
	must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: math.MaxUint64}))
}

func fullChild(path string) {
	signal.Ignore(syscall.SIGXFSZ)
	makeWithoutRoom(path)
	s, err := Open(path)
	must(err)
	must(s.Update(func(tx *Tx) error { // more than a page, so that both branches and leaves are rewritten
		for i := range 40 {
			must(tx.Put(Ledger, fmt.Sprint(i), []byte(strings.Repeat("x", 1000))))
		}
		return nil
	}))
	changeWithoutRoom(s)
	must(s.Update(func(tx *Tx) error {
		return errors.Join(tx.Put(Registrations, "r", []byte(strings.Repeat("z", MaxValue))), tx.Put(Health, "last", []byte("1")))
	}))
	must(s.Close())
	fmt.Println("as expected")
}

// makeWithoutRoom: a store that cannot be made leaves nothing behind.
func makeWithoutRoom(path string) {
	for size := range uint64(10) {
		limit(size * 2048)
		if s, err := Open(path); err == nil {
			must(s.Close())
			must(os.Remove(path))
		} else if !errors.Is(err, ErrFull) {
			must(fmt.Errorf("a new store and %d octets of room: %w", size*2048, err))
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
			must(fmt.Errorf("a new store and %d octets of room: left %v, %v", size*2048, entries, err))
		}
	}
	limit(math.MaxUint64)
}

// changeWithoutRoom: wherever the room ends, what was there stays, and after a success there is the new as well.
func changeWithoutRoom(s *Store) {
	want, err := content(s)
	must(err)
	info, err := os.Stat(s.Path())
	must(err)
	fails := 0
	for size := int64(0); size <= info.Size(); size += 2048 {
		limit(uint64(size))
		for _, value := range []string{fmt.Sprint(size), strings.Repeat("y", MaxValue/4)} {
			err := s.Update(func(tx *Tx) error { return tx.Put(Registrations, "r", []byte(value)) })
			switch {
			case err == nil:
				want["registrations r"] = value
			case errors.Is(err, ErrFull) && strings.Contains(err.Error(), "ulimit -f"):
				fails++
			default:
				must(fmt.Errorf("%d octets of room: %w", size, err))
			}
			if there, err := content(s); err != nil || !maps.Equal(want, there) {
				must(fmt.Errorf("%d octets of room: now there are %d records, %w", size, len(there), err))
			}
		}
	}
	if fails == 0 || want["registrations r"] == "" {
		must(fmt.Errorf("not both success and failure were seen, but %d failures", fails))
	}
	limit(math.MaxUint64)
}
