package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A sample is a store with everything in it that bbolt has: branches, leaves, buckets with and without a page of their own,
// values over several pages, free pages; and what it held before and after its last transaction.
type sample struct {
	octets        []byte
	before, after map[string]string
}

func newSample(t testing.TB) sample {
	t.Helper()
	s := fresh(t)
	// One bucket at a time, or the order of a map of bbolt's would make it another file each time.
	err := s.Update(func(tx *Tx) (all error) {
		for i := range 300 {
			value := fmt.Appendf(nil, "%d %s", i, strings.Repeat("v", i%70))
			all = errors.Join(all, tx.Put(Ledger, fmt.Sprintf("client-%03d", i), value))
		}
		return all
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, Registrations, "r", strings.Repeat("r", 5000))
	put(t, s, Drains, "kms1.example.org.:1688", "alice: disk")
	put(t, s, Health, "h", "")
	put(t, s, Ledger, "client-150", "changed")
	var x sample
	if x.before, err = content(s); err != nil {
		t.Fatal(err)
	}
	put(t, s, Serials, "a", "2")
	if x.after, err = content(s); err != nil {
		t.Fatal(err)
	}
	if x.octets, err = os.ReadFile(s.Path()); err != nil {
		t.Fatal(err)
	}
	if len(x.after) != 304 {
		t.Fatalf("the sample has %d records", len(x.after))
	}
	return x
}

// Whatever was done to a file, it is refused, or has all of its records. Only where one of the two meta pages was hit it may
// be as before the last transaction: a power failure while that page was written looks the same, and then nobody had been
// told that the transaction was stored.
func TestDamage(t *testing.T) {
	x := newSample(t)
	n := map[string]int{}
	rng := rand.New(rand.NewPCG(4, 4))
	for i := range 300 {
		what, file := damage(rng, x.octets, i)
		n[x.open(t, what, file)]++
	}
	for at := range len(x.octets) { // truncation: everywhere near the borders of pages, and here and there between
		if d := at % 4096; d > 2 && d < 4094 && at > 300 && at%997 != 0 {
			continue
		}
		if at > 12 && at < 300 && at%7 != 0 {
			continue
		}
		n[x.open(t, fmt.Sprintf("truncated to %d", at), x.octets[:at])]++
	}
	t.Log(n)
	if n["all"] == 0 || n["before"] == 0 || n["damaged"] < 150 || n["foreign"] == 0 {
		t.Errorf("Not every way it may end was seen: %v", n)
	}
}

// open opens a damaged file and says in a word what came of it.
func (x sample) open(t *testing.T, what string, file []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kms.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	same := untouched(t, filepath.Dir(path))
	s, err := Open(path)
	if err != nil {
		same()
	}
	switch {
	case errors.Is(err, ErrDamaged):
		return "damaged"
	case errors.Is(err, ErrForeign):
		return "foreign"
	case errors.Is(err, ErrNewer) && bytes.Contains(file, []byte("format")) && !bytes.Contains(file, []byte("format1")):
		return "newer" // the number itself was hit
	case err != nil:
		t.Fatalf("%s: %v", what, err)
	}
	all, err := content(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	same()
	x.use(t, what, path)
	switch meta := file[:min(len(file), 8192)]; {
	case maps.Equal(all, x.after):
		return "all"
	case maps.Equal(all, x.before) && !bytes.Equal(meta, x.octets[:len(meta)]):
		return "before"
	}
	t.Fatalf("%s: %d records, of which some are wrong or missing, and no error", what, len(all))
	return ""
}

// use changes a store that was accepted, twice, which writes both meta pages, and has bbolt look at it.
func (x sample) use(t *testing.T, what, path string) {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	put(t, s, Drains, "more", what)
	put(t, s, Drains, "most", what)
	if err := s.Close(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	examine(t, path)
}

// damage returns a damaged copy of a file and what was done to it. It prefers what is before the end of a page's elements, for
// there is the structure.
func damage(rng *rand.Rand, file []byte, kind int) (string, []byte) {
	c := bytes.Clone(file)
	page := rng.IntN(len(c)/4096) * 4096
	at := page + rng.IntN(4096)
	if rng.IntN(2) == 0 {
		at = page + rng.IntN(120)
	}
	switch kind % 5 {
	case 0, 1:
		c[at] ^= byte(1 + rng.IntN(255))
		return fmt.Sprintf("octet %d became %#x", at, c[at]), c
	case 2: // a number that may be read as a page, a count, a length
		at &^= 3
		value := []uint32{0, 1, 2, 3, 5, 16, 0xFFFF, 1 << 16, 1 << 31, 0xFFFFFFFF, uint32(rng.IntN(40))}[rng.IntN(11)]
		binary.NativeEndian.PutUint32(c[at:], value)
		return fmt.Sprintf("the number at %d became %#x", at, value), c
	case 3:
		clear(c[page:][:512<<rng.IntN(4)])
		return fmt.Sprintf("zeros from %d", page), c
	default: // one page in place of another, as a disk may do
		from := rng.IntN(len(c)/4096) * 4096
		copy(c[page:page+4096], file[from:from+4096])
		return fmt.Sprintf("page %d at the place of page %d", from/4096, page/4096), c
	}
}

// The same with far more damage, up to where bbolt would get the file.
func TestCheckDamage(t *testing.T) {
	x := newSample(t)
	want, err := checkOctets(x.octets)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range 1500 {
		what, file := damage(rng, x.octets, i)
		for range rng.IntN(3) {
			var more string
			more, file = damage(rng, file, rng.IntN(5))
			what += ", " + more
		}
		if sum, err := checkOctets(file); err == nil && sum != want && bytes.Equal(file[:8192], x.octets[:8192]) {
			t.Fatalf("%s: not noticed", what)
		}
	}
}

// A file may be damaged while it is open, too: then everything says so from the first that notices, nothing hangs, and the
// process lives.
func TestDamagedWhileOpen(t *testing.T) {
	x := newSample(t)
	update := func(s *Store) error { return s.Update(func(tx *Tx) error { return tx.Put(Drains, "k", []byte("v")) }) }
	view := func(s *Store) error { _, err := content(s); return err }
	for name, c := range map[string]struct {
		harm  func(path string) error
		first func(*Store) error
		kind  error
	}{
		"truncated, reader":         {truncate(0), view, ErrDamaged},
		"truncated, writer":         {truncate(0), update, ErrDamaged},
		"truncated behind meta":     {truncate(8192), view, ErrDamaged},
		"truncated in the middle":   {truncate(int64(len(x.octets) / 2)), update, ErrDamaged},
		"zeros":                     {overwrite(make([]byte, len(x.octets))), view, ErrDamaged},
		"noise, writer":             {overwrite(bytes.Repeat([]byte("noise!\n\x00"), len(x.octets)/8)), update, ErrDamaged},
		"another store copied over": {overwriteWithStore, update, ErrMoved},
		"another's bbolt file":      {overwriteWithBolt, update, ErrMoved},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kms.db")
			if err := os.WriteFile(path, x.octets, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.harm(path); err != nil {
				t.Fatal(err)
			}
			same := untouched(t, filepath.Dir(path))
			err = c.first(s)
			if !errors.Is(err, c.kind) {
				t.Errorf("First %v", err)
			}
			for _, again := range []error{update(s), view(s), update(s)} {
				if again == nil || again.Error() != err.Error() {
					t.Errorf("First %v, then %v", err, again)
				}
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			same()
			if s, err := Open(path); errors.Is(err, ErrLocked) {
				t.Error("Close left the lock behind")
			} else if err == nil {
				s.Close()
			}
		})
	}
}

func truncate(to int64) func(string) error {
	return func(path string) error { return os.Truncate(path, to) }
}

// overwrite writes into the file, as cp does.
func overwrite(with []byte) func(string) error {
	return func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(with, 0)
		return errors.Join(err, f.Close())
	}
}

func overwriteWithStore(path string) error {
	s, err := Open(path + ".other")
	if err != nil {
		return err
	}
	err = s.Update(func(tx *Tx) error { return tx.Put(Drains, "theirs", nil) })
	octets, err2 := os.ReadFile(s.Path())
	return errors.Join(err, err2, s.Close(), overwrite(octets)(path))
}

func overwriteWithBolt(path string) error {
	err := boltWith("b", "k", "v", false)(path + ".other")
	octets, err2 := os.ReadFile(path + ".other")
	return errors.Join(err, err2, overwrite(octets)(path))
}

// What is in memory is as little to be trusted: a panic of bbolt's in the middle of a transaction does not reach the caller.
func TestFaultInTransaction(t *testing.T) {
	x := newSample(t)
	path := filepath.Join(t.TempDir(), "kms.db")
	if err := os.WriteFile(path, x.octets, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var inside error
	err = s.Update(func(tx *Tx) error {
		if err := os.Truncate(path, 8192); err != nil {
			t.Fatal(err)
		}
		if v := tx.Get(Ledger, "client-500"); v != nil {
			t.Errorf("Get returned %q", v)
		}
		inside = tx.Put(Drains, "k", nil)
		return nil // as if nothing had happened
	})
	if !errors.Is(err, ErrDamaged) || !errors.Is(inside, ErrDamaged) {
		t.Errorf("Update returned %v, and Put %v", err, inside)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
