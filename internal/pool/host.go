package pool

import (
	"context"
	"net/netip"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// host is one KMS host of a pool: what it is, what is believed of it, and when it is asked next. Its pool's lock guards it.
type host struct {
	config.Host                    // Name and Port never change
	announced   bool               // it is here by Enlist, not by the Corefile
	life        context.Context    // of an announced host: done once it was dismissed, and with it what is under way
	dismiss     context.CancelFunc // ends life
	health      Health
	drainage    *Drainage    // replaced as a whole, never changed; nil unless drained
	addresses   []netip.Addr // replaced as a whole, never changed: snapshots share it
	hinted      bool         // addresses are not resolved but what whoever announced the host had
	since       time.Time    // when the state last changed
	began       time.Time    // start of the failure that ended Up; zero while it does not fail, or if it was not up before
	suspected   time.Time    // since when another pool, which began is from, suspected itself; zero if began is not from another
	asked       bool         // a probe, or the look-up before it, has ended at least once, or another pool's knowledge was taken over
	last        probe.Result // of the last probe that ended
	reason      error        // the last failure that counted, nil since the last pass

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
	Announced  bool // it announced itself, and is not in the Corefile
	State      State
	Drainage   *Drainage    // who drained it and why, not to be changed; nil if it is not drained, or nobody said
	Since      time.Time    // when it took this state
	Addresses  []netip.Addr // that are asked and answered; not to be changed
	Last       probe.Result // of the last probe; its Start is zero before the first
	Reason     error        // why it is suspect or down; nil if the last probe passed
	Unresolved error        // why its name did not resolve at the last try; nil if it did
	Next       time.Time    // when it is asked next, at the latest
}

// waited is whether the first round is over as far as h goes. It never waits for a claim: anybody may make one.
func (h *host) waited() bool { return h.asked || h.health.believed == Claimed }

// gone is whether h was dismissed: then nothing that was under way counts any more.
func (h *host) gone() bool { return h.announced && h.life.Err() != nil }

// lost is whether h is unchecked because its name does not resolve.
func (h *host) lost() bool {
	return h.health.believed == Unchecked && h.unresolved != nil && len(h.addresses) == 0
}

func (h *host) status() Status {
	return Status{Host: h.Host, Announced: h.announced, State: h.health.State(), Drainage: h.drainage, Since: h.since,
		Addresses: h.addresses, Last: h.last, Reason: h.reason, Unresolved: h.unresolved, Next: h.due}
}

// take applies e and reports a change of state. at is when what e tells began.
func (h *host) take(e Event, t Thresholds, at, now time.Time) (Transition, bool) {
	before := h.health
	next, changed := before.Next(e, t)
	h.health = next
	switch {
	case next.believed == Up:
		h.began, h.suspected = time.Time{}, time.Time{}
	case before.believed == Up && e == Fail:
		h.began, h.suspected = at, time.Time{}
	}
	if !changed {
		return Transition{}, false
	}
	t0 := h.since
	h.since = now
	return Transition{Host: h.Endpoint(), From: before.State(), To: next.State(), After: now.Sub(t0), Reason: h.reason}, true
}
