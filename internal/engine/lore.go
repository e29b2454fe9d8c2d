package engine

import (
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// lore is which of the running pools know which hosts. It is collected when a configuration holds its first new pool, and serves
// for the others: to ask each running pool for all it knows, for each new one, would take the square of their number, and more.
type lore struct {
	pools     map[string][]keyed // by endpoint: who has the host, or had it announced
	announced map[string]bool    // endpoints of those that announced themselves to some pool
	drains    map[string]pool.Drainage
}

// keyed is a pool with its key.
type keyed struct {
	Pool
	key string
}

// loreFor is the lore for the pools that g is about to hold. The caller holds e.deciding and e.mu.
func (e *Engine) loreFor(g Generation) *lore {
	if e.lore[g] != nil {
		return e.lore[g]
	}
	all := &lore{pools: make(map[string][]keyed), announced: make(map[string]bool), drains: make(map[string]pool.Drainage)}
	for key, t := range e.things {
		if p, ok := t.value.(Pool); ok {
			all.add(keyed{p, key})
		}
	}
	e.lore[g] = all
	return all
}

func (l *lore) add(p keyed) {
	for endpoint, m := range p.Remember() {
		if m.Live.Here || m.Announced {
			l.pools[endpoint] = append(l.pools[endpoint], p)
		}
		if m.Announced {
			l.announced[endpoint] = true
		}
		if d, ok := m.Drain(); ok {
			l.drains[endpoint] = d
		}
	}
}

// of is what the pools that know endpoint know of it now, for a pool that probes as p says; predecessors are the keys of those
// whose word counts more.
func (l *lore) of(endpoint string, p config.Probe, predecessors map[string]bool) (known pool.Memory, ok bool) {
	for _, other := range l.pools[endpoint] {
		m, knows := other.Recall(endpoint)
		if !knows {
			continue
		}
		m.Live.Predecessor = predecessors[other.key]
		if ok {
			m = known.Merge(m, p)
		}
		known, ok = m, true
	}
	return known, ok
}

// forget has the lore collected anew: somebody's drain, or the end of one, may be news. The caller holds e.deciding, so that
// nobody collects it before all are told.
func (e *Engine) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.lore)
}

// predecessors is the keys of the pools that other configurations than that of g have for a block with the zones of b.
func (e *Engine) predecessors(g Generation, b config.Block) map[string]bool {
	all, zones := make(map[string]bool), zonesOf(b)
	for other, blocks := range e.expected {
		if other == g {
			continue
		}
		for key, of := range blocks {
			if slices.Contains(of, zones) {
				all[key] = true
			}
		}
	}
	return all
}

// remembered is what a new pool of b starts from, by endpoint: what running pools know of its hosts, for which pool.Memory.Merge
// says who wins, and of hosts that none of them knows what is stored. Every drain is in it, since a person meant the host wherever
// it turns up. If hosts may announce themselves to b, so is what is known of those that did so before, and of the hosts that
// b had in the Corefile.
func (e *Engine) remembered(g Generation, b config.Block, stored Memories) map[string]pool.Memory {
	known, predecessors := e.loreFor(g), e.predecessors(g, b)
	stored = e.current(stored)
	all := make(map[string]pool.Memory)
	learn := func(endpoint string) {
		m, ok := known.of(endpoint, b.Probe, predecessors)
		if !ok {
			m, ok = stored.health[healthKey{endpoint, b.Probe.Kind}]
		}
		for _, drains := range []map[string]pool.Drainage{known.drains, stored.drains} {
			if d, drained := drains[endpoint]; drained && !m.Drained() {
				if !ok {
					m.Since = d.At
				}
				m.Drainage, ok = &d, true
			}
		}
		if ok {
			all[endpoint] = m
		}
	}
	for _, h := range b.Hosts {
		learn(h.Endpoint())
	}
	for _, drains := range []map[string]pool.Drainage{known.drains, stored.drains} {
		for endpoint := range drains {
			learn(endpoint)
		}
	}
	if b.Update == nil {
		return all
	}
	for endpoint := range known.announced {
		learn(endpoint)
	}
	for key := range predecessors {
		if t := e.things[key]; t != nil {
			for _, h := range t.value.(Pool).Hosts() {
				learn(h.Endpoint())
			}
		}
	}
	for key, m := range stored.health {
		if m.Announced && key.kind == b.Probe.Kind {
			learn(key.endpoint)
		}
	}
	return all
}
