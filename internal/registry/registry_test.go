package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/coredns-kms/coredns-kms/internal/store"
)

// TestWhoWaitsSharesACommit: one snapshot, and so one commit, for all that came while the first was at work.
func TestWhoWaitsSharesACommit(t *testing.T) {
	for waiting, batches := range map[int]int{1: 1, 200: 1, maxBatch - 1: 1, maxBatch: 2, 1000: 4} {
		synctest.Test(t, func(t *testing.T) {
			g := prepare(t, settings(2000), t.TempDir()+"/kms.db")
			var wg sync.WaitGroup
			seen := map[*Snapshot]bool{} // by the edits, on Run's goroutine: another with each commit
			for n := range waiting + 1 {
				wg.Go(func() {
					g.change(func(d *Draft) error { seen[g.Snapshot()] = true; return d.Put(numbered(n)) })
				})
			}
			synctest.Wait() // all are in line
			g.run()
			wg.Wait()
			if n := len(g.Snapshot().Claims); n != waiting+1 {
				t.Errorf("%d hosts, want %d", n, waiting+1)
			}
			if len(seen) != batches {
				t.Errorf("%d changes took %d commits, want %d", waiting+1, len(seen), batches)
			}
		})
	}
}

// numbered is announced for more hosts than there are numbers in an address.
func numbered(n int) Claim {
	c := announced(n % 256)
	c.Target = fmt.Sprintf("kms%d.example.org.", n)
	return c
}

// TestChangesAreInOrder: each edit sees what those before it in line did.
func TestChangesAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := prepare(t, settings(1), t.TempDir()+"/kms.db")
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() {
				g.change(func(d *Draft) error {
					c, ok := d.Find("kms1.example.org.", 1688)
					if ok != (n > 0) || ok && int(c.Priority) != n-1 {
						t.Errorf("Number %d found %+v, %v", n, c, ok)
					}
					c = announced(1)
					c.Priority = uint16(n)
					return d.Put(c)
				})
			})
			synctest.Wait()
		}
		g.run()
		wg.Wait()
	})
}

func TestAnEditThatChangesNothingNeedsNoCommit(t *testing.T) {
	g := start(t, settings(4))
	c := announced(1)
	g.put(c)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	before := g.Snapshot()
	for name, edit := range map[string]func(*Draft) error{
		"nothing at all": func(*Draft) error { return nil },
		"the same again": func(d *Draft) error { return d.Put(c) },
		"there and back": func(d *Draft) error { d.Remove(c.Target, c.Port); return d.Put(c) },
		"back and forth": func(d *Draft) error { err := d.Put(announced(2)); d.Remove("kms2.example.org.", 1688); return err },
		"an address and no more": func(d *Draft) error {
			err := d.PutAddress(record(1, address(1)))
			d.RemoveAddress("kms1.example.org.", address(1))
			return err
		},
	} {
		if err := g.Change(t.Context(), edit); err != nil || g.Snapshot() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNothingHappensWithoutTheStore: if the commit fails, for all of the batch.
func TestNothingHappensWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(4))
		n := &network{}
		p := g.fed(n)
		g.put(announced(1))
		g.change(func(d *Draft) error { return d.PutAddress(record(1, address(1))) })
		if err := g.store.Close(); err != nil {
			t.Fatal(err)
		}
		before, snapshot := g.book.text(), g.Snapshot()
		var wg sync.WaitGroup
		try := func(name string, edit func(*Draft) error) {
			wg.Go(func() {
				err := g.Change(context.Background(), edit)
				if !errors.Is(err, ErrNotStored) || !errors.Is(err, store.ErrClosed) || !strings.Contains(err.Error(), g.path) {
					t.Errorf("%s: %v, want ErrNotStored and why", name, err)
				}
			})
			synctest.Wait()
		}
		hold := make(chan struct{})
		try("put", func(d *Draft) error { <-hold; return d.Put(announced(2)) })
		try("remove", func(d *Draft) error { d.Remove("kms1.example.org.", 1688); return nil })
		try("address", func(d *Draft) error { return d.PutAddress(record(2, address(2))) })
		try("no address", func(d *Draft) error { d.RemoveAddress("kms1.example.org.", address(1)); return nil })
		try("one that only looked", func(d *Draft) error { _, ok := d.Find("kms2.example.org.", 1688); return want(ok) })
		try("one that failed for what it saw", func(d *Draft) error { _, ok := d.Find("kms1.example.org.", 1688); return want(ok) })
		close(hold)
		wg.Wait()
		if got := g.book.text(); got != before || g.Snapshot() != snapshot {
			t.Errorf("Got\n%s\nwant what was before\n%s", got, before)
		}
		if got := states(p); got != "kms1 claimed" {
			t.Errorf("The pool has %s", got)
		}
	})
}

func want(ok bool) error {
	if !ok {
		return errors.New("it is not so")
	}
	return nil
}

func TestBusyAndImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := prepare(t, settings(4), t.TempDir()+"/kms.db")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		ran := 0
		for n := range maxWaiting {
			wg.Go(func() {
				with := t.Context()
				if n%2 == 0 {
					with = ctx
				}
				err := g.Change(with, func(d *Draft) error { ran++; return d.Put(announced(n % 4)) })
				if n%2 == 0 != errors.Is(err, context.Canceled) || n%2 == 1 && err != nil {
					t.Errorf("Number %d: %v", n, err)
				}
			})
		}
		synctest.Wait()
		if err := g.Change(t.Context(), func(*Draft) error { return nil }); !errors.Is(err, ErrBusy) {
			t.Errorf("With %d in line: %v", maxWaiting, err)
		}
		cancel()
		synctest.Wait() // who gave up is told at once, and what it wanted does not happen
		g.run()
		wg.Wait()
		if ran != maxWaiting/2 {
			t.Errorf("%d edits ran, want those of the patient: %d", ran, maxWaiting/2)
		}
	})
}

// TestGivingUpTooLate: a change that is being done is waited for, so that its answer is the truth.
func TestGivingUpTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, settings(4))
		ctx, cancel := context.WithCancel(t.Context())
		hold := make(chan struct{})
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { err = g.Change(ctx, func(d *Draft) error { <-hold; return d.Put(announced(1)) }) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(hold)
		wg.Wait()
		if err != nil || g.Snapshot().targets() != "kms1" {
			t.Errorf("Got %v, and %s is announced", err, g.Snapshot().targets())
		}
	})
}

// TestTheEnd: what was accepted is answered and stored, and whoever comes later is told.
func TestTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := prepare(t, settings(maxWaiting), t.TempDir()+"/kms.db")
		var wg sync.WaitGroup
		for n := range maxWaiting {
			wg.Go(func() { g.put(numbered(n)) })
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g.Run(ctx)
		wg.Wait()
		if n := len(g.Snapshot().Claims); n != maxWaiting {
			t.Errorf("%d hosts, want %d", n, maxWaiting)
		}
		for range 3 {
			if err := g.Change(context.Background(), func(*Draft) error { t.Error("An edit ran"); return nil }); !errors.Is(err, ErrEnded) {
				t.Errorf("After the end: %v", err)
			}
		}
	})
}

// TestTheEndInTheMidst: with changes coming all the while, each is answered, and those that succeeded are stored.
func TestTheEndInTheMidst(t *testing.T) {
	for range 8 {
		g := start(t, settings(10000))
		var mu sync.Mutex
		done := map[string]bool{}
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for n := 0; ; n++ {
					c := numbered(worker*1000 + n)
					err := g.Change(context.Background(), func(d *Draft) error { return d.Put(c) })
					if errors.Is(err, ErrEnded) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					done[c.Target] = true
					mu.Unlock()
				}
			})
		}
		for range 100 {
			runtime.Gosched()
		}
		g.stop()
		wg.Wait()
		if n := len(g.Snapshot().Claims); n != len(done) {
			t.Errorf("%d changes succeeded, and %d hosts are announced", len(done), n)
		}
	}
}

// TestAnEditThatEndsItsGoroutine takes Run with it, and nobody hangs for that.
func TestAnEditThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := prepare(t, settings(8), t.TempDir()+"/kms.db")
		var wg sync.WaitGroup
		for n, wants := range []bool{false, false, true} {
			wg.Go(func() {
				err := g.Change(context.Background(), func(d *Draft) error {
					err := d.Put(announced(n))
					if n == 1 {
						runtime.Goexit()
					}
					return err
				})
				if (err == nil) != wants {
					t.Errorf("Number %d: %v", n, err)
				}
			})
			synctest.Wait()
		}
		g.run()
		wg.Wait()
		if got := g.Snapshot().targets(); got != "kms2" { // of the next batch
			t.Errorf("Got %s", got)
		}
	})
}

func TestWithoutAStore(t *testing.T) {
	r, err := New(settings(1), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	if err := r.Change(t.Context(), func(d *Draft) error { return d.Put(announced(1)) }); err != nil {
		t.Error(err)
	}
	if got := r.Snapshot().targets(); got != "kms1" {
		t.Errorf("Got %s", got)
	}
	cancel()
	wg.Wait()
	if err := r.Change(t.Context(), func(*Draft) error { return nil }); !errors.Is(err, ErrEnded) {
		t.Errorf("After the end: %v", err)
	}
}
