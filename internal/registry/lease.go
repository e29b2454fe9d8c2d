package registry

import (
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
)

const (
	// calm is how far the store may be behind in what it says of health: that is not worth a write a minute.
	calm = time.Hour
	// settle is how long nothing runs out after a start that found something stored. What could not be seen or announced
	// because nobody was here, as after a power cut that took the hosts too, does not count against anybody.
	settle = time.Hour
)

// age lets time pass: it notes who is up, and takes out what has run out by now.
func (r *Registry) age(now time.Time) {
	settled := !now.Before(r.settled)
	now = plain(now)
	before := newJournal()
	r.book.rewind(before, now)
	up, drained := r.observed()
	for endpoint, c := range r.book.claims {
		if up[endpoint] {
			if now.Sub(r.healthy[endpoint]) >= calm {
				before.claim(r.book, endpoint)
			}
			c.Healthy = now
			r.book.claims[endpoint] = c
		}
	}
	var expired []Claim
	if settled {
		lease := r.Settings().Lease
		expired = r.book.expire(before, now, lease, drained)
		r.book.expireAddresses(before, now, lease)
	}
	changed, err := r.commit(before)
	switch {
	case err != nil:
		if r.OnTrouble != nil {
			r.OnTrouble(err)
		}
		return
	case !changed && len(up) > 0:
		r.publish(true) // it was healthy this minute
	}
	for _, c := range expired {
		if r.OnExpired != nil {
			r.OnExpired(c)
		}
	}
}

// rewind makes times after now, which are there when the clock went back, now: or what they are of would last until it is
// that late again.
func (b *book) rewind(j *journal, now time.Time) {
	for endpoint, c := range b.claims {
		if c.Updated.After(now) || c.Healthy.After(now) {
			j.claim(b, endpoint)
			c.Updated, c.Healthy = earlier(c.Updated, now), earlier(c.Healthy, now)
			b.claims[endpoint] = c
		}
	}
	for name, all := range b.addresses {
		kept := make([]Address, len(all))
		changed := false
		for i, a := range all {
			changed = changed || a.Updated.After(now)
			a.Updated = earlier(a.Updated, now)
			kept[i] = a
		}
		if changed {
			j.name(b, name)
			b.set(name, kept)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// expire takes out the claims that have run out by now, and returns them. Those in keep stay: somebody drained them, and has
// plans for them.
func (b *book) expire(j *journal, now time.Time, lease time.Duration, keep map[string]bool) []Claim {
	var expired []Claim
	for _, c := range b.sorted() {
		if endpoint := c.Endpoint(); !keep[endpoint] && !c.Expires(lease).After(now) {
			j.claim(b, endpoint)
			delete(b.claims, endpoint)
			expired = append(expired, c)
		}
	}
	return expired
}

// expireAddresses takes out the addresses that were last announced lease or longer before now, but for those of names that a
// claim has as its target: they last as long as it does.
func (b *book) expireAddresses(j *journal, now time.Time, lease time.Duration) {
	for name, all := range b.addresses {
		if b.targeted(name) {
			continue
		}
		var kept []Address
		for _, a := range all {
			if a.Updated.Add(lease).After(now) {
				kept = append(kept, a)
			}
		}
		if len(kept) < len(all) {
			j.name(b, name)
			b.set(name, kept)
		}
	}
}

// observed is who is up in a pool that is fed, and who is drained in one.
func (r *Registry) observed() (up, drained map[string]bool) {
	up, drained = map[string]bool{}, map[string]bool{}
	r.feedMu.Lock()
	defer r.feedMu.Unlock()
	for _, f := range r.feeds {
		for _, h := range f.pool.Hosts() {
			switch h.State {
			case pool.Up:
				up[h.Endpoint()] = true
			case pool.Drained:
				drained[h.Endpoint()] = true
			}
		}
	}
	return up, drained
}

// flush stores what was kept back of health, at the end.
func (r *Registry) flush() {
	before := newJournal()
	for endpoint, c := range r.book.claims {
		if stored := r.healthy[endpoint]; !stored.Equal(c.Healthy) {
			c.Healthy = stored
			before.claims[endpoint] = &c
		}
	}
	if _, err := r.commit(before); err != nil && r.OnTrouble != nil {
		r.OnTrouble(err)
	}
}
