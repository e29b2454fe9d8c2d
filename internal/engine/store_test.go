package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

const kms1, kms2, kms3 = "kms1.example.org:1688", "kms2.example.org:1688", "kms3.example.org:1688"

// process is what there is of one process: an engine, a lease on a store, and pools.
type process struct {
	t *testing.T
	*Engine
	*Lease
	store *store.Store
}

func begin(t *testing.T, path string) *process {
	t.Helper()
	e := New()
	p := &process{t: t, Engine: e, Lease: e.Lease(e.NextGeneration())}
	t.Cleanup(p.Release)
	var err error
	if p.store, err = HoldStore(p.Lease, path); err != nil {
		t.Fatal(err)
	}
	return p
}

// pool holds one of names, to which hosts may announce themselves, with what is stored.
func (p *process) pool(names ...string) Pool {
	p.t.Helper()
	stored, err := LoadMemories(p.store)
	if err != nil {
		p.t.Fatal(err)
	}
	b := block("example.org.", names...)
	b.Update = &config.Update{}
	held, err := HoldPool(p.Lease, b, still, stored)
	if err != nil {
		p.t.Fatal(err)
	}
	return held
}

// hosts is the hosts of p in words: name, state and who drained it.
func hosts(p Pool) string {
	var all []string
	for _, h := range p.Hosts() {
		w := strings.TrimSuffix(h.Name, ".example.org.") + " " + h.State.String()
		if h.Drainage != nil {
			w += fmt.Sprintf(" by %s: %s", h.Drainage.By, h.Drainage.Why)
		}
		all = append(all, w)
	}
	return strings.Join(all, ", ")
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestStoreIsSharedAndClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	p := begin(t, path)
	next := p.Engine.Lease(p.NextGeneration())
	same, err := HoldStore(next, path)
	if err != nil || same != p.store {
		t.Fatalf("A reload opens the store again: %v", err)
	}
	p.Release()
	if err := same.View(func(*store.Tx) error { return nil }); err != nil {
		t.Errorf("Closed though the new configuration holds it: %v", err)
	}
	next.Release()
	if err := same.View(func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("After the last release: %v, want it closed", err)
	}
}

// TestHealthSurvivesARestart: for five minutes, for the kind of probe that it rests on.
func TestHealthSurvivesARestart(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration
		kind  config.ProbeKind
		want  string
	}{
		"at once":            {0, config.ProbeRPC, "kms1 up, kms2 unchecked, kms3 unchecked"},
		"almost too late":    {5 * time.Minute, config.ProbeRPC, "kms1 up, kms2 unchecked, kms3 unchecked"},
		"too late":           {5*time.Minute + 1, config.ProbeRPC, "kms1 unchecked, kms2 unchecked, kms3 unchecked"},
		"another probe kind": {0, config.ProbeTCP, "kms1 unchecked, kms2 unchecked, kms3 unchecked"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kms.db")
			synctest.Test(t, func(t *testing.T) {
				p := begin(t, path)
				p.pool("kms1.example.org.", "kms2.example.org.").Served(kms1)
				if err := SaveMemories(p.store, p.Engine); err != nil {
					t.Fatal(err)
				}
				p.Release()
				time.Sleep(tt.after)
				p = begin(t, path)
				stored, err := LoadMemories(p.store)
				if err != nil {
					t.Fatal(err)
				}
				b := block("example.org.", "kms1.example.org.", "kms2.example.org.", "kms3.example.org.")
				b.Probe.Kind = tt.kind
				held, err := HoldPool(p.Lease, b, still, stored)
				if err != nil {
					t.Fatal(err)
				}
				want(t, "After the restart", hosts(held), tt.want)
			})
		})
	}
}

// TestSavedHealthIsAllThereIs: what an earlier process saved, and this one does not know, goes.
func TestSavedHealthIsAllThereIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	for _, name := range []string{"kms1.example.org.", "kms2.example.org."} {
		p := begin(t, path)
		held, err := HoldPool(p.Lease, block("example.org.", name), still, Memories{})
		if err != nil {
			t.Fatal(err)
		}
		held.Served(strings.TrimSuffix(name, ".") + ":1688")
		if err := SaveMemories(p.store, p.Engine); err != nil {
			t.Fatal(err)
		}
		p.Release()
	}
	p := begin(t, path)
	want(t, "After two processes", hosts(p.pool("kms1.example.org.", "kms2.example.org.")), "kms1 unchecked, kms2 up")
}

func drainage(by, why string) pool.Drainage {
	return pool.Drainage{By: by, Why: why, At: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
}

// TestDrainsSurviveARestart: without a shutdown, and for as long as it takes.
func TestDrainsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	p := begin(t, path)
	a, b := p.pool("kms1.example.org.", "kms2.example.org."), p.pool("kms2.example.org.")
	told, err := Drain(p.Engine, p.store, kms2, drainage("alice", "disks"))
	if err != nil || len(told) != 2 {
		t.Fatalf("Told %d pools: %v", len(told), err)
	}
	want(t, "One pool", hosts(a), "kms1 unchecked, kms2 drained by alice: disks")
	want(t, "The other", hosts(b), "kms2 drained by alice: disks")
	if err := SaveMemories(p.store, p.Engine); err != nil {
		t.Fatal(err)
	}
	p.Release()

	p = begin(t, path)
	without := p.pool("kms1.example.org.")
	want(t, "The host is in no pool", hosts(without), "kms1 unchecked")
	without.Enlist(config.Host{Name: "kms2.example.org.", Port: 1688}, nil, false)
	want(t, "It announces itself", hosts(without), "kms1 unchecked, kms2 drained by alice: disks")
	p.Release()

	p = begin(t, path)
	a = p.pool("kms1.example.org.", "kms2.example.org.")
	want(t, "It is back", hosts(a), "kms1 unchecked, kms2 drained by alice: disks")
	if _, err := Undrain(p.Engine, p.store, kms2); err != nil {
		t.Fatal(err)
	}
	want(t, "Put back", hosts(a), "kms1 unchecked, kms2 unchecked")
	p.Release() // as kill -9: the health that was saved above is of a drained host

	p = begin(t, path)
	want(t, "Still put back", hosts(p.pool("kms1.example.org.", "kms2.example.org.")), "kms1 unchecked, kms2 unchecked")
}

// TestDrainsOfAbsentHostsAreBounded: the oldest go, and never one of a host that is there.
func TestDrainsOfAbsentHostsAreBounded(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	held := p.pool("kms1.example.org.")
	old := drainage("alice", "")
	old.At = old.At.AddDate(-1, 0, 0)
	if _, err := Drain(p.Engine, p.store, kms1, old); err != nil {
		t.Fatal(err)
	}
	for n := range maxAbsent + 10 {
		d := drainage("bob", "")
		d.At = d.At.Add(time.Duration(n) * time.Minute)
		if told, err := Drain(p.Engine, p.store, fmt.Sprintf("gone%d.example.org:1688", n), d); err != nil || len(told) > 0 {
			t.Fatal(told, err)
		}
	}
	all, err := LoadDrains(p.store)
	if err != nil || len(all) != maxAbsent+1 {
		t.Errorf("%d drains are stored, want %d and the one that is in force: %v", len(all), maxAbsent, err)
	}
	_, first := all["gone9.example.org:1688"]
	_, kept := all["gone10.example.org:1688"]
	_, present := all[kms1]
	if first || !kept || !present {
		t.Errorf("gone9 %v, gone10 %v, kms1 %v: want the oldest of the absent gone", first, kept, present)
	}
	want(t, "The pool", hosts(held), "kms1 drained by alice: ")
}

// TestDrainWithoutAStore: it is in force, and whoever made it is told that it will not last.
func TestDrainWithoutAStore(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	held := p.pool("kms1.example.org.", "kms2.example.org.")
	if _, err := Drain(p.Engine, nil, kms1, drainage("alice", "x")); !errors.Is(err, ErrNoStore) {
		t.Errorf("Without a store: %v", err)
	}
	p.store.Close()
	told, err := Drain(p.Engine, p.store, kms2, drainage("alice", "y"))
	if !errors.Is(err, store.ErrClosed) || len(told) != 1 {
		t.Errorf("With a store that does not take it: %d told, %v", len(told), err)
	}
	want(t, "Both", hosts(held), "kms1 drained by alice: x, kms2 drained by alice: y")
}

// TestStaleMemories: what was read from the store before a drain was taken back does not bring it back.
func TestStaleMemories(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	p.pool("kms1.example.org.", "kms2.example.org.")
	for _, endpoint := range []string{kms1, kms2} {
		if _, err := Drain(p.Engine, p.store, endpoint, drainage("alice", "")); err != nil {
			t.Fatal(err)
		}
	}
	stale, err := LoadMemories(p.store)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Undrain(p.Engine, p.store, kms1); err != nil {
		t.Fatal(err)
	}
	next, err := HoldPool(p.Lease, block("example.org.", "kms1.example.org.", "kms2.example.org.", "kms3.example.org."), still, stale)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "A pool of a reload", hosts(next), "kms1 unchecked, kms2 drained by alice: , kms3 unchecked")
}

// TestAlignDrains: a store that comes with a reload gets what is in force, and what it has is in force from then on, but for
// hosts that were put back while nobody could tell it.
func TestAlignDrains(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	for _, endpoint := range []string{kms1, kms2, "absent.example.org:1688"} {
		if _, err := Drain(p.Engine, p.store, endpoint, drainage("alice", "disks")); err != nil {
			t.Fatal(err)
		}
	}
	if err := AlignDrains(p.Engine, p.store); err != nil { // a start: no pool yet
		t.Fatal(err)
	}
	held, err := HoldPool(p.Lease, block("example.org.", "kms1.example.org.", "kms2.example.org.", "kms3.example.org."), still, Memories{})
	if err != nil {
		t.Fatal(err)
	}
	// The pool has been running for a while without the store.
	if _, err := Undrain(p.Engine, nil, kms2); !errors.Is(err, ErrNoStore) {
		t.Fatal(err)
	}
	if err := errors.Join(held.Drain(kms3, drainage("bob", "why")), AlignDrains(p.Engine, p.store)); err != nil {
		t.Fatal(err)
	}
	held.Enlist(config.Host{Name: "absent.example.org.", Port: 1688}, nil, false)
	want(t, "The pool", hosts(held), "kms1 drained by alice: disks, kms2 unchecked, kms3 drained by bob: why, absent drained by alice: disks")
	all, err := LoadDrains(p.store)
	if got := fmt.Sprint(slices.Sorted(maps.Keys(all))); err != nil || got != fmt.Sprint([]string{"absent.example.org:1688", kms1, kms3}) {
		t.Errorf("Stored %s, %v", got, err)
	}
	if d := all[kms3]; d != drainage("bob", "why") {
		t.Errorf("kms3 is stored as %+v", d)
	}
}

// TestAStoredDrainMeansEveryPool: a reload's new pool has the drain of the store that it names from the start, and the others from
// when they serve together. What a running pool says of a drain counts more.
func TestAStoredDrainMeansEveryPool(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	runs, err := HoldPool(p.Lease, block("example.org.", "kms1.example.org.", "kms2.example.org."), still, Memories{})
	if err != nil {
		t.Fatal(err)
	}
	if err := runs.Drain(kms2, drainage("bob", "patch day")); err != nil {
		t.Fatal(err)
	}
	if err := p.store.Update(func(tx *store.Tx) error {
		return errors.Join(putDrain(tx, kms1, drainage("alice", "disks")), putDrain(tx, kms2, drainage("alice", "disks")))
	}); err != nil {
		t.Fatal(err)
	}
	p.Lease = p.Engine.Lease(p.Engine.NextGeneration())
	defer p.Lease.Release()
	started := p.pool("kms1.example.org.", "kms2.example.org.", "kms3.example.org.")
	want(t, "The new pool", hosts(started), "kms1 drained by alice: disks, kms2 drained by bob: patch day, kms3 unchecked")
	want(t, "The old one, till the new one serves", hosts(runs), "kms1 unchecked, kms2 drained by bob: patch day")
	if err := AlignDrains(p.Engine, p.store); err != nil {
		t.Fatal(err)
	}
	want(t, "The old one then", hosts(runs), "kms1 drained by alice: disks, kms2 drained by bob: patch day")
}

// TestPutBackAfterTheClockWasSetBack: a store that could not take it does not bring the drain back, though by the clock the
// drain is the later of the two.
func TestPutBackAfterTheClockWasSetBack(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	held := p.pool("kms1.example.org.", "kms2.example.org.")
	ahead := pool.Drainage{By: "alice", At: time.Now().Add(time.Hour).Round(time.Second)} // the clock was, by an hour
	if _, err := Drain(p.Engine, p.store, kms1, ahead); err != nil {
		t.Fatal(err)
	}
	if err := p.store.Update(func(tx *store.Tx) error { return putDrain(tx, kms2, ahead) }); err != nil { // and no pool knows
		t.Fatal(err)
	}
	if _, err := Undrain(p.Engine, nil, kms1); !errors.Is(err, ErrNoStore) {
		t.Fatal(err)
	}
	p.putBack(p.store, kms2) // as Undrain does before a full disk refuses it
	if err := AlignDrains(p.Engine, p.store); err != nil {
		t.Fatal(err)
	}
	want(t, "The pool", hosts(held), "kms1 unchecked, kms2 unchecked")
	if all, err := LoadDrains(p.store); err != nil || len(all) != 0 {
		t.Errorf("Stored %v, %v, want nothing", all, err)
	}
	if _, err := Drain(p.Engine, p.store, kms1, drainage("bob", "")); err != nil { // the clock is behind now
		t.Fatal(err)
	}
	if err := AlignDrains(p.Engine, p.store); err != nil {
		t.Fatal(err)
	}
	want(t, "Drained again", hosts(held), "kms1 drained by bob: , kms2 unchecked")
}

// TestDrainOfAHostThatAnotherPoolGetsLater: a drain means the host, wherever it turns up, without a restart.
func TestDrainOfAHostThatAnotherPoolGetsLater(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	a, b := p.pool("kms1.example.org."), p.pool("kms2.example.org.")
	announced := config.Host{Name: "kms3.example.org.", Port: 1688}
	a.Enlist(announced, nil, true)
	told, err := Drain(p.Engine, p.store, kms3, drainage("alice", "disks"))
	if err != nil || len(told) != 1 {
		t.Fatalf("Told %d pools, want the one that has it: %v", len(told), err)
	}
	b.Enlist(announced, nil, true)
	want(t, "The other pool", hosts(b), "kms2 unchecked, kms3 drained by alice: disks")
	b.Dismiss(kms3)
	if _, err := Undrain(p.Engine, p.store, kms3); err != nil {
		t.Fatal(err)
	}
	b.Enlist(announced, nil, true)
	// It had left b, where it has everything to prove, and is not drained.
	want(t, "Put back", hosts(a)+"; "+hosts(b), "kms1 unchecked, kms3 unchecked; kms2 unchecked, kms3 claimed")
}

// TestWhoLeftStartsAnew: a host that announced itself, and took that back, has everything to prove, whatever a reload finds in the
// store, where it is as it was when the process before this one ended, or with a pool that it was never announced to. A stored
// drain holds.
func TestWhoLeftStartsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	p := begin(t, path)
	up, err := json.Marshal(pool.Memory{Kind: config.ProbeRPC, Announced: true, Health: proved(t), At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.store.Update(func(tx *store.Tx) error {
		return errors.Join(tx.Put(store.Health, kms2+" rpc", up), tx.Put(store.Health, kms3+" rpc", up))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Drain(p.Engine, p.store, kms3, drainage("alice", "")); err != nil {
		t.Fatal(err)
	}
	announced := func(n int) config.Host { return config.Host{Name: fmt.Sprintf("kms%d.example.org.", n), Port: 1688} }
	p.pool("kms5.example.org.")
	held := p.pool("kms1.example.org.")
	held.Enlist(announced(2), nil, false)
	want(t, "At the start", hosts(held), "kms1 unchecked, kms2 up")
	held.Dismiss(kms2)
	if _, err := Drain(p.Engine, p.store, kms2, drainage("bob", "")); err != nil { // of a host that is away
		t.Fatal(err)
	}
	if _, err := Undrain(p.Engine, p.store, kms2); err != nil {
		t.Fatal(err)
	}

	p.Lease = p.Engine.Lease(p.Engine.NextGeneration())
	defer p.Lease.Release()
	again := p.pool("kms1.example.org.", "kms4.example.org.")
	again.Enlist(announced(2), nil, false)
	again.Enlist(announced(3), nil, false)
	want(t, "After a reload", hosts(again), "kms1 unchecked, kms4 unchecked, kms2 claimed, kms3 drained by alice: ")
}

// proved is the health of a host that is up.
func proved(t *testing.T) pool.Health {
	t.Helper()
	h, _ := pool.Health{}.Next(pool.Pass, pool.Thresholds{Rise: 1, Fall: 1})
	return h
}

// TestUnreadableRows: a drain is a drain though nobody can say whose; health is forgotten; nothing else suffers.
func TestUnreadableRows(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "kms.db"))
	if err := p.store.Update(func(tx *store.Tx) error {
		return errors.Join(tx.Put(store.Drains, kms1, []byte("{")), tx.Put(store.Health, kms2+" rpc", []byte(`{"kind":"icmp"}`)))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := Drain(p.Engine, p.store, kms3, drainage("alice", "")); err != nil {
		t.Fatal(err)
	}
	stored, err := LoadMemories(p.store)
	if err == nil || !strings.Contains(err.Error(), kms1) || !strings.Contains(err.Error(), kms2) {
		t.Errorf("Got %v, want both rows named", err)
	}
	held, err := HoldPool(p.Lease, block("example.org.", "kms1.example.org.", "kms2.example.org.", "kms3.example.org."), still, stored)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "The pool", hosts(held), "kms1 drained by : , kms2 unchecked, kms3 drained by alice: ")
	if since := held.Hosts()[2].Since; !since.Equal(drainage("", "").At) {
		t.Errorf("kms3 is drained since %s, want the time of the drain", since)
	}
}
