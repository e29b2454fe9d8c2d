package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

func client(n int) ledger.Client {
	var id [16]byte
	binary.BigEndian.PutUint32(id[:], uint32(n)+1)
	return ledger.ByCMID(id)
}

func served(n int) ledger.Call {
	return ledger.Call{At: time.Now(), Client: client(n), Host: kms1, Counted: true, Version: "6.0", Result: "forwarded", Machine: fmt.Sprint("PC", n)}
}

func (p *process) ledger() *Book {
	p.t.Helper()
	b, err := HoldLedger(p.Lease, p.store, func(err error) { p.t.Error(err) })
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// rows is how many clients are stored.
func (p *process) rows() (n int) {
	p.t.Helper()
	if err := p.store.View(func(tx *store.Tx) error {
		return tx.Each(store.Ledger, func(string, []byte) error { n++; return nil })
	}); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// TestLedgerSurvivesARestart: every five minutes what changed is stored, and at the end the rest.
func TestLedgerSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, path)
		b := p.ledger()
		for n := range 2500 {
			b.Record(served(n))
		}
		time.Sleep(saveEvery - 1)
		synctest.Wait()
		if n := p.rows(); n != 0 {
			t.Errorf("%d clients are stored before the time", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := p.rows(); n != 2500 {
			t.Errorf("%d clients are stored after five minutes", n)
		}
		for n := range 3500 {
			b.Record(served(2500 + n))
		}
		p.Release() // what is recorded and not yet entered counts

		p = begin(t, path)
		b = p.ledger()
		if n := b.Clients(kms1); n != 6000 {
			t.Errorf("%d clients after a restart", n)
		}
		e, ok := b.Find(client(5999))
		if !ok || e.Machine != "PC5999" || e.Home != kms1 || e.Calls != 1 || len(e.Visits) != 1 {
			t.Errorf("The last client is %+v, %v", e, ok)
		}
		if c := b.Changes(10); len(c.Changed)+len(c.Gone) != 0 {
			t.Errorf("After loading, there is something to store: %+v", c)
		}
	})
}

// TestForgottenClientsAreDeleted: the store has no more than the ledger.
func TestForgottenClientsAreDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, path)
		b := p.ledger()
		b.Enter(served(0))
		p.Release()
		time.Sleep(300 * 24 * time.Hour)
		p = begin(t, path)
		b = p.ledger()
		b.Enter(served(1))
		time.Sleep(100 * 24 * time.Hour)
		b.Enter(served(2)) // and with it the day turns
		p.Release()
		p = begin(t, path)
		if n := p.rows(); n != 2 {
			t.Errorf("%d clients are stored, want those of the last year", n)
		}
		if _, ok := p.ledger().Find(client(0)); ok {
			t.Error("A client that did not call for a year is remembered")
		}
	})
}

// TestLedgerMoves: a reload that names another store, takes it away or brings one.
func TestLedgerMoves(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, filepath.Join(dir, "a.db"))
		other := begin(t, filepath.Join(dir, "b.db"))
		ob := other.ledger()
		ob.Enter(served(7))
		ob.Keep(nil) // not in the way any more
		if err := SaveLedger(other.store, ob.Ledger); err != nil {
			t.Fatal(err)
		}
		b := p.ledger()
		b.Enter(served(0))
		time.Sleep(saveEvery)
		synctest.Wait()
		b.Keep(other.store)
		synctest.Wait()
		if n := other.rows(); n != 2 {
			t.Errorf("%d clients in the new store, want its own and the one that was known", n)
		}
		if _, ok := b.Find(client(7)); !ok {
			t.Error("What the new store had is not known")
		}
		b.Keep(nil)
		b.Enter(served(1))
		time.Sleep(saveEvery)
		b.Keep(p.store)
		synctest.Wait()
		if n := p.rows(); n != 3 {
			t.Errorf("%d clients in the old store, want all", n)
		}
	})
}

// TestLedgerOutlivesItsStore: what could not be stored is not lost, and stored when it can be.
func TestLedgerOutlivesItsStore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p, good := begin(t, filepath.Join(dir, "a.db")), begin(t, filepath.Join(dir, "b.db"))
		var told []error
		b, err := HoldLedger(p.Lease, p.store, func(err error) { told = append(told, err) })
		if err != nil {
			t.Fatal(err)
		}
		p.store.Close()
		b.Enter(served(0))
		time.Sleep(2 * saveEvery)
		synctest.Wait()
		if len(told) != 2 || !errors.Is(told[0], store.ErrClosed) {
			t.Errorf("Told %v, want two complaints in ten minutes", told)
		}
		if b.Clients(kms1) != 1 {
			t.Error("The client is forgotten")
		}
		b.Keep(good.store)
		synctest.Wait()
		if n := good.rows(); n != 1 || len(told) != 2 {
			t.Errorf("%d clients stored, told %v", n, told)
		}
	})
}

// TestUnreadableClients: they are forgotten and counted, the others are there.
func TestUnreadableClients(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	book := ledger.New(0)
	book.Enter(served(0))
	if err := errors.Join(SaveLedger(p.store, book), p.store.Update(func(tx *store.Tx) error {
		return errors.Join(tx.Put(store.Ledger, client(1).Key(), []byte{9, 9}), tx.Put(store.Ledger, "x", []byte{1}))
	})); err != nil {
		t.Fatal(err)
	}
	again := ledger.New(0)
	damaged, err := LoadLedger(p.store, again)
	if err != nil || damaged == nil || !strings.Contains(damaged.Error(), "2 clients") || again.Clients(kms1) != 1 {
		t.Errorf("%d clients; %v, %v", again.Clients(kms1), damaged, err)
	}
}

// TestAHundredThousandClients: a full ledger is there in about a second, and while it is stored calls are entered.
func TestAHundredThousandClients(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	book := ledger.New(0)
	for n := range ledger.DefaultMax {
		book.Enter(served(n))
	}
	saved := make(chan error, 1)
	start := time.Now()
	go func() { saved <- SaveLedger(p.store, book) }()
	var longest time.Duration
	entered := 0
	for ; entered < 20_000 && len(saved) == 0; entered++ {
		before := time.Now()
		book.Enter(served(entered % 1000))
		longest = max(longest, time.Since(before))
	}
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	t.Logf("saved in %s, %d calls entered meanwhile, the slowest in %s", time.Since(start), entered, longest)
	if entered < 1000 {
		t.Errorf("%d calls were entered while the ledger was stored", entered)
	}
	start = time.Now()
	again := ledger.New(0)
	if damaged, err := LoadLedger(p.store, again); damaged != nil || err != nil {
		t.Fatal(damaged, err)
	}
	took := time.Since(start)
	t.Logf("loaded in %s", took)
	if n := again.Clients(kms1); n != ledger.DefaultMax {
		t.Errorf("%d clients", n)
	}
	if took > 20*time.Second {
		t.Errorf("Loading took %s", took)
	}
}
