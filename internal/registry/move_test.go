package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/store"
)

// moving runs a registry that begins in memory alone. It hears of trouble by the channel.
func moving(t *testing.T) (*Registry, chan error) {
	t.Helper()
	r, err := New(settings(16), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	trouble := make(chan error, 16)
	r.OnTrouble = func(err error) { trouble <- err }
	g := &rig{Registry: r, t: t, stop: func() {}}
	g.run()
	t.Cleanup(g.stop)
	return r, trouble
}

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	st, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// stored is what st has, in words.
func stored(t *testing.T, st *store.Store) string {
	t.Helper()
	b := newBook()
	if err := b.load(st, "test"); err != nil {
		t.Fatal(err)
	}
	return words(b.snapshot(nil))
}

// words is the claims and addresses of s: "kms1/0 kms2/0 kms1=192.0.2.1".
func words(s *Snapshot) string {
	var all []string
	for _, c := range s.Claims {
		all = append(all, fmt.Sprintf("%s/%d", strings.TrimSuffix(c.Target, ".example.org."), c.Weight))
	}
	for n := range 10 {
		name := fmt.Sprintf("kms%d.example.org.", n)
		for _, ip := range s.Addresses[name] {
			all = append(all, fmt.Sprintf("kms%d=%s", n, ip))
		}
	}
	return strings.Join(all, " ")
}

// TestKeep: a store that comes with a reload gets who is announced, and loses nobody; pools notice nothing of a move.
func TestKeep(t *testing.T) {
	r, _ := moving(t)
	p := (&rig{Registry: r, t: t}).fed(&network{})
	older := announced(1)
	older.Weight, older.Updated = 7, older.Updated.Add(-time.Hour)
	path := filepath.Join(t.TempDir(), "kms.db")
	first := reopen(t, settings(16), path)
	first.put(older, announced(3))
	first.change(func(d *Draft) error {
		return errors.Join(d.PutAddress(record(1, address(9))), d.PutAddress(record(3, address(3))))
	})
	first.compare()

	put := func(n int) error {
		return r.Change(context.Background(), func(d *Draft) error { return d.Put(announced(n)) })
	}
	if err := errors.Join(put(1), put(2), r.Change(context.Background(), func(d *Draft) error { return d.PutAddress(record(1, address(1))) })); err != nil {
		t.Fatal(err)
	}
	h := p.Hosts()[0]
	st := openStore(t, path)
	if err := r.Keep(st); err != nil {
		t.Fatal(err)
	}
	const all = "kms1/0 kms2/0 kms3/0 kms1=192.0.2.1 kms3=192.0.2.3"
	if got := words(r.Snapshot()); got != all {
		t.Errorf("Announced: %s, want %s", got, all)
	}
	if got := stored(t, st); got != all {
		t.Errorf("Stored: %s, want %s", got, all)
	}
	if now := p.Hosts(); len(now) != 3 || now[0].State != h.State || !now[0].Since.Equal(h.Since) {
		t.Errorf("The pool has %s, and kms1 since %s; it was %s", states(p), now[0].Since, h.Since)
	}

	other := openStore(t, filepath.Join(t.TempDir(), "other.db"))
	if err := errors.Join(r.Keep(other), put(4)); err != nil {
		t.Fatal(err)
	}
	if got, want := stored(t, other), strings.Replace(all, "kms3/0", "kms3/0 kms4/0", 1); got != want {
		t.Errorf("In another: %s, want %s", got, want)
	}
	if got := stored(t, st); got != all {
		t.Errorf("The store that was left has %s, want %s", got, all)
	}
	if err := errors.Join(r.Keep(nil), put(5)); err != nil {
		t.Fatal(err)
	}
	if got := words(r.Snapshot()); !strings.Contains(got, "kms5/0") || strings.Contains(stored(t, other), "kms5") {
		t.Errorf("In memory alone: %s", got)
	}
}

// TestKeepWhatCannotBeWritten: nobody is lost, nothing is accepted that might be, and all of it is stored once that works.
func TestKeepWhatCannotBeWritten(t *testing.T) {
	r, trouble := moving(t)
	put := func(n int) error {
		return r.Change(context.Background(), func(d *Draft) error { return d.Put(announced(n)) })
	}
	if err := put(1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kms.db")
	st := openStore(t, path)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := r.Keep(st); err != nil {
		t.Fatal(err)
	}
	if err := <-trouble; !errors.Is(err, store.ErrMoved) {
		t.Errorf("Trouble: %v", err)
	}
	if err := put(2); !errors.Is(err, ErrNotStored) {
		t.Errorf("A change: %v, want ErrNotStored", err)
	}
	if got := words(r.Snapshot()); got != "kms1/0" {
		t.Errorf("Announced: %s", got)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := put(3); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, st); got != "kms1/0 kms3/0" {
		t.Errorf("Stored: %s", got)
	}
}

// TestKeepInADamagedStore: it stays where it was.
func TestKeepInADamagedStore(t *testing.T) {
	r, _ := moving(t)
	put := func(n int) error {
		return r.Change(context.Background(), func(d *Draft) error { return d.Put(announced(n)) })
	}
	good := openStore(t, filepath.Join(t.TempDir(), "good.db"))
	if err := errors.Join(r.Keep(good), put(1)); err != nil {
		t.Fatal(err)
	}
	bad := openStore(t, filepath.Join(t.TempDir(), "bad.db"))
	if err := bad.Update(func(tx *store.Tx) error {
		return tx.Put(store.Registrations, "test|kms2.example.org:1688", []byte("{"))
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.Keep(bad); err == nil || !strings.Contains(err.Error(), "kms2.example.org:1688") {
		t.Errorf("Got %v, want the damaged value named", err)
	}
	if err := put(3); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, good); got != "kms1/0 kms3/0" {
		t.Errorf("Stored: %s", got)
	}
}

// TestKeepAfterTheEnd does not wait for ever.
func TestKeepAfterTheEnd(t *testing.T) {
	g := start(t, settings(16))
	g.stop()
	if err := g.Keep(nil); !errors.Is(err, ErrEnded) {
		t.Errorf("Got %v, want ErrEnded", err)
	}
}
