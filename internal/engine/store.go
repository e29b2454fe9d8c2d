package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/store"
)

// HoldStore returns the store at path, an absolute one, and keeps it open for as long as l lives. Hold it before what keeps
// something in it: what is held last is stopped first.
func HoldStore(l *Lease, path string) (*store.Store, error) {
	return Hold(l, "store "+path, func() (*store.Store, func(context.Context), error) {
		st, err := store.Open(path)
		if err != nil {
			return nil, nil, err
		}
		return st, func(ctx context.Context) {
			<-ctx.Done()
			st.Close() // every change is on the disk already
		}, nil
	})
}

// Memories is what a store has of hosts. The zero value has nothing.
type Memories struct {
	health map[healthKey]pool.Memory
	drains map[string]pool.Drainage
}

type healthKey struct {
	endpoint string
	kind     config.ProbeKind
}

// LoadMemories is what st, which may be nil, has of hosts. What cannot be read is left out, and is an error beside the rest;
// but a drain whose circumstances cannot be read is a drain.
func LoadMemories(st *store.Store) (Memories, error) {
	if st == nil {
		return Memories{}, nil
	}
	m := Memories{health: make(map[healthKey]pool.Memory)}
	var errs []error
	err := st.View(func(tx *store.Tx) error {
		return tx.Each(store.Health, func(key string, value []byte) error {
			var one pool.Memory
			if err := json.Unmarshal(value, &one); err != nil {
				errs = append(errs, fmt.Errorf("store %s: health of %q: %w", st.Path(), key, err))
				return nil
			}
			endpoint, ok := healthEndpoint(key, one.Kind)
			if ok {
				m.health[healthKey{endpoint, one.Kind}] = one.Undrained()
			}
			return nil
		})
	})
	drains, drainsErr := LoadDrains(st)
	m.drains = drains
	return m, errors.Join(append(errs, err, drainsErr)...)
}

// current is m, which was read a moment ago, without the drains that somebody took back since. The caller holds e.deciding.
func (e *Engine) current(m Memories) Memories {
	drains := maps.Clone(m.drains)
	maps.DeleteFunc(drains, func(endpoint string, d pool.Drainage) bool { return e.isBack(endpoint, d) })
	return Memories{health: m.health, drains: drains}
}

// SaveMemories makes st have what the pools of e know of their hosts now, and nothing older. Drains are not part of it: those
// are stored when they are made, and one that was taken back must not come again with an old state of health.
func SaveMemories(st *store.Store, e *Engine) error {
	now := make(map[string]pool.Memory)
	for _, p := range Each[Pool](e) {
		for endpoint, m := range p.Remember() {
			key := endpoint + " " + m.Kind.String()
			if earlier, ok := now[key]; ok {
				m = earlier.Merge(m, config.Probe{Kind: m.Kind})
			}
			now[key] = m.Undrained()
		}
	}
	return st.Update(func(tx *store.Tx) error {
		err := tx.Each(store.Health, func(key string, _ []byte) error {
			if _, ok := now[key]; ok {
				return nil
			}
			return tx.Delete(store.Health, key)
		})
		if err != nil {
			return err
		}
		for key, m := range now {
			value, err := json.Marshal(m)
			if err != nil {
				return err
			}
			if err := tx.Put(store.Health, key, value); err != nil {
				return err
			}
		}
		return nil
	})
}

// healthEndpoint is the endpoint of a key of store.Health whose value is of kind.
func healthEndpoint(key string, kind config.ProbeKind) (string, bool) {
	suffix := " " + kind.String()
	if len(key) <= len(suffix) || key[len(key)-len(suffix):] != suffix {
		return "", false
	}
	return key[:len(key)-len(suffix)], true
}
