package status

import (
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// host is h, of pool p, as it is shown.
func (m *moment) host(p engine.Pool, h pool.Status) Host {
	past := m.HostHistory.Past(p.Name, h.Endpoint(), m.now)
	out := Host{
		Endpoint: h.Endpoint(), State: h.State.String(), Since: h.Since, Why: m.stateWhy(h), Priority: h.Priority, Weight: h.Weight,
		Key: h.Key.String(), Addresses: texts(h.Addresses), Announced: h.Announced, Probed: h.Last.Start, RTT: h.Last.RTT.Seconds(),
		Next: h.Next, Syntax: h.Last.Syntax, Served: past.Served, LastServed: past.LastServed, Count: past.Count, CountAt: past.CountAt,
		Errors: []Errors{}, Latency: m.latency(past, h.State), Transitions: []Event{},
	}
	if h.Reason != nil || h.Unresolved != nil {
		out.Error = reason(h)
	}
	if h.Drainage != nil {
		out.Drained = &Drainage{By: line(h.Drainage.By), Why: line(h.Drainage.Why), At: h.Drainage.At}
	}
	if m.book != nil {
		out.Clients, out.Homes = m.book.Clients(h.Endpoint()), m.book.Homes(h.Endpoint())
	}
	for _, f := range past.Failures {
		out.Errors = append(out.Errors, Errors{Code: f.Code, Text: codeWords(f.Code), Count: f.Count, Last: f.Last})
	}
	for _, e := range past.Transitions {
		out.Transitions = append(out.Transitions, event(e))
	}
	return out
}

// stateWhy is h's state in a sentence.
func (m *moment) stateWhy(h pool.Status) string {
	since := span(m.now.Sub(h.Since))
	switch h.State {
	case pool.Up:
		if h.Reason != nil {
			return "up for " + since + "; it served a client although its last probe failed"
		}
		return "up for " + since
	case pool.Suspect:
		return "it fails since " + since + ", not often enough to be sure: " + reason(h)
	case pool.Down:
		return "down for " + since + ": " + reason(h)
	case pool.Claimed:
		return "announced " + since + " ago, and did not pass its checks yet: " + reason(h)
	case pool.Drained:
		return drainedWhy(h)
	}
	if lost(h) {
		return "its name does not resolve, so it was never asked: " + reason(h)
	}
	return "not asked yet"
}

// latency is the last hour, or since the server started: a Point for each minute, also for those in which nobody asked.
func (m *moment) latency(past history.Past, now pool.State) []Point {
	all := make([]Point, 0, history.Minutes)
	known := past.Minutes
	started := m.now.Add(-m.now.Sub(m.Server.Started)) // by the clock as it is now, which may have been set since
	for n := history.Minutes - 1; n >= 0; n-- {
		start := m.now.Truncate(time.Minute).Add(-time.Duration(n) * time.Minute)
		end := start.Add(time.Minute)
		if !end.After(started) {
			continue
		}
		p := Point{At: start, State: stateAt(past.Transitions, now, end).String()}
		for len(known) > 0 && known[0].Start.Before(start) { // the clock was set
			known = known[1:]
		}
		if len(known) > 0 && known[0].Start.Equal(start) {
			k := known[0]
			known = known[1:]
			p.Min, p.Mean, p.Max, p.Passed, p.Failed = k.Min.Seconds(), k.Mean().Seconds(), k.Max.Seconds(), k.Passed, k.Failed
		}
		all = append(all, p)
	}
	return all
}

// stateAt is the state of a host at a time: what the last transition before led to, or, before the first that is known, what
// that led from. transitions are the newest first; now is the present state.
func stateAt(transitions []history.Event, now pool.State, at time.Time) pool.State {
	i := slices.IndexFunc(transitions, func(e history.Event) bool { return e.At.Before(at) })
	switch {
	case i >= 0:
		return transitions[i].To
	case len(transitions) > 0:
		return transitions[len(transitions)-1].From
	}
	return now
}
