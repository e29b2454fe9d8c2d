package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// Pool is a running pool under the name that metrics and logs call it by: the first zone of the block that started it, with
// a number behind it where another block of the same configuration has that name.
type Pool struct {
	*pool.Pool
	Name string
}

// HoldPool returns the pool of b for l. Blocks that name the same hosts and probe them alike share one, whatever their zones
// and views; a block that changed them in a reload gets a new pool that starts from what running pools know of its hosts.
// means is asked for the ways of a new pool, by its name; stored is what is known of hosts that no running pool knows, and
// who is drained besides.
func HoldPool(l *Lease, b config.Block, means func(name string) pool.Means, stored Memories) (Pool, error) {
	l.engine.Expect(l.generation, b)
	l.engine.deciding.Lock() // or it would start from what another pool knew before it was told of a drain
	defer l.engine.deciding.Unlock()
	return Hold(l, poolKey(b), func() (Pool, func(context.Context), error) {
		name := poolName(b.Zones[0], l.engine.namesOf(l.generation))
		p := pool.New(b.Hosts, b.Probe, means(name), l.engine.remembered(l.generation, b, stored))
		if node, ok := advertised(b); ok {
			p.Advertise(node)
		}
		return Pool{Pool: p, Name: name}, p.Run, nil
	})
}

// poolKey is everything a pool depends on.
func poolKey(b config.Block) string {
	var k strings.Builder
	fmt.Fprintf(&k, "pool %+v", b.Probe)
	if b.Update != nil {
		fmt.Fprintf(&k, " registry %s", RegistryKey(b))
	}
	if node, ok := advertised(b); ok {
		fmt.Fprintf(&k, " node %+v", node)
	}
	for _, h := range b.Hosts {
		fmt.Fprintf(&k, " %s %d %d %v %s", h.Endpoint(), h.Priority, h.Weight, h.Addresses, h.Key)
	}
	return k.String()
}

// RegistryKey is what the announced hosts of b are kept under. The first zone alone counts, so that one more behind it loses
// nobody.
func RegistryKey(b config.Block) string { return config.ServiceName(b.Zones[0]) }

// advertised is this machine as an SRV record, if b has it in the answer.
func advertised(b config.Block) (pool.Record, bool) {
	if b.Responder == nil || b.Responder.Advertise.Name == "" {
		return pool.Record{}, false
	}
	a := b.Responder.Advertise
	_, port, err := config.SplitHost(b.Responder.Address)
	if err != nil {
		return pool.Record{}, false // Validate has refused it
	}
	return pool.Record{Endpoint: fmt.Sprintf("%s:%d", strings.TrimSuffix(a.Name, "."), port), Name: a.Name, Port: port,
		Priority: a.Priority, Weight: a.Weight}, true
}

// Expect tells that the configuration of g is going to hold a pool for b, if it comes that far. Tell it of all blocks before the
// first pool is held: what runs already and is going to be held keeps its name, which no other may get then.
func (e *Engine) Expect(g Generation, b config.Block) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.expected[g] == nil {
		e.expected[g] = make(map[string][]string)
	}
	key, zones := poolKey(b), zonesOf(b)
	if all := e.expected[g][key]; !slices.Contains(all, zones) {
		e.expected[g][key] = append(all, zones)
	}
}

func zonesOf(b config.Block) string { return strings.Join(b.Zones, " ") }

// namesOf is the names of the running pools that a generation holds, or is going to. Those of others are free to be taken
// over: a pool that a reload replaces keeps its name in metrics.
func (e *Engine) namesOf(g Generation) map[string]bool {
	taken := make(map[string]bool)
	for key := range e.expected[g] {
		if t := e.things[key]; t != nil {
			taken[t.value.(Pool).Name] = true
		}
	}
	return taken
}

func poolName(zone string, taken map[string]bool) string {
	base := strings.TrimSuffix(zone, ".")
	if base == "" {
		base = "."
	}
	name := base
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%s#%d", base, n)
	}
	return name
}

// Pools is the pools that configurations hold, in the order of their names. Of two with one name, which there are while a
// reload replaces one by the other, it is the newer. No configuration holds two with one name.
func Pools(e *Engine) []Pool {
	e.mu.Lock()
	defer e.mu.Unlock()
	newest := make(map[string]Pool)
	generation := make(map[string]Generation)
	for l := range e.leases {
		for _, key := range l.keys {
			if p, ok := e.things[key].value.(Pool); ok && l.generation >= generation[p.Name] {
				newest[p.Name], generation[p.Name] = p, l.generation
			}
		}
	}
	return slices.SortedFunc(maps.Values(newest), func(a, b Pool) int { return strings.Compare(a.Name, b.Name) })
}
