package pool

import (
	"net/netip"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// host is one KMS host of a pool: what it is, what is believed of it, and when it is asked next. Its pool's lock guards it.
type host struct {
	config.Host
	health    Health
	addresses []netip.Addr // replaced as a whole, never changed: snapshots share it
	since     time.Time    // when the state last changed
	began     time.Time    // start of the failure that ended Up; zero while it does not fail, or if it was not up before
	asked     bool         // a probe, or the look-up before it, has ended at least once, or another pool's knowledge was taken over
	last      probe.Result // of the last probe that ended
	reason    error        // the last failure that counted, nil since the last pass

	started    time.Time // of the last probe
	due        time.Time // of the next probe
	probing    bool
	again      bool      // ask once more, soon after the probe under way
	lookupDue  time.Time // zero for a host whose addresses are given
	resolving  bool
	lookups    int   // failed look-ups while no address is known
	unresolved error // why the last look-up failed
}

// Status is what is known of one host, for people and for metrics.
type Status struct {
	config.Host
	State      State
	Since      time.Time    // when it took this state
	Addresses  []netip.Addr // that are asked and answered; not to be changed
	Last       probe.Result // of the last probe; its Start is zero before the first
	Reason     error        // why it is suspect or down; nil if the last probe passed
	Unresolved error        // why its name did not resolve at the last try; nil if it did
	Next       time.Time    // when it is asked next, at the latest
}

// lost is whether h is unchecked because its name does not resolve.
func (h *host) lost() bool {
	return h.health.believed == Unchecked && h.unresolved != nil && len(h.addresses) == 0
}

func (h *host) status() Status {
	return Status{Host: h.Host, State: h.health.State(), Since: h.since, Addresses: h.addresses, Last: h.last,
		Reason: h.reason, Unresolved: h.unresolved, Next: h.due}
}

// take applies e and reports a change of state. at is when what e tells began.
func (h *host) take(e Event, t Thresholds, at, now time.Time) (Transition, bool) {
	before := h.health
	next, changed := before.Next(e, t)
	h.health = next
	switch {
	case next.believed == Up:
		h.began = time.Time{}
	case before.believed == Up && e == Fail:
		h.began = at
	}
	if !changed {
		return Transition{}, false
	}
	t0 := h.since
	h.since = now
	return Transition{Host: h.Endpoint(), From: before.State(), To: next.State(), After: now.Sub(t0), Reason: h.reason}, true
}

// Memory is what one pool knows of a host and another may start from: across a reload, and, once stored, a restart.
type Memory struct {
	Kind      config.ProbeKind // what the state rests on
	Health    Health
	Addresses []netip.Addr
	Since     time.Time
	Began     time.Time
	Last      probe.Result
	Reason    error
	At        time.Time // when this was true
}

func (h *host) memory(kind config.ProbeKind, now time.Time) Memory {
	return Memory{Kind: kind, Health: h.health, Addresses: h.addresses, Since: h.since, Began: h.began, Last: h.last,
		Reason: h.reason, At: now}
}

// recall makes h start from m, unless m is too old to be believed or rests on another kind of probe. Given addresses win
// over remembered ones.
func (h *host) recall(m Memory, kind config.ProbeKind, now time.Time) {
	age := now.Sub(m.At)
	if m.Health.drained { // a person's decision does not go stale
		h.health.drained, h.since = true, m.Since
	}
	if age < 0 || age > fresh || m.Kind != kind {
		return
	}
	h.health, h.since, h.last, h.reason = m.Health, m.Since, m.Last, m.Reason
	if now.Sub(m.Began) < hold {
		h.began = m.Began // longer ago it is no reason to suspect ourselves, or each reload would be one again
	}
	h.asked = h.health.believed != Unchecked
	if len(h.Host.Addresses) == 0 {
		h.addresses = slices.Clone(m.Addresses)
	}
}

// Merge is the better of two memories of one host for a pool that probes by kind, drained if either is.
func (m Memory) Merge(other Memory, kind config.ProbeKind) Memory {
	if m.Kind != kind && other.Kind == kind {
		m, other = other, m
	}
	m.Health.drained = m.Health.drained || other.Health.drained
	return m
}
