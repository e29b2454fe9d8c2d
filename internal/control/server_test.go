package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

// quiet hears nothing.
type quiet struct{}

func (quiet) Probed(string, probe.Result) {}

func (quiet) Changed(pool.Transition) {}

func (quiet) Resolved(string, error) {}

func (quiet) Settled(from, c pool.Condition, _ time.Duration) {}

// still is the world of a pool whose probes and look-ups wait for ever.
func still(string) pool.Means {
	return pool.Means{
		Probe: func(ctx context.Context, _ []netip.Addr, _ uint16) probe.Result {
			<-ctx.Done()
			return probe.Result{Outcome: probe.Local, Err: ctx.Err()}
		},
		Resolve:  func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() },
		Observer: quiet{},
		Jitter:   func() float64 { return 0 },
	}
}

// running is a server with pools.
type running struct {
	t      *testing.T
	engine *engine.Engine
	lease  *engine.Lease
	store  *store.Store
	server *Server
	socket string
	Client

	mu   sync.Mutex
	logs []string
}

// serve starts a server. withStore is whether it has a store.
func serve(t *testing.T, withStore bool) *running {
	t.Helper()
	e := engine.New()
	r := &running{t: t, engine: e, lease: e.Lease(e.NextGeneration()), socket: socketPath(t)}
	r.Client = Client{Socket: r.socket}
	t.Cleanup(r.lease.Release)
	if withStore {
		var err error
		if r.store, err = engine.HoldStore(r.lease, filepath.Join(t.TempDir(), "kms.db")); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{Engine: e, Log: func(line string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.logs = append(r.logs, line)
	}}
	s.Keep(r.store, nil)
	r.server = s
	ln := listen(t, r.socket)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		serving.Wait()
		if _, err := os.Lstat(r.socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("The server ended and left its socket: %v", err)
		}
	})
	return r
}

func (r *running) pool(zone string, endpoints ...string) engine.Pool {
	r.t.Helper()
	b := config.Default()
	b.Zones = []string{zone}
	for i, e := range endpoints {
		h, err := config.ParseHost(e)
		if err != nil {
			r.t.Fatal(err)
		}
		h.Priority, h.Weight = uint16(i), 7
		b.Hosts = append(b.Hosts, h)
	}
	p, err := engine.HoldPool(r.lease, b, still, engine.Memories{})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

func TestDrainOverTheSocket(t *testing.T) {
	r := serve(t, true)
	a := r.pool("example.org.", "kms1.example.org", "kms2.example.org", "kms2.example.org:1689")
	b := r.pool("example.net.", "kms2.example.org")
	d, err := r.Drain(t.Context(), Request{Host: "KMS2.example.org.:1688", Why: "new\ndisks\x1b[31m", By: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Host != "kms2.example.org:1688" || fmt.Sprint(d.Pools) != "[example.net example.org]" || !d.Kept || len(d.Notes) > 0 {
		t.Errorf("Drained: %+v", d)
	}
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "every host of pool example.net is drained") {
		t.Errorf("Warnings %q, want one for the pool that has nobody left", d.Warnings)
	}
	by := me(t) + " (alice)"
	for _, p := range []engine.Pool{a, b} {
		i := slices.IndexFunc(p.Hosts(), func(h pool.Status) bool { return h.Endpoint() == d.Host })
		if h := p.Hosts()[i]; h.State != pool.Drained || h.Drainage == nil || h.Drainage.By != by || h.Drainage.Why != "new disks [31m" {
			t.Errorf("Pool %s has %+v, %+v", p.Name, h.State, h.Drainage)
		}
	}
	stored, err := engine.LoadDrains(r.store)
	if s := stored[d.Host]; err != nil || len(stored) != 1 || s.By != by || time.Since(s.At) > time.Minute {
		t.Errorf("Stored: %+v, %v", stored, err)
	}
	again, err := r.Drain(t.Context(), Request{Host: d.Host})
	if err != nil || len(again.Notes) != 1 || !strings.Contains(again.Notes[0], "drained already, by "+by) {
		t.Errorf("Again: %+v, %v", again, err)
	}
	back, err := r.Undrain(t.Context(), Request{Host: d.Host, Why: "done"})
	if err != nil || !back.Kept || len(back.Warnings) > 0 || len(back.Notes) != 1 || !strings.Contains(back.Notes[0], "it was drained by") {
		t.Errorf("Put back: %+v, %v", back, err)
	}
	if stored, err := engine.LoadDrains(r.store); len(stored) > 0 || err != nil {
		t.Errorf("Still stored: %+v, %v", stored, err)
	}
	if back, err = r.Undrain(t.Context(), Request{Host: d.Host}); err != nil || fmt.Sprint(back.Notes) != "[it was not drained]" {
		t.Errorf("Put back again: %+v, %v", back, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.logs) != 4 || r.logs[0] != fmt.Sprintf("control: kms2.example.org:1688 is drained by %q, who says %q", by, "new disks [31m") {
		t.Errorf("Logged %q", r.logs)
	}
}

func TestWithoutAStore(t *testing.T) {
	r := serve(t, false)
	r.pool("example.org.", "kms1.example.org", "kms2.example.org")
	d, err := r.Drain(t.Context(), Request{Host: "kms1.example.org"})
	if err != nil || d.Kept || len(d.Warnings) > 0 || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "no store") {
		t.Errorf("Without a store: %+v, %v", d, err)
	}
	d, err = r.Undrain(t.Context(), Request{Host: "kms1.example.org"})
	if err != nil || !d.Kept || len(d.Warnings) > 0 || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "it was drained by") {
		t.Errorf("Put back without a store: %+v, %v", d, err)
	}
	if d, err = r.Undrain(t.Context(), Request{Host: "kms1.example.org"}); err != nil || fmt.Sprint(d.Notes) != "[it was not drained]" {
		t.Errorf("Put back again: %+v, %v", d, err)
	}
	r.server.Keep(nil, errors.New("it is damaged"))
	d, err = r.Undrain(t.Context(), Request{Host: "kms1.example.org"})
	if err != nil || d.Kept || len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "it may be drained again") || !strings.Contains(d.Warnings[0], "it is damaged") {
		t.Errorf("With a store that could not be opened: %+v, %v", d, err)
	}
	if h, err := r.Hosts(t.Context()); err != nil || h.Note != "it is damaged" {
		t.Errorf("Hosts: %+v, %v", h, err)
	}
	broken := serve(t, true)
	broken.pool("example.org.", "kms1.example.org", "kms2.example.org")
	broken.store.Close()
	d, err = broken.Drain(t.Context(), Request{Host: "kms1.example.org"})
	if err != nil || d.Kept || len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], "it is closed") {
		t.Errorf("With a store that takes nothing: %+v, %v", d, err)
	}
	h, err := broken.Hosts(t.Context())
	if err != nil || h.Pools[0].Hosts[0].State != "drained" || !strings.Contains(h.Note, "it is closed") {
		t.Errorf("Hosts: %+v, %v", h, err)
	}
}

// TestAbsentWithoutAStore: the drain of a host that went away is in force, so it can be seen and taken back.
func TestAbsentWithoutAStore(t *testing.T) {
	r := serve(t, false)
	p := r.pool("example.org.", "kms1.example.org")
	p.Enlist(config.Host{Name: "kms9.example.org.", Port: 1688}, nil, true)
	if _, err := r.Drain(t.Context(), Request{Host: "kms9.example.org", Why: "disks"}); err != nil {
		t.Fatal(err)
	}
	p.Dismiss("kms9.example.org:1688")
	if h, err := r.Hosts(t.Context()); err != nil || len(h.Absent) != 1 || h.Absent[0].Why != "disks" {
		t.Errorf("Absent: %+v, %v", h.Absent, err)
	}
	if _, err := r.Undrain(t.Context(), Request{Host: "kms9.example.org"}); err != nil {
		t.Fatal(err)
	}
	p.Enlist(config.Host{Name: "kms9.example.org.", Port: 1688}, nil, true)
	if got := p.Hosts()[1].State; got != pool.Claimed { // who left has everything to prove
		t.Errorf("Back again it is %s", got)
	}
}

func TestHosts(t *testing.T) {
	r := serve(t, true)
	p := r.pool("example.org.", "kms1.example.org", "192.0.2.10:1700")
	p.Served("192.0.2.10:1700")
	p.Enlist(config.Host{Name: "kms9.example.org.", Port: 1688}, []netip.Addr{netip.MustParseAddr("192.0.2.9")}, false)
	if _, err := engine.Drain(r.engine, r.store, "gone.example.org:1688", pool.Drainage{By: "bob", Why: "sold", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Drain(t.Context(), Request{Host: "kms1.example.org", Why: "disks"}); err != nil {
		t.Fatal(err)
	}
	h, err := r.Hosts(t.Context())
	if err != nil || len(h.Pools) != 1 || len(h.Pools[0].Hosts) != 3 || len(h.Absent) != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	one, two, three := h.Pools[0].Hosts[0], h.Pools[0].Hosts[1], h.Pools[0].Hosts[2]
	if one.State != "drained" || one.Drained == nil || one.Drained.By != me(t) || one.Drained.Why != "disks" || one.Announced {
		t.Errorf("The drained one: %+v", one)
	}
	if two.Endpoint != "192.0.2.10:1700" || two.State != "up" || two.Priority != 1 || two.Weight != 7 || fmt.Sprint(two.Addresses) != "[192.0.2.10]" || two.Drained != nil {
		t.Errorf("The one that is up: %+v", two)
	}
	if three.State != "claimed" || !three.Announced || !three.Probed.IsZero() {
		t.Errorf("The announced one: %+v", three)
	}
	if a := h.Absent[0]; a.Endpoint != "gone.example.org:1688" || a.By != "bob" || a.Why != "sold" {
		t.Errorf("The absent one: %+v", a)
	}
	// An absent one can be put back, and no absent one can be drained.
	if _, err := r.Drain(t.Context(), Request{Host: "gone.example.org"}); err == nil || !strings.Contains(err.Error(), "no host") {
		t.Errorf("Draining a host that is in no pool: %v", err)
	}
	if d, err := r.Undrain(t.Context(), Request{Host: "gone.example.org"}); err != nil || len(d.Pools) > 0 || !slices.Contains(d.Notes, "no pool has it now") {
		t.Errorf("Putting it back: %+v, %v", d, err)
	}
	if h, err = r.Hosts(t.Context()); err != nil || len(h.Absent) > 0 {
		t.Errorf("After that: %+v, %v", h.Absent, err)
	}
}
