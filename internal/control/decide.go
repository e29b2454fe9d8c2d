package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// drain is POST /v1/drain.
func (s *Server) drain(in Request, by string) (Decision, error) {
	known := s.known()
	endpoint, err := match(in.Host, slices.Collect(maps.Keys(known)))
	if err != nil {
		return Decision{}, err
	}
	d := pool.Drainage{By: by, Why: clean(in.Why, maxWhy), At: time.Now().Round(time.Second)}
	k := s.kept()
	pools, err := engine.Drain(s.Engine, k.store, endpoint, d)
	out, failed := k.decision(endpoint, pools, err)
	switch {
	case errors.Is(failed, engine.ErrNoStore):
		out.Notes = append(out.Notes, "it lasts until the server is restarted: there is no store in the Corefile")
	case failed != nil:
		out.Warnings = append(out.Warnings, fmt.Sprintf("it lasts until the server is restarted: it could not be stored: %v", failed))
	}
	if before := known[endpoint]; before != nil {
		out.Notes = append(out.Notes, "it was drained already, "+describe(*before))
	}
	for _, p := range pools {
		if w := left(p); w != "" {
			out.Warnings = append(out.Warnings, w)
		}
	}
	s.Log(logLine(endpoint, "drained", by, in.Why))
	return out, nil
}

// undrain is POST /v1/undrain.
func (s *Server) undrain(in Request, by string) (Decision, error) {
	known, k := s.known(), s.kept()
	stored, err := engine.LoadDrains(k.store)
	if err != nil {
		stored = make(map[string]pool.Drainage) // what is in a pool can be put back all the same
	}
	maps.Copy(stored, engine.Drained(s.Engine)) // without a store, the pools alone know of hosts that are away
	for endpoint, d := range stored {
		if _, ok := known[endpoint]; !ok {
			known[endpoint] = &d
		}
	}
	endpoint, err := match(in.Host, slices.Collect(maps.Keys(known)))
	if err != nil {
		return Decision{}, err
	}
	pools, err := engine.Undrain(s.Engine, k.store, endpoint)
	out, failed := k.decision(endpoint, pools, err)
	switch {
	case errors.Is(failed, engine.ErrNoStore): // nothing would bring the drain back
		out.Kept = true
	case failed != nil:
		out.Warnings = append(out.Warnings, fmt.Sprintf("it may be drained again when the server is restarted: that it is not could "+
			"not be stored: %v", failed))
	}
	if before := known[endpoint]; before != nil {
		out.Notes = append(out.Notes, "it was drained "+describe(*before))
	} else {
		out.Notes = append(out.Notes, "it was not drained")
	}
	if len(pools) == 0 {
		out.Notes = append(out.Notes, "no pool has it now")
	}
	s.Log(logLine(endpoint, "put back", by, in.Why))
	return out, nil
}

// logLine is one decision. The state that follows from it has a line of its own.
func logLine(endpoint, what, by, why string) string {
	line := fmt.Sprintf("control: %s is %s by %q", endpoint, what, by)
	if why = clean(why, maxWhy); why != "" {
		line += fmt.Sprintf(", who says %q", why)
	}
	return line
}

// known is every host of every pool, and who drained it.
func (s *Server) known() map[string]*pool.Drainage {
	all := make(map[string]*pool.Drainage)
	for _, p := range engine.Pools(s.Engine) {
		for _, h := range p.Hosts() {
			if all[h.Endpoint()] == nil {
				all[h.Endpoint()] = h.Drainage
			}
		}
	}
	return all
}

// decision is what to tell of something that was done. failed is why it is not kept: err, or what is wrong with the store.
func (k keeping) decision(endpoint string, pools []engine.Pool, err error) (out Decision, failed error) {
	out = Decision{Version: Version, Host: endpoint, Pools: []string{}, Kept: err == nil}
	for _, p := range pools {
		out.Pools = append(out.Pools, p.Name)
	}
	slices.Sort(out.Pools)
	out.Pools = slices.Compact(out.Pools) // a reload may be replacing one by another
	if errors.Is(err, engine.ErrNoStore) && k.broken != nil {
		err = k.broken
	}
	return out, err
}

// describe is d in words.
func describe(d pool.Drainage) string {
	text := "by " + d.By + " on " + d.At.UTC().Format("2006-01-02 15:04 UTC")
	if d.By == "" {
		text = "by nobody knows whom"
	}
	if d.Why != "" {
		text += ": " + d.Why
	}
	return text
}

// left is what to say if p has nobody left to answer with.
func left(p engine.Pool) string {
	switch s := p.Snapshot(); {
	case len(s.Records) == 0:
		return fmt.Sprintf("every host of pool %s is drained: its answer is empty, and clients that see that wait for two hours", p.Name)
	case s.Condition == pool.AllDown:
		return fmt.Sprintf("no host that is left in pool %s is up: its answer is what all_down says", p.Name)
	}
	return ""
}
