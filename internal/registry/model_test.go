package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// model is what a registry should have, in the plainest way: lists, and copies of all of it. Edits run one after the other,
// so it needs no lock.
type model struct {
	claims    []Claim
	addresses []Address
}

func (m model) copied() model { return model{slices.Clone(m.claims), slices.Clone(m.addresses)} }

func (m *model) put(c Claim, before model, max int) bool {
	same := func(o Claim) bool { return o.Target == c.Target && o.Port == c.Port }
	i := slices.IndexFunc(m.claims, same)
	if i < 0 && len(m.claims) >= max {
		return false
	}
	if j := slices.IndexFunc(before.claims, same); j >= 0 {
		c.Healthy = before.claims[j].Healthy
	}
	if i >= 0 {
		c.Healthy = m.claims[i].Healthy
		m.claims = slices.Delete(m.claims, i, i+1)
	}
	m.claims = append(m.claims, c)
	return true
}

func (m *model) putAddress(a Address, max int) bool {
	names := map[string]time.Time{}
	for _, o := range m.addresses {
		if o.Updated.After(names[o.Name]) {
			names[o.Name] = o.Updated
		}
	}
	all := m.of(a.Name)
	i := slices.IndexFunc(all, func(o Address) bool { return o.IP == a.IP })
	switch {
	case i < 0 && len(all) >= config.MaxAddresses:
		return false
	case len(all) == 0 && len(names) >= 4*max:
		for _, c := range m.claims {
			delete(names, c.Target)
		}
		var victim string
		for name, at := range names {
			if victim == "" || at.Before(names[victim]) || at.Equal(names[victim]) && name < victim {
				victim = name
			}
		}
		if victim == "" {
			return false
		}
		m.addresses = slices.DeleteFunc(m.addresses, func(o Address) bool { return o.Name == victim })
	}
	m.removeAddress(a.Name, a.IP)
	m.addresses = append(m.addresses, a)
	return true
}

func (m *model) removeAddress(name string, ip netip.Addr) {
	m.addresses = slices.DeleteFunc(m.addresses, func(o Address) bool { return o.Name == name && o.IP == ip })
}

func (m *model) of(name string) []Address {
	all := slices.DeleteFunc(slices.Clone(m.addresses), func(o Address) bool { return o.Name != name })
	slices.SortFunc(all, func(a, b Address) int { return a.IP.Compare(b.IP) })
	return all
}

// text is m as book.text has it.
func (m model) text() string {
	b := newBook()
	for _, c := range m.claims {
		b.claims[c.Endpoint()] = c
	}
	for _, a := range m.addresses {
		b.addresses[a.Name] = m.of(a.Name)
	}
	return b.text()
}

// step does one random thing to d and to m alike, and says what is different then.
func step(d *Draft, m *model, before model, max int, rnd *rand.Rand) error {
	n := rnd.IntN(12)
	c := announced(n)
	c.Priority, c.Updated = uint16(rnd.IntN(3)), plain(c.Updated)
	a := record(rnd.IntN(40), address(rnd.IntN(10)))
	a.Updated = plain(a.Updated).Add(time.Duration(rnd.IntN(100)) * time.Minute)
	var got, want bool
	switch rnd.IntN(6) {
	case 0, 1:
		got, want = d.Put(c) == nil, m.put(c, before, max)
	case 2:
		d.Remove(c.Target, c.Port)
		m.claims = slices.DeleteFunc(m.claims, func(o Claim) bool { return o.Target == c.Target })
	case 3, 4:
		got, want = d.PutAddress(a) == nil, m.putAddress(a, max)
	default:
		d.RemoveAddress(a.Name, a.IP)
		m.removeAddress(a.Name, a.IP)
	}
	if got != want {
		return fmt.Errorf("%+v, %+v: accepted %v, want %v", c, a, got, want)
	}
	if _, found := d.Find(c.Target, c.Port); found != slices.ContainsFunc(m.claims, func(o Claim) bool { return o.Target == c.Target }) {
		return fmt.Errorf("%s: found %v", c.Target, found)
	}
	if got := d.Addresses(a.Name); !slices.EqualFunc(got, m.of(a.Name), Address.equal) {
		return fmt.Errorf("got %+v, want %+v", got, m.of(a.Name))
	}
	return nil
}

// TestAgainstAModel: random changes, some of which fail half-way, by several goroutines. What is left is what the model has:
// in memory, in the snapshot, in a pool, and in the store when it is opened again.
func TestAgainstAModel(t *testing.T) {
	const max, workers, changes = 6, 8, 250
	g := start(t, settings(max))
	p := pool.New(nil, config.Default().Probe, (&network{}).means(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	var feeding, working sync.WaitGroup
	feeding.Go(func() { g.feed(ctx, p) })
	var m model
	for worker := range workers {
		working.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(worker)))
			for range changes {
				if err := g.Change(t.Context(), func(d *Draft) error {
					before := m.copied()
					for range 1 + rnd.IntN(6) {
						if err := step(d, &m, before, max, rnd); err != nil {
							t.Error(err)
						}
					}
					if rnd.IntN(4) == 0 {
						m = before
						return errUndo
					}
					return nil
				}); err != nil && !errors.Is(err, errUndo) {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	g.stop()
	if got, want := g.book.text(), m.text(); got != want {
		t.Errorf("Got\n%s\nwant\n%s", got, want)
	}
	slices.SortFunc(m.claims, func(a, b Claim) int { return cmp.Compare(a.Endpoint(), b.Endpoint()) })
	var has, should []string
	for _, h := range p.Hosts() {
		has = append(has, fmt.Sprintf("%s %d given %v", h.Endpoint(), h.Priority, h.Host.Addresses))
	}
	for _, c := range m.claims {
		var given []netip.Addr
		for _, a := range m.of(c.Target) {
			given = append(given, a.IP)
		}
		should = append(should, fmt.Sprintf("%s %d given %v", c.Endpoint(), c.Priority, given))
	}
	if !slices.Equal(has, should) {
		t.Errorf("The pool has\n%s\nwant\n%s", strings.Join(has, "\n"), strings.Join(should, "\n"))
	}
	cancel()
	feeding.Wait()
	g.compare()
}

var errUndo = errors.New("undo")

// TestWhatWasAcknowledgedIsStored: when the store fails in the midst of many changes, exactly those are there that succeeded.
func TestWhatWasAcknowledgedIsStored(t *testing.T) {
	for range 3 {
		g := start(t, settings(10000))
		var mu sync.Mutex
		var acknowledged, failed int
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for n := range 100 {
					err := g.Change(t.Context(), func(d *Draft) error { return d.Put(numbered(worker*1000 + n)) })
					mu.Lock()
					switch {
					case err == nil:
						acknowledged++
					case errors.Is(err, ErrNotStored):
						failed++
					default:
						t.Error(err)
					}
					if acknowledged == 300 {
						g.store.Close()
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		g.compare()
		if n := len(g.Snapshot().Claims); n != acknowledged || failed == 0 {
			t.Errorf("%d hosts, %d changes acknowledged, %d failed", n, acknowledged, failed)
		}
	}
}
