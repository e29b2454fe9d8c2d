package pool

import (
	"net/netip"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// Memory is what one pool knows of a host and another may start from: across a reload, and, once stored, a restart. One that
// has nothing but a Drainage says that the host is drained, and nothing else.
type Memory struct {
	Kind      config.ProbeKind // what the state rests on
	Announced bool             // the host was not in the Corefile
	Health    Health
	Drainage  *Drainage // nil if it is not drained, or nobody said who did it
	Addresses []netip.Addr
	Since     time.Time
	Began     time.Time
	Last      probe.Result
	Reason    error
	At        time.Time // when this was true
	Live      Live
}

// Live is what of a Memory is of use within its process alone. It is not stored.
type Live struct {
	Here        bool         // the pool has the host; else it kept this for when it may be announced
	Probing     config.Probe // how the pool that has it asks
	Predecessor bool         // that pool is of the block which this is for; set by who gives it to New
	Suspected   time.Time    // since when that pool has suspected itself; zero if it does not
	Due         time.Time    // when that pool would have asked next, or began to ask if it was asking; zero if the look-up decided
}

// memory is what p knows of h.
func (p *Pool) memory(h *host, now time.Time) Memory {
	live := Live{Here: true, Probing: p.probing, Due: h.due}
	if p.suspicion.active() {
		live.Suspected = p.suspicion.since
	}
	return Memory{Kind: p.probing.Kind, Announced: h.announced, Health: h.health, Drainage: h.drainage, Addresses: h.addresses,
		Since: h.since, Began: h.began, Last: h.last, Reason: h.reason, At: now, Live: live}
}

// fresh is whether what m says of health may be believed by a pool that probes by kind.
func (m Memory) fresh(kind config.ProbeKind, now time.Time) bool {
	age := now.Sub(m.At)
	return age >= 0 && age <= believable && m.Kind == kind
}

// Drained is whether m is of a drained host.
func (m Memory) Drained() bool { return m.Health.drained || m.Drainage != nil }

// Drain is who drained the host that m is of, if somebody did. Of one that nobody said anything of it has the time.
func (m Memory) Drain() (Drainage, bool) {
	if m.Drainage != nil {
		return *m.Drainage, true
	}
	return Drainage{At: m.Since}, m.Health.drained
}

// passedOn is m for a pool that has not got the host: it keeps it for itself and for its own successors.
func (m Memory) passedOn() Memory {
	m.Live.Here, m.Live.Probing, m.Live.Predecessor = false, config.Probe{}, false
	return m
}

// leaving is what remains of m, of a host that is dismissed: that it has everything to prove, which is newer than what other
// pools and the store may have of it; and a person's decision.
func (m Memory) leaving() Memory {
	left := Memory{Kind: m.Kind, Announced: true, Drainage: m.Drainage, At: m.At}
	left.Health = Health{believed: Claimed, drained: m.Health.drained}
	if m.Drained() {
		left.Since = m.Since
	}
	return left
}

// Undrained is m without a drain.
func (m Memory) Undrained() Memory {
	m.Health, _ = m.Health.Next(Undrain, Thresholds{})
	m.Drainage = nil
	return m
}

// recall makes h, a new host, start from m, and reports that, unless m is too old to be believed or rests on another kind of
// probe. Given addresses win over remembered ones. Who has to prove that it serves is not let off by a memory of something else.
func (h *host) recall(m Memory, kind config.ProbeKind, now time.Time) bool {
	believed := m.fresh(kind, now) && h.trusts(m)
	if believed {
		h.health, h.last, h.reason = m.Health, m.Last, m.Reason
		if !m.Since.IsZero() {
			h.since = m.Since
		}
		suspected := m.Live.Suspected
		if suspected.IsZero() {
			suspected = m.Began
		}
		if now.Sub(suspected) < hold {
			// Longer ago it is no reason to suspect ourselves, or each reload would be one again.
			h.began, h.suspected = m.Began, suspected
		}
		h.asked = h.health.believed != Unchecked
		if len(h.Host.Addresses) == 0 && len(m.Addresses) > 0 {
			h.addresses = slices.Clone(m.Addresses)
		}
	}
	if m.Drained() { // a person's decision does not go stale
		h.health.drained, h.drainage = true, m.Drainage
		switch {
		case !m.Since.IsZero():
			h.since = m.Since
		case m.Drainage != nil:
			h.since = m.Drainage.At
		}
	}
	return believed
}

// trusts is whether what m says of health can be taken over. A host of the Corefile is no claim, whatever it was before. A
// claim gives way only to a memory of having proved itself: being up, or whatever came later to a host that announced itself.
func (h *host) trusts(m Memory) bool {
	switch believed := m.Health.believed; {
	case believed == Claimed:
		return h.announced
	case h.health.believed == Claimed:
		return believed == Up || m.Announced && believed != Unchecked
	}
	return true
}

// Merge is the better of two memories of one host for a pool that probes as p says: the one that rests on that kind of probe,
// then on first-hand knowledge, then on the very same probes, whose verdict it would come to itself, then the predecessor's, or
// else the newer; drained if either is.
func (m Memory) Merge(other Memory, p config.Probe) Memory {
	mine, its := m.suits(p), other.suits(p)
	if its > mine || its == mine && other.At.After(m.At) {
		m, other = other, m
	}
	m.Health.drained = m.Health.drained || other.Health.drained
	if m.Drainage == nil {
		m.Drainage = other.Drainage
	}
	return m
}

// suits is how well m suits a pool that probes as p says, as a number that grows with it.
func (m Memory) suits(p config.Probe) int {
	switch {
	case m.Kind != p.Kind:
		return 0
	case !m.Live.Here:
		return 1
	}
	n := 2
	if m.Live.Probing == p {
		n += 2
	}
	if m.Live.Predecessor {
		n++
	}
	return n
}
