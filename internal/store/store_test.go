package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestRecords(t *testing.T) {
	s := fresh(t)
	value := []byte("one")
	put(t, s, Ledger, "large", strings.Repeat("x", 3000)) // in a page of its own, of which bbolt gives out the memory itself
	err := s.Update(func(tx *Tx) error {
		for _, k := range []string{"b", "a", "\x00\xff", "c"} {
			if err := tx.Put(Drains, k, value); err != nil {
				return err
			}
		}
		copy(value, "two") // Put has its own
		if got := string(tx.Get(Drains, "a")); got != "one" {
			t.Errorf("Within the transaction a is %q", got)
		}
		copy(tx.Get(Drains, "a"), "new")
		if got := string(tx.Get(Drains, "a")); got != "one" {
			t.Errorf("Who writes into what Get gave writes into the store: %q", got)
		}
		return errors.Join(tx.Put(Drains, "empty", nil), tx.Delete(Drains, "c"), tx.Delete(Drains, "never"), tx.Delete(Ledger, "x"))
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // as it is, and after a restart
		err = s.View(func(tx *Tx) error {
			if v := tx.Get(Drains, "empty"); v == nil || len(v) != 0 {
				t.Errorf("An empty value comes back as %#v", v)
			}
			for _, b := range []Bucket{Drains, Health} {
				if v := tx.Get(b, "c"); v != nil {
					t.Errorf("%s has c: %q", b, v)
				}
			}
			copy(tx.Get(Ledger, "large"), "y") // or this would be the end
			return tx.Each(Ledger, func(_ string, v []byte) error { copy(v, "y"); return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		all, err := content(s)
		if v := all["ledger large"]; v != strings.Repeat("x", 3000) {
			t.Errorf("%.20q...", v)
		}
		delete(all, "ledger large")
		if got := fmt.Sprintf("%q", all); err != nil ||
			got != `map["drains \x00\xff":"one" "drains a":"one" "drains b":"one" "drains empty":""]` {
			t.Errorf("%s, %v", got, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, s.Path())
	}
}

func TestEachWhileItChanges(t *testing.T) {
	s := fresh(t)
	var seen []string
	err := s.Update(func(tx *Tx) error {
		for i := range 2000 { // several pages
			if err := tx.Put(Ledger, fmt.Sprintf("%04d", i), []byte(strings.Repeat("x", 20))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(func(tx *Tx) error {
		return tx.Each(Ledger, func(k string, _ []byte) error {
			seen = append(seen, k)
			if k == "1999" {
				return tx.Put(Ledger, "2000", nil)
			}
			return tx.Delete(Ledger, k)
		})
	})
	if err != nil || len(seen) != 2001 || seen[0] != "0000" || seen[1234] != "1234" || seen[2000] != "2000" {
		t.Errorf("%d records were seen, %v", len(seen), err)
	}
	stop := errors.New("stop")
	err = s.View(func(tx *Tx) error { return tx.Each(Ledger, func(string, []byte) error { return stop }) })
	if all, _ := content(s); !errors.Is(err, stop) || len(all) != 1 { // it deleted 2000 too
		t.Errorf("%d records are left, %v", len(all), err)
	}
}

// A transaction is all or nothing, however it ends.
func TestAtomic(t *testing.T) {
	s := fresh(t)
	put(t, s, Health, "k", "before")
	refused := errors.New("refused")
	ends := map[string]func(){
		"error": func() {
			err := s.Update(func(tx *Tx) error { return errors.Join(tx.Put(Health, "k", nil), tx.Put(Drains, "n", nil), refused) })
			if !errors.Is(err, refused) {
				t.Errorf("Update returned %v", err)
			}
		},
		"panic": func() {
			defer func() {
				if r := recover(); r != "the caller's own" {
					t.Errorf("Recovered %v", r)
				}
			}()
			_ = s.Update(func(tx *Tx) error { _ = tx.Delete(Health, "k"); panic("the caller's own") })
		},
		"panic in Each": func() {
			defer func() { _ = recover() }()
			_ = s.View(func(tx *Tx) error { return tx.Each(Health, func(string, []byte) error { panic("") }) })
		},
	}
	for name, end := range ends {
		end()
		if got, _ := content(s); len(got) != 1 || got["health k"] != "before" {
			t.Errorf("After an %s there is %q", name, got)
		}
	}
	put(t, s, Health, "k", "after")
}

func TestBounds(t *testing.T) {
	s := fresh(t)
	long, big := strings.Repeat("k", MaxKey), make([]byte, MaxValue)
	err := s.Update(func(tx *Tx) error { return tx.Put(Ledger, long, big) })
	if got := get(t, s, Ledger, long); err != nil || got != string(big) {
		t.Errorf("The largest record: %v, %d octets", err, len(got))
	}
	for name, c := range map[string]struct {
		f    func(*Tx) error
		kind error
		want string
	}{
		"long key":  {func(tx *Tx) error { return tx.Put(Ledger, long+"k", nil) }, ErrTooLarge, "1025 octets: at most 1024"},
		"big value": {func(tx *Tx) error { return tx.Put(Ledger, "k", append(big, 0)) }, ErrTooLarge, "1048577 octets: at most 1048576"},
		"no key":    {func(tx *Tx) error { return tx.Put(Ledger, "", nil) }, nil, "1 to 1024 octets"},
		"no bucket": {func(tx *Tx) error { return tx.Put("meta", "sum", nil) }, nil, `no bucket "meta": one of ["registrations"`},
	} {
		err := s.Update(c.f)
		if err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]func(*Tx) error{
		"put":                func(tx *Tx) error { return tx.Put(Ledger, "k", nil) },
		"visited no bucket":  func(tx *Tx) error { return tx.Each("meta", func(string, []byte) error { return nil }) },
		"deleted from there": func(tx *Tx) error { return tx.Delete("meta", "sum") },
	} {
		if err := s.View(f); err == nil {
			t.Errorf("A View %s", name)
		}
	}
}

// An Update that changes nothing writes nothing.
func TestNoChangeNoWrite(t *testing.T) {
	s := fresh(t)
	put(t, s, Health, "k", "v")
	same := untouched(t, filepath.Dir(s.Path()))
	if err := s.Update(func(tx *Tx) error { return errors.Join(tx.Put(Health, "k", []byte("v")), tx.Delete(Health, "x")) }); err != nil {
		t.Error(err)
	}
	same()
}

func TestManyAtOnce(t *testing.T) {
	s := fresh(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				key := fmt.Sprint(i, " ", j)
				if err := s.Update(func(tx *Tx) error { return tx.Put(Serials, key, nil) }); err != nil {
					t.Error(err)
				}
				if _, err := content(s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if all, err := content(s); len(all) != 40 || err != nil {
		t.Errorf("%d records, %v", len(all), err)
	}
}

func TestAfterTheEnd(t *testing.T) {
	s := fresh(t)
	var kept *Tx
	if err := s.Update(func(tx *Tx) error { kept = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := kept.Put(Health, "k", nil); err == nil || kept.Get(Health, "k") != nil {
		t.Errorf("A transaction that has ended still works: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := s.Update(func(*Tx) error { t.Error("called"); return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Update after Close: %v", err)
	}
	if err := s.View(func(*Tx) error { t.Error("called"); return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("View after Close: %v", err)
	}
}

// What is written to a file that nobody will find again was not stored.
func TestRemovedOrReplaced(t *testing.T) {
	dir := t.TempDir()
	s, other := open(t, filepath.Join(dir, "kms.db")), open(t, filepath.Join(dir, "other.db"))
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	change := func(tx *Tx) error { return tx.Put(Health, "k", []byte("v")) }
	aside := filepath.Join(dir, "aside")
	for name, replace := range map[string]func() error{
		"removed":  func() error { return os.Rename(s.Path(), aside) },
		"replaced": func() error { return errors.Join(os.Rename(s.Path(), aside), os.Link(other.Path(), s.Path())) },
	} {
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(change); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Rename(aside, s.Path()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Update(change); err != nil {
		t.Errorf("Put back: %v", err)
	}
}
