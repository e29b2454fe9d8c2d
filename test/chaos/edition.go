package main

import (
	"fmt"
	"slices"
	"time"
)

// An edition is one good Corefile: it may be in force from when it was about to be written, and must be seenTime after it was.
// Until the next one is in force it stays so, whatever bad ones are written meanwhile.
type edition struct {
	turn          int
	from, written time.Time // zero: it is not yet
	seen          bool      // by an answer
}

// publishes enters that a good Corefile is about to be written.
func (w *world) publishes(turn int) {
	w.set(func(now time.Time) { w.editions = append(w.editions, edition{turn: turn, from: now}) })
}

// published enters that it has been.
func (w *world) published() {
	w.set(func(now time.Time) { w.editions[len(w.editions)-1].written = now })
}

// candidates is the editions that an answer may be of: the last that had to be in force when it was asked for, and all later ones
// that were there when it came. A server has that from its start which was there before.
func (w *world) candidates(a answer) []edition {
	first, last := 0, 0
	for i, e := range w.editions {
		switch {
		case e.written.IsZero():
		case w.spawned.After(e.written), a.asked.After(e.written.Add(seenTime + w.lag.since(e.from))):
			first = i
		}
		if e.from.Before(a.come) {
			last = i
		}
	}
	return w.editions[first : max(first, last)+1]
}

// judgeEdition: an answer is of one Corefile, and that one may be in force.
func (w *world) judgeEdition(a answer, where string) {
	calm := w.calm(a)
	if calm {
		w.tally.Calm++
	}
	if !w.spoilt.IsZero() && w.spoilt.Before(a.asked) {
		w.tally.DuringBad++
	}
	var why string
	candidates := w.candidates(a)
	for i := range slices.Backward(candidates) {
		e := &candidates[i]
		if why = w.unlike(a, e.turn, calm); why != "" {
			continue
		}
		if !e.seen {
			e.seen = true
			w.tally.InForce.add(max(0, a.come.Sub(later(e.from, e.written))), seenTime)
		}
		return
	}
	w.violated("%s over %s: the answer is of none of the %d Corefiles that may be in force: %s", where, a.over, len(candidates), why)
}

// unlike is in what an answer differs from those by the Corefile of a turn; empty if in nothing. calm is whether it cannot be
// of a doubtful moment, in which the TTL is short and who is suspected stands behind all others.
func (w *world) unlike(a answer, turn int, calm bool) string {
	behind, ahead, demoted := uint16(0), uint16(0), ""
	for _, e := range a.entries {
		i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.name == e.target })
		if i < 0 {
			continue
		}
		h, wantPriority, wantWeight := w.hosts[i], announcedPriority, e.weight
		switch {
		case !h.announced:
			wantPriority, wantWeight = priority(i), weight(turn, i)
		case !h.weighed.IsZero() && h.weighed.Before(a.asked):
			wantWeight = h.weight
		}
		switch {
		case e.weight != wantWeight:
			return fmt.Sprintf("%s has weight %d, not %d", h.name, e.weight, wantWeight)
		case e.priority == wantPriority:
			ahead = max(ahead, e.priority)
		case demoted == "" || e.priority < behind:
			behind, demoted = e.priority, h.name
		}
	}
	switch {
	case demoted != "" && calm:
		return fmt.Sprintf("%s has priority %d, although there is no host to be suspected", demoted, behind)
	case demoted != "" && behind < ahead:
		return fmt.Sprintf("%s has priority %d, which is neither its own nor behind %d", demoted, behind, ahead)
	case a.ttl != ttl(turn) && a.ttl != doubtful || a.ttl != doubtful && demoted != "" || a.ttl == doubtful && calm:
		return fmt.Sprintf("TTL %d, not %d (a host may be in doubt: %t; behind the others: %q)", a.ttl, ttl(turn), !calm, demoted)
	}
	return ""
}

// calm is whether the server must be sure of every host that it may answer when a was asked for: that it lives, is down, is
// drained, or is not announced.
func (w *world) calm(a answer) bool {
	living := w.living(a)
	return !slices.ContainsFunc(w.hosts, func(h *host) bool {
		if h.announced && a.zone == direct {
			return false
		}
		settled, alive := w.settled(h), living[h]
		switch {
		case !h.drained.IsZero():
			return !h.drained.Before(a.asked)
		case !h.gone.IsZero():
			return !h.gone.Before(a.asked)
		case !settled.IsZero():
			return !settled.Before(a.asked)
		}
		return alive.IsZero() || h.dead.IsZero() || !w.mustBeGone(h, a.asked, alive)
	})
}

// mustBeGone is whether h is dead for longer than it may be answered, since another lives at least since alive.
func (w *world) mustBeGone(h *host, asked, alive time.Time) bool {
	since := later(later(h.dead, w.server), alive)
	return asked.Sub(since) > w.bounds.gone(w.reloadsSince(since))+w.lag.since(since)
}
