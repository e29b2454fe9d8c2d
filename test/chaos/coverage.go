package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A coverage is how often a promise was in force, so that what was seen could break it, and how often it was not, by reason.
type coverage struct {
	Judged int            `json:"judged"`
	Not    map[string]int `json:"not_judged"`
	Void   int            `json:"nothing_promised"` // without any host that lives there is no bound for those that do not
}

// not counts a case in which the promise was not in force.
func (c *coverage) not(why string) {
	if c.Not == nil {
		c.Not = make(map[string]int)
	}
	c.Not[why]++
}

// share is how much was judged of all cases in which something was promised.
func (c coverage) share() float64 {
	all := c.Judged
	for _, n := range c.Not {
		all += n
	}
	return float64(c.Judged) / float64(max(1, all))
}

// cover counts which promises an answer could break about h. living is as to judgeHost.
func (w *world) cover(a answer, h *host, living map[*host]time.Time) {
	t, settled := &w.tally, w.settled(h)
	switch {
	case !h.drained.IsZero() && h.drained.Before(a.asked):
		t.Drained.Judged++
	case h.free.IsZero():
		t.Drained.not("the server had not said yet that it is drained, or that it is back")
	case !w.usable(h).IsZero() && settled.Before(a.asked):
		t.Living.Judged++
	case !w.usable(h).IsZero():
		t.Living.not("it was well for less than its bound")
	}
	if h.dead.IsZero() || h.listed.IsZero() || h.free.IsZero() || !w.mustBeGone(h, a.asked, time.Time{}) {
		return
	}
	switch alive, ok := living[h]; {
	case ok && w.mustBeGone(h, a.asked, alive):
		t.Dead.Judged++
	case ok:
		t.Dead.not("another host lived, but for less than the bounds of both")
	case w.anyUsable(a.zone):
		t.Dead.not("another host lived, but for less than its bound")
	default:
		t.Dead.Void++
	}
}

// anyUsable is whether the server could use any host of a zone.
func (w *world) anyUsable(zone int) bool {
	for _, h := range w.hosts {
		if !(h.announced && zone == direct) && !w.usable(h).IsZero() {
			return true
		}
	}
	return false
}

// A promise is one of which is counted how often it was in force, and how much of that is least, of all cases and by what was
// planned to go wrong.
type promise struct {
	name string
	coverage
	leastShare float64
	least      int
}

// promises is what was judged of t's promises, in a run of a length in which these faults were planned. A quarter of the cases that
// they make is enough: faults fall together, and the server is stopped in between.
func (t *tally) promises(length time.Duration, faults []fault) []promise {
	const zonesShare, enough = questionsASecond / len(zones), 0.25 // of an announced host, one zone answers
	long := 0
	if length >= 10*time.Minute {
		long = 500 // with less there was no chaos
	}
	cases := func(perSecond int, after time.Duration, kinds ...kind) int {
		return max(long, int(enough*float64(perSecond)*lasting(faults, after, kinds...).Seconds()))
	}
	dead := cases(zonesShare, settings.gone(0)+time.Second, kill, hang, cut, deaf)
	living := int(enough * questionsASecond * fixedHosts * (length - quiet).Seconds())
	return []promise{
		{"answers when a host had to be gone that is dead", t.Dead, 0.25, dead},
		{"answers when a host was drained", t.Drained, 0.5, cases(zonesShare, time.Second, drain)},
		{"calls by the responder when a host was drained", t.DrainedCalls, 0.5, cases(callsASecond/2, time.Second, drain)},
		{"answers when a host had to be there that lives", t.Living, 0.25, living},
	}
}

// lasting is how long the faults of some kinds last in all, but for the first moments of each.
func lasting(faults []fault, but time.Duration, kinds ...kind) time.Duration {
	sum := time.Duration(0)
	for _, f := range faults {
		if slices.Contains(kinds, f.Kind) {
			sum += max(0, f.For-but)
		}
	}
	return sum
}

// reasons is why cases were not judged, in words.
func (c coverage) reasons() string {
	var all []string
	if c.Void > 0 {
		all = append(all, fmt.Sprintf("%d: no host lived, so nothing is promised", c.Void))
	}
	for _, why := range slices.Sorted(maps.Keys(c.Not)) {
		all = append(all, fmt.Sprintf("%d: %s", c.Not[why], why))
	}
	return strings.Join(all, "; ")
}

// lacking is whether p was judged too seldom to say that it holds.
func (p promise) lacking() bool {
	return p.Judged < p.least || p.Judged > 0 && p.share() < p.leastShare
}

// telling is how long a run must be for the number of cases to be no matter of chance.
const telling = 5 * time.Minute

// lacking is what was judged too seldom.
func (t *tally) lacking(length time.Duration, faults []fault) []string {
	var all []string
	for _, p := range t.promises(length, faults) {
		if length >= telling && p.lacking() {
			all = append(all, fmt.Sprintf("%s: only %d could be judged, %.0f %% of all; to say anything takes %d and %.0f %%",
				p.name, p.Judged, 100*p.share(), p.least, 100*p.leastShare))
		}
	}
	if answered := t.Questions - t.Unanswered; t.Octets < answered/4 || t.OctetsTCP < t.Octets/10 {
		all = append(all, fmt.Sprintf("of %d answers, %d were octets, %d of them over TCP: it must be a quarter, and a tenth of that",
			answered, t.Octets, t.OctetsTCP))
	}
	return all
}
