package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A host is a KMS host, and what is true of it. What is true "since" is so from then on until now; zero is not so. The world's
// mutex guards all but the first block.
//
// Each change is entered by who makes it, in the order that is fair to the server: what ends before it is touched, what begins
// when it is done.
type host struct {
	name      string // absolute
	address   netip.Addr
	announced bool // by UPDATE; others are in the Corefile
	signed    bool // by a key, where announced
	byName    bool // the server has to ask the resolver for its address

	serves  time.Time // the server, if it asks
	open    time.Time // to clients that come directly
	dead    time.Time // it neither serves the server nor could be believed to
	ill     time.Time // when the server may first have seen it failing, since it was last seen to be well
	bouts   int       // how often it fell ill since it was last well for long
	claimed bool      // it had to prove itself still when it fell ill
	doubted bool      // it was not well for long when the server last stored what it knew of it
	free    time.Time // not drained
	drained time.Time // and the server said so
	known   time.Time // its address, to the server
	listed  time.Time // announced, or in the Corefile, and the server said so
	gone    time.Time // it took its announcement back, and the server said so
	weighed time.Time // weight is what it announced last, and the server said so
	weight  uint16

	serverPains, clientPains int // reasons for it to fail them

	faces [2]face
}

// A face is a host as one zone has it.
type face struct {
	last    time.Time // when an answer last had it
	ahead   time.Time // when an answer last had it ahead of one that lives, or beside
	missing time.Time // the first answer without it since
}

// The zones.
const (
	viaResponder = iota // the server itself stands first, the hosts behind
	direct              // the hosts of the Corefile alone
)

// announcedPriority is what hosts that announce themselves have: behind those of the Corefile.
const announcedPriority uint16 = 20

// port is that of every host.
const port = 1688

// soundFor is how long a host must be well before the failures before are forgotten: ten straight passes and some.
func (b bounds) soundFor() time.Duration { return late(b.interval)*(window+2) + b.gone(0) }

// A world is what is true, and judges what the server says by it. Any number of goroutines may use it.
type world struct {
	bounds bounds
	events *timeline
	lag    *lag

	mu       sync.Mutex
	hosts    []*host
	server   time.Time   // up, ready, and not to be stopped
	reloaded time.Time   // when a Corefile was last written
	reloads  []time.Time // when each good Corefile was
	spawned  time.Time   // when the server was last started
	editions []edition   // the good Corefiles, the latest last
	spoilt   time.Time   // the Corefile is bad
	marooned time.Time   // all hosts were cut off from the server at this moment

	tally      tally
	violations []string
}

// A worst is the longest that something took, and what was promised.
type worst struct {
	Took  time.Duration `json:"took_ns"`
	Bound time.Duration `json:"bound_ns"` // of that one
	Times int           `json:"times"`
	Lag   int           `json:"within_lag_only"` // were late by no more than the machine withheld
}

// add notes a case. Which is the worst is told by how much of its bound it took.
func (w *worst) add(took, bound time.Duration) {
	w.Times++
	if w.Bound == 0 || float64(took)/float64(bound) > float64(w.Took)/float64(w.Bound) {
		w.Took, w.Bound = took, bound
	}
	if took > bound {
		w.Lag++
	}
}

// tally is what happened.
type tally struct {
	Questions, Unanswered               int
	AnswersTCP                          int
	Octets, OctetsTCP                   int // answers written as octets
	Excused                             int // unanswered, while the server was down or changed its Corefile
	Calls                               map[string]int
	Lost                                map[string]int // calls not served, by what excuses it
	Busy                                int            // calls not made, since the client's last one was under way
	SlowestCall                         time.Duration
	Registered, Withdrawn, Refused      int // announcements acknowledged, taken back, and refused for want of room on the disk
	Uncertain                           int // under way when the server was killed
	Compared                            int // times that all announcements were compared
	Restored                            int // of those, before anybody announced anything to a server that had been killed
	Demoted, Gone, Back, InForce        worst
	Dead, Living, Drained, DrainedCalls coverage
	Calm                                int // answers of a moment at which no host was in doubt
	DuringBad                           int // answers while the Corefile was bad
	Straggling                          int // requests that a host told of within a second of its drain
	HeldBack                            int // answers of the last good one, while all hosts were cut off
}

// back is how long h may take to be answered again: by how long it was ill, and how often the server was reloaded meanwhile.
func (w *world) back(h *host) time.Duration {
	if h.ill.IsZero() {
		return w.bounds.back(illness{})
	}
	return w.bounds.back(illness{
		long:     max(0, h.serves.Sub(h.ill)),
		claimed:  h.claimed,
		flapping: w.flaps(h),
		reloads:  w.reloadsSince(h.ill) - w.reloadsSince(h.serves.Add(reloadTime)),
	})
}

// flaps is whether h may be taken for one that flaps, until it is well for soundFor: a bout has no more than fall failures that
// count as flapping.
func (w *world) flaps(h *host) bool { return h.bouts*w.bounds.fall+1 >= window }

// reloadsSince is how many good Corefiles may have come into force since then.
func (w *world) reloadsSince(then time.Time) int {
	n := 0
	for _, at := range w.reloads {
		if at.Add(reloadTime).After(then) {
			n++
		}
	}
	return n
}

// wellFor is whether h is well for so long after the server must have seen that. After soundFor its failures are forgotten.
func (w *world) wellFor(h *host, now time.Time, long time.Duration) bool {
	since := w.asked(h)
	return !since.IsZero() && now.Sub(since) > long+w.back(h)+w.lag.since(since)
}

// stores enters that the server is about to store what it knows of hosts, as it does when it is stopped, not when it is killed.
func (w *world) stores() {
	w.set(func(now time.Time) {
		for _, h := range w.hosts {
			h.doubted = !w.wellFor(h, now, w.bounds.soundFor())
		}
	})
}

// spawns enters that the server is about to be started. Of a host that is well, it can know no evil but what was stored.
func (w *world) spawns() {
	w.set(func(now time.Time) {
		w.spawned = now
		for _, h := range w.hosts {
			if !h.doubted && !h.serves.IsZero() {
				h.ill, h.bouts = time.Time{}, 0
			}
		}
	})
}

// asked is since when the server could ask h and be served, as far as anybody can tell; zero if it cannot. A drained host is
// asked like the others.
func (w *world) asked(h *host) time.Time {
	var last time.Time
	for _, t := range []time.Time{h.serves, h.known, h.listed, w.server} {
		if t.IsZero() {
			return t
		}
		last = later(last, t)
	}
	return last
}

// usable is since when the server could use h; zero if it cannot.
func (w *world) usable(h *host) time.Time {
	since := w.asked(h)
	if since.IsZero() || h.free.IsZero() {
		return time.Time{}
	}
	return later(since, h.free)
}

// steady is whether h is well, was long enough to be seen to be, and is answered in both zones, and one failure does not take it out.
func (w *world) steady(h *host, now time.Time) bool {
	const seen, lately = 12 * time.Second, 2 * time.Second
	since := w.usable(h)
	well := !since.IsZero() && now.Sub(since) > seen && (!w.flaps(h) || w.wellFor(h, now, w.bounds.soundFor()))
	for _, f := range h.faces {
		well = well && now.Sub(f.last) < lately && f.missing.IsZero()
	}
	return well
}

// settled is from when on h must be answered, allowing for lag; zero if it need not. Who is put back counts at once for what it
// was found to be while it was drained.
func (w *world) settled(h *host) time.Time {
	if w.usable(h).IsZero() {
		return time.Time{}
	}
	since := w.asked(h)
	return later(since.Add(w.back(h)+w.lag.since(since)), h.free)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// begins enters that h is there, and well.
func (w *world) begins(h *host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	h.serves, h.open = now, now
}

// fails enters that h is about to fail, for one reason more: the server, or clients as well.
func (w *world) fails(h *host, clients bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if h.serverPains++; h.serverPains == 1 {
		proved := w.wellFor(h, now, 0)
		switch {
		case h.ill.IsZero() || w.wellFor(h, now, w.bounds.soundFor()):
			h.ill, h.bouts, h.claimed = now, 0, h.announced && !proved
		case proved:
			h.ill, h.claimed = now, false // it passed, so that pauses begin anew
		}
		h.bouts++
		h.serves = time.Time{}
	}
	if clients {
		h.clientPains++
		h.open = time.Time{}
	}
}

// failed enters that h fails the server now, whatever it is asked.
func (w *world) failed(h *host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.dead.IsZero() {
		h.dead = time.Now()
	}
}

// leaves enters that h left the server, which will know nothing of how it was when it comes back.
func (h *host) leaves(now time.Time) {
	if h.bouts = 0; !h.serves.IsZero() {
		h.ill = time.Time{}
	} else {
		h.ill, h.bouts, h.claimed = now, 1, true
	}
}

// heals enters that one reason for h to fail is about to end.
func (w *world) heals(h *host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.serverPains == 1 {
		h.dead = time.Time{}
	}
}

// healed enters that it has ended. clients is as it was to fails.
func (w *world) healed(h *host, clients bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if h.serverPains--; h.serverPains == 0 {
		h.serves = now
	}
	if clients {
		if h.clientPains--; h.clientPains == 0 {
			h.open = now
		}
	}
}

// set changes what is true, under the lock.
func (w *world) set(f func(now time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(time.Now())
}

// violated notes that a promise was broken. The lock is held.
func (w *world) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.events.say("VIOLATION: %s", text)
	if len(w.violations) < 100 {
		w.violations = append(w.violations, text)
	}
}

// violate is violated without the lock.
func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violated(format, args...)
}

// broken is what was violated so far.
func (w *world) broken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.violations)
}

// An entry is one SRV record of an answer.
type entry struct {
	target           string
	port             uint16
	priority, weight uint16
	addresses        []netip.Addr
}

// An answer is what came back to one question, asked and come at these times.
type answer struct {
	zone        int
	asked, come time.Time
	over        string // udp or tcp
	octets      bool   // it was written as octets, by its looks: owners are compressed
	way         way    // in which it is to be made
	problem     string // in its form; empty if there is none
	ttl         uint32
	entries     []entry
}

// A way is how the server makes an answer.
type way int

const (
	anyWay   way = iota // one cannot tell: an answer made of records is compressed too if it does not fit otherwise
	byOctets            // unless it has something to explain
	byRecords
)

// responderName is what the server calls itself.
const responderName = "kms.chaos.test."

// judge holds an answer against what is true.
func (w *world) judge(a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	where := [...]string{"chaos.test", "direct.chaos.test"}[a.zone]
	w.count(a)
	if a.problem != "" {
		w.violated("an answer of %s over %s: %s", where, a.over, a.problem)
		return
	}
	listed := make(map[string]entry)
	for _, e := range a.entries {
		if _, twice := listed[e.target]; twice {
			w.violated("%s: %s stands twice in the answer", where, e.target)
		}
		listed[e.target] = e
	}
	if len(listed) == 0 {
		w.violated("%s: an empty answer", where)
	}
	before := len(w.violations)
	living, steady := w.living(a), false
	for _, h := range w.hosts {
		if h.announced && a.zone == direct {
			continue
		}
		e, there := listed[h.name]
		delete(listed, h.name)
		if there && (e.port != port || len(e.addresses) > 0 && !slices.Equal(e.addresses, []netip.Addr{h.address})) {
			w.violated("%s: %s is answered with port %d and %v", where, h.name, e.port, e.addresses)
		}
		w.cover(a, h, living)
		w.judgeHost(a, h, e, there, living, where)
		if settled := w.settled(h); !settled.IsZero() && settled.Before(a.asked) {
			steady = true
		}
	}
	if _, there := listed[responderName]; !there && steady && a.zone == viaResponder {
		w.violated("%s: the responder is not in the answer although a host lives", where)
	}
	delete(listed, responderName)
	for _, target := range slices.Sorted(maps.Keys(listed)) {
		w.violated("%s: the answer has %s, which is no host", where, target)
	}
	if a.way == byRecords && a.octets || a.way == byOctets && !a.octets && steady {
		w.violated("%s over %s: octets: %t, which is the wrong way to make this answer", where, a.over, a.octets)
	}
	if len(w.violations) == before {
		w.judgeEdition(a, where)
	}
}

// count counts an answer.
func (w *world) count(a answer) {
	if a.over == "tcp" {
		w.tally.AnswersTCP++
	}
	if a.octets && a.way == byOctets {
		w.tally.Octets++
		if a.over == "tcp" {
			w.tally.OctetsTCP++
		}
	}
}

// living is by host since when another one must have been seen to live in the zone of a: without any, the server may suspect
// itself or serve all there are.
func (w *world) living(a answer) map[*host]time.Time {
	since := make(map[*host]time.Time)
	for _, h := range w.hosts {
		for _, other := range w.hosts {
			if other == h || other.announced && a.zone == direct {
				continue
			}
			settled := w.settled(other)
			if settled.IsZero() || !settled.Before(a.asked) {
				continue
			}
			if least, ok := since[h]; !ok || settled.Before(least) {
				since[h] = settled
			}
		}
	}
	return since
}

// judgeHost holds what an answer says of one host against what is true of it.
func (w *world) judgeHost(a answer, h *host, e entry, there bool, living map[*host]time.Time, where string) {
	f := &h.faces[a.zone]
	switch {
	case there && !h.drained.IsZero() && h.drained.Before(a.asked):
		w.violated("%s: %s is answered, which was drained %s before", where, h.name, a.asked.Sub(h.drained))
	case there && !h.gone.IsZero() && h.gone.Before(a.asked):
		w.violated("%s: %s is answered, which took its announcement back %s before", where, h.name, a.asked.Sub(h.gone))
	}
	if alive, ok := living[h]; there && ok && !h.dead.IsZero() {
		w.judgeDead(a, h, e, later(later(h.dead, w.server), alive), where)
	}
	if settled := w.settled(h); !there && !settled.IsZero() && settled.Before(a.asked) {
		since := w.asked(h)
		w.violated("%s: %s is not in the answer, which lives for %s and is free for %s: %s is the bound, and the machine withheld %s",
			where, h.name, a.asked.Sub(since).Round(time.Millisecond), a.asked.Sub(h.free).Round(time.Millisecond), w.back(h),
			w.lag.since(since))
	}
	if !w.marooned.IsZero() && w.marooned.Before(a.asked) && !h.announced && h.drained.IsZero() && !h.free.IsZero() {
		w.tally.HeldBack++
		if !there {
			w.violated("%s: %s is not in the answer, although all hosts were cut off at once: the last good answer was to stay", where, h.name)
		}
	}
	alive, ok := living[h]
	w.notice(a, h, f, there, ok && alive.Before(h.dead))
}

// judgeDead judges the record of a host that is dead since then.
func (w *world) judgeDead(a answer, h *host, e entry, since time.Time, where string) {
	age := a.asked.Sub(since)
	beside := w.beside(a, h, e)
	if beside != nil {
		h.faces[a.zone].ahead = later(h.faces[a.zone].ahead, a.asked)
	}
	reloads := w.reloadsSince(since)
	if age <= w.bounds.lastTier(reloads) {
		return
	}
	allowed := w.lag.since(since)
	if gone := w.bounds.gone(reloads); age > gone+allowed {
		w.violated("%s: %s is answered, which is dead for %s: %s is the bound, and the machine withheld %s",
			where, h.name, age.Round(time.Millisecond), gone, allowed)
	}
	if beside != nil && age > w.bounds.lastTier(reloads)+allowed {
		w.violated("%s: %s has priority %d, which is dead for %s; %s lives and is not ahead of it", where, h.name, e.priority,
			age.Round(time.Millisecond), beside.name)
	}
}

// beside is a host that is known to live and does not stand before h in an answer; nil if there is none.
func (w *world) beside(a answer, h *host, e entry) *host {
	for _, other := range a.entries {
		if other.priority < e.priority {
			continue
		}
		for _, o := range w.hosts {
			if o.name != other.target || o == h {
				continue
			}
			if settled := w.settled(o); !settled.IsZero() && settled.Before(a.asked) {
				return o
			}
		}
	}
	return nil
}

// notice measures how long the server took to see what became of h. others says that another host has lived all the while since
// h died: without, there is no bound.
func (w *world) notice(a answer, h *host, f *face, there, others bool) {
	switch {
	case there && !f.missing.IsZero() && a.asked.After(f.missing):
		if since := w.asked(h); !w.usable(h).IsZero() && since.After(f.last) && since.After(h.free) {
			w.tally.Back.add(max(0, a.come.Sub(since)), w.back(h))
		}
		f.missing = time.Time{}
	case !there && f.missing.IsZero() && !f.last.IsZero() && a.asked.After(f.last):
		f.missing = a.asked
		if others && !h.dead.IsZero() && h.dead.After(w.server) && h.drained.IsZero() && h.gone.IsZero() {
			reloads := w.reloadsSince(h.dead)
			w.tally.Demoted.add(max(0, f.ahead.Sub(h.dead)), w.bounds.lastTier(reloads))
			w.tally.Gone.add(max(0, f.last.Sub(h.dead)), w.bounds.gone(reloads))
		}
	}
	if there && a.asked.After(f.last) {
		f.last = a.asked
	}
}

// unanswered enters that a question got no answer.
func (w *world) unanswered(zone int, over string, asked time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally.Unanswered++
	// CoreDNS opens new sockets for a new Corefile and closes the old ones with what waits in them.
	if w.server.IsZero() || asked.Before(w.server) || asked.Before(w.reloaded.Add(reloadTime)) {
		w.tally.Excused++
		return
	}
	w.violated("a question over %s got no answer in %s: %v", over, time.Since(asked).Round(time.Millisecond), err)
}

// reloadTime is by when a Corefile that was written is read and in force.
const reloadTime = 8 * time.Second

// A call is one attempt of one client.
type call struct {
	way        string // how it found whom to call
	zone       int    // -1: it knew the responder
	began, end time.Time
	by         string // what the host that answered calls itself; empty if none did
	failure    string
}

// called holds a call against what is true.
func (w *world) called(c call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.by != "" {
		w.tally.Calls[c.way]++
		if c.zone < 0 {
			w.tally.SlowestCall = max(w.tally.SlowestCall, c.end.Sub(c.began))
			w.judgeServed(c)
		}
		return
	}
	for _, h := range w.hosts {
		if w.mustServe(h, c) {
			w.violated("a call (%s) of %s is lost, although %s lived all the while, since %s: %s", c.way,
				c.end.Sub(c.began).Round(time.Millisecond), h.name, c.end.Sub(w.usable(h)).Round(time.Millisecond), c.failure)
			return
		}
	}
	w.tally.Lost[w.excuse(c)]++
}

// excuse is why a call could be lost, when nobody had to serve it.
func (w *world) excuse(c call) string {
	lived, came := false, false
	for _, h := range w.hosts {
		if usable := w.usable(h); !usable.IsZero() && !(h.announced && c.zone == direct) {
			lived, came = lived || usable.Before(c.began), true
		}
	}
	switch {
	case w.server.IsZero() || !w.server.Before(c.began):
		return "there was no server for all of the call"
	case lived:
		return "hosts lived, for less than their bounds or out of the client's reach"
	case came:
		return "the first host came to live during the call"
	}
	return "no host lived for all of the call"
}

// judgeServed: no drained host serves a client of the responder.
func (w *world) judgeServed(c call) {
	drained, asked := 0, 0
	for _, h := range w.hosts {
		switch {
		case !h.drained.IsZero() && h.drained.Before(c.began):
			if drained++; h.id() == c.by {
				w.violated("a call by the responder was served by %s, which was drained %s before", h.name, c.began.Sub(h.drained))
			}
		case h.free.IsZero():
			asked++
		}
	}
	switch {
	case drained > 0:
		w.tally.DrainedCalls.Judged++
	case asked > 0:
		w.tally.DrainedCalls.not("the server had not said it when the call began, or not for all of the call")
	}
}

// mustServe is whether h was there for c from beginning to end.
func (w *world) mustServe(h *host, c call) bool {
	usable, settled := w.usable(h), w.settled(h)
	if usable.IsZero() || h.announced && c.zone == direct {
		return false
	}
	if c.zone < 0 && !h.announced {
		return usable.Before(c.began) // the responder asks whoever is in the Corefile and not drained
	}
	// Others must be known to live, and a client must reach them.
	return settled.Before(c.began) && (c.zone < 0 || !h.open.IsZero() && h.open.Before(c.began))
}

// id is what the host calls itself in answers to clients.
func (h *host) id() string { return "REHEARSAL-ONLY " + strings.TrimSuffix(h.name, ".") }
