package kmsresponder

import (
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

const (
	// clientLife is how long a host remembers a client that it does not hear
	// of again.
	clientLife = 30 * 24 * time.Hour

	// maxApplications is how many tables a host keeps. There are three
	// applications; a client says which one it is of, so there must be an end.
	maxApplications = 8
)

// census is whom a host knows: for each application, the clients that it heard
// of in the last 30 days. It knows no clock and is not to be used from two
// goroutines at once.
type census map[kmswire.GUID]*table

// count takes a request of client, which needs a count of required, into the
// table of application, and returns the clients in it. It reports false, and
// changes nothing, if there is one application too many.
func (c census) count(application, client kmswire.GUID, required uint32, now time.Time) (count int, ok bool) {
	t := c[application]
	if t == nil {
		if !c.room(now) {
			return 0, false
		}
		t = &table{size: 2 * ServerThreshold}
		c[application] = t
	}
	return t.count(client, required, now), true
}

// room reports whether there is room for another table, if need be after
// dropping those that nobody is left in.
func (c census) room(now time.Time) bool {
	if len(c) < maxApplications {
		return true
	}
	for id, t := range c {
		if t.expire(now); len(t.known) == 0 {
			delete(c, id)
		}
	}
	return len(c) < maxApplications
}

// table is the clients of one application. It has room for twice the highest
// threshold that any of them asked for, which is as far as a host needs to
// count for all of them to stay activated while some are replaced. It grows and
// never shrinks.
type table struct {
	size  int
	known []seen // the one heard of longest ago first
}

// seen is when a client was heard of last.
type seen struct {
	client kmswire.GUID
	at     time.Time
}

// count takes a request into t and returns the clients in it, the one who asks
// included.
func (t *table) count(client kmswire.GUID, required uint32, now time.Time) int {
	t.size = max(t.size, 2*int(min(required, ClientThreshold)))
	t.expire(now)
	if i := slices.IndexFunc(t.known, func(s seen) bool { return s.client == client }); i >= 0 {
		t.known = slices.Delete(t.known, i, i+1)
	}
	if over := len(t.known) + 1 - t.size; over > 0 {
		t.known = slices.Delete(t.known, 0, over)
	}
	t.known = append(t.known, seen{client, now})
	return len(t.known)
}

// expire drops who was last heard of clientLife ago.
func (t *table) expire(now time.Time) {
	n := 0
	for n < len(t.known) && now.Sub(t.known[n].at) >= clientLife {
		n++
	}
	if n > 0 {
		t.known = slices.Delete(t.known, 0, n)
	}
}
