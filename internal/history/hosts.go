package history

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// Bounds of Hosts.
const (
	Minutes        = 60  // of latency that are kept of a host
	MaxTransitions = 50  // of one host
	MaxEvents      = 100 // transitions of all hosts together

	maxHosts = 2048 // of all pools; one takes some five kilobytes
	maxCodes = 16   // kinds of failures of one host
)

// Minute is the probes of one host that ended within one minute. Times are of those that passed.
type Minute struct {
	Start          time.Time
	Min, Max, Sum  time.Duration
	Passed, Failed int
}

// Mean is the average time of the probes that passed, 0 if none did.
func (m Minute) Mean() time.Duration {
	if m.Passed == 0 {
		return 0
	}
	return m.Sum / time.Duration(m.Passed)
}

// Event is a change of a host's state.
type Event struct {
	At   time.Time
	Pool string
	pool.Transition
}

// Failure is how often requests to a host ended in one way that is no success.
type Failure struct {
	Code  string // an HRESULT as 0xC004F042, or the word of an outcome
	Count uint64
	Last  time.Time
}

// Past is what is remembered of one host.
type Past struct {
	Minutes     []Minute // of the last hour, oldest first; minutes without a probe are missing
	Transitions []Event  // newest first
	Served      uint64   // calls that it took, since the start of the process
	LastServed  time.Time
	Count       uint32    // of clients, as it last answered it
	CountAt     time.Time // when that was; zero if it never did
	Failures    []Failure // most frequent first
}

// Hosts is the past of all hosts. Its zero value is empty and ready; any number of goroutines may use it.
type Hosts struct {
	mu     sync.Mutex // guards what follows
	hosts  map[hostKey]*host
	events []Event // oldest first
}

type hostKey struct{ pool, endpoint string }

type host struct {
	touched     time.Time
	minutes     [Minutes]Minute // by the minute's number modulo Minutes
	transitions []Event         // oldest first
	served      uint64
	lastServed  time.Time
	count       uint32
	countAt     time.Time
	failures    map[string]*Failure
}

// of is the host of that name, a new one if it is not known.
func (h *Hosts) of(pool, endpoint string, now time.Time) *host {
	key := hostKey{pool, endpoint}
	one := h.hosts[key]
	if one == nil {
		if h.hosts == nil {
			h.hosts = make(map[hostKey]*host)
		}
		if len(h.hosts) >= maxHosts {
			h.dropOldest()
		}
		one = new(host)
		h.hosts[key] = one
	}
	one.touched = now
	return one
}

func (h *Hosts) dropOldest() {
	var oldest hostKey
	var at time.Time
	for key, one := range h.hosts {
		if at.IsZero() || one.touched.Before(at) {
			oldest, at = key, one.touched
		}
	}
	delete(h.hosts, oldest)
}

// Probed remembers a probe that ended at now.
func (h *Hosts) Probed(pool, endpoint string, r probe.Result, now time.Time) {
	start := now.Truncate(time.Minute)
	h.mu.Lock()
	defer h.mu.Unlock()
	m := &h.of(pool, endpoint, now).minutes[start.Unix()/60%Minutes]
	if !m.Start.Equal(start) {
		*m = Minute{Start: start}
	}
	switch {
	case r.Outcome != probe.Passed:
		m.Failed++
		return
	case m.Passed == 0:
		m.Min, m.Max = r.RTT, r.RTT
	}
	m.Min, m.Max = min(m.Min, r.RTT), max(m.Max, r.RTT)
	m.Sum += r.RTT
	m.Passed++
}

// Changed remembers a transition that happened at now.
func (h *Hosts) Changed(pool string, t pool.Transition, now time.Time) {
	e := Event{At: now, Pool: pool, Transition: t}
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.of(pool, t.Host, now)
	one.transitions = push(one.transitions, e, MaxTransitions)
	h.events = push(h.events, e, MaxEvents)
}

// push appends e and drops the oldest above max.
func push(all []Event, e Event, max int) []Event {
	if len(all) == max {
		copy(all, all[1:])
		all = all[:max-1]
	}
	return append(all, e)
}

// Served remembers that a host took a call at now. count is what it says that it counts, 0 if that cannot be seen.
func (h *Hosts) Served(pool, endpoint string, count uint32, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.of(pool, endpoint, now)
	one.served++
	one.lastServed = now
	if count > 0 {
		one.count, one.countAt = count, now
	}
}

// Failed remembers that asking a host in a call ended with code at now.
func (h *Hosts) Failed(pool, endpoint, code string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.of(pool, endpoint, now)
	if one.failures[code] == nil {
		if one.failures == nil {
			one.failures = make(map[string]*Failure)
		}
		if len(one.failures) >= maxCodes {
			return // what a host makes up is not worth more
		}
		one.failures[code] = &Failure{Code: code}
	}
	one.failures[code].Count++
	one.failures[code].Last = now
}

// Forget drops what is known of a host that is no more. The transitions of all hosts keep theirs.
func (h *Hosts) Forget(pool, endpoint string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.hosts, hostKey{pool, endpoint})
}

// Past is what is remembered of a host at now.
func (h *Hosts) Past(pool, endpoint string, now time.Time) Past {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.hosts[hostKey{pool, endpoint}]
	if one == nil {
		return Past{}
	}
	p := Past{Transitions: slices.Clone(one.transitions), Served: one.served, LastServed: one.lastServed,
		Count: one.count, CountAt: one.countAt}
	slices.Reverse(p.Transitions)
	for _, m := range one.minutes {
		if age := now.Sub(m.Start); age >= 0 && age < Minutes*time.Minute {
			p.Minutes = append(p.Minutes, m)
		}
	}
	slices.SortFunc(p.Minutes, func(a, b Minute) int { return a.Start.Compare(b.Start) })
	for _, f := range one.failures {
		p.Failures = append(p.Failures, *f)
	}
	slices.SortFunc(p.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code))
	})
	return p
}

// Events is the last transitions of all hosts, newest first.
func (h *Hosts) Events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.events)
	slices.Reverse(all)
	return all
}
