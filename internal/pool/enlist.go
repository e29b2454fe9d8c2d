package pool

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// maxRemembered bounds what a pool keeps of hosts that are not in it: drains, and what a predecessor knew.
const maxRemembered = 2 * config.MaxHosts

// Enlist adds c, a host that announced itself, or brings priority, weight and given addresses of one that is here up to
// date. A host of the Corefile with that endpoint is left alone. When Enlist returns, Hosts has the host.
//
// The host is claimed until it passed rise probes in a row; one that is proved, since it passed before (a restart), begins
// unchecked, and is offered, as the hosts of the Corefile are. It begins with what a predecessor of this pool knew of it, if
// that is fresh. hints are addresses it is believed to have until its name resolves; those of c, if any, win and stay.
//
// c must be valid (config.Host.Validate).
func (p *Pool) Enlist(c config.Host, hints []netip.Addr, proved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.rouse()
	now := p.means.Now()
	c.Addresses, hints = slices.Clone(c.Addresses), slices.Clone(hints)
	if h := p.find(c.Endpoint()); h != nil {
		if h.announced {
			p.revise(h, c, hints, now)
		}
		return
	}
	h := &host{Host: c, announced: true, since: now}
	h.life, h.dismiss = context.WithCancel(context.Background())
	h.place(c.Addresses, hints, now)
	if !proved {
		h.health.believed = Claimed
	}
	var before Live
	if m, ok := p.remembered[c.Endpoint()]; ok {
		if h.recall(m, p.probing.Kind, now) {
			before = m.Live
		}
		delete(p.remembered, c.Endpoint()) // what it does from now on is known first-hand
	}
	p.schedule(h, before, now)
	if len(p.hosts) == 0 {
		p.answered = now // there was nothing to ask till now
	}
	p.insert(h)
	p.publish(now)
}

// insert puts h, an announced host, behind those of the Corefile and among its like by endpoint: an order that is the same
// after a restart.
func (p *Pool) insert(h *host) {
	at := len(p.hosts)
	for at > 0 && p.hosts[at-1].announced && strings.Compare(h.Endpoint(), p.hosts[at-1].Endpoint()) < 0 {
		at--
	}
	p.hosts = slices.Insert(p.hosts, at, h)
}

// revise makes h, an announced host, what c says it is now. Its health stays.
func (p *Pool) revise(h *host, c config.Host, hints []netip.Addr, now time.Time) {
	given := h.Host.Addresses
	// Name and port are the same, and are read without the lock by what is under way.
	h.Priority, h.Weight, h.Key, h.Host.Addresses = c.Priority, c.Weight, c.Key, c.Addresses
	switch {
	case slices.Equal(given, c.Addresses) && (len(given) > 0 || !h.hinted || slices.Equal(h.addresses, hints)):
	case len(c.Addresses) == 0 && len(given) == 0 && len(hints) == 0: // the last hints are better than none
	default:
		h.place(c.Addresses, hints, now)
		if len(h.addresses) > 0 {
			p.hasten(h, now) // what was found under the old addresses says little about the new
		}
	}
	p.publish(now)
}

// place gives h its addresses: given ones, which are not looked up, or hints until the look-up decides. A host that lost its
// given ones without hints keeps them until then.
func (h *host) place(given, hints []netip.Addr, now time.Time) {
	if len(given) > 0 {
		h.addresses, h.hinted, h.lookupDue = given, false, time.Time{}
		return
	}
	if len(hints) > 0 {
		h.addresses = hints
	}
	h.hinted, h.lookupDue, h.lookups = true, now, 0
}

// Dismiss takes out the announced host called endpoint; one of the Corefile is left alone. When Dismiss returns, no later
// snapshot has it, and whatever was under way for it is without effect. If it comes back it starts anew, whatever others
// remember of it, but for a drain: that is a person's decision, and is kept for it.
func (p *Pool) Dismiss(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.hosts, func(h *host) bool { return h.announced && h.Endpoint() == endpoint })
	if i < 0 {
		return
	}
	h, now := p.hosts[i], p.means.Now()
	h.dismiss()
	p.hosts = slices.Delete(p.hosts, i, i+1)
	if left := p.memory(h, now).leaving(); p.makePlace(left.Drained()) {
		p.remembered[endpoint] = left
	}
	p.publish(now)
	if p.means.Gone != nil {
		p.means.Gone(endpoint)
	}
}

// makePlace forgets one that is remembered if there is no place for another, and reports whether there is one then: rather health
// than a drain, and a drain only for another.
func (p *Pool) makePlace(drain bool) bool {
	if len(p.remembered) < maxRemembered {
		return true
	}
	var victim string
	for endpoint, m := range p.remembered {
		if !m.Drained() {
			delete(p.remembered, endpoint)
			return true
		}
		victim = endpoint
	}
	if drain {
		delete(p.remembered, victim)
	}
	return drain
}

// during runs f with a context that ends with ctx, or when h is dismissed: nothing outside may pile up work by announcing
// and withdrawing a host.
func (h *host) during(ctx context.Context, f func(context.Context)) {
	if h.announced {
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(h.life, cancel)()
		ctx = within
	}
	f(ctx)
}
