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
}

// not counts a case in which the promise was not in force.
func (c *coverage) not(why string) {
	if c.Not == nil {
		c.Not = make(map[string]int)
	}
	c.Not[why]++
}

// share is how much of all cases was judged.
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
		t.Dead.not("no other host lived")
	}
}

// anyUsable is whether the server could use any host of a zone; of all hosts, if it is -1.
func (w *world) anyUsable(zone int) bool {
	for _, h := range w.hosts {
		if !(h.announced && zone == direct) && !w.usable(h).IsZero() {
			return true
		}
	}
	return false
}

// A promise is one of which is counted how often it was in force, and how much of that is least: a share of all cases, and so many
// cases in each minute in which things go wrong.
type promise struct {
	name string
	coverage
	leastShare  float64
	leastMinute int
}

func (t *tally) promises() []promise {
	return []promise{
		{"answers when a host had to be gone that is dead", t.Dead, 0.5, 300},
		{"answers when a host was drained", t.Drained, 0.8, 300},
		{"calls by the responder when a host was drained", t.DrainedCalls, 0.8, 50},
		{"answers when a host had to be there that lives", t.Living, 0.5, 10000},
	}
}

// reasons is why cases were not judged, in words.
func (c coverage) reasons() string {
	var all []string
	for _, why := range slices.Sorted(maps.Keys(c.Not)) {
		all = append(all, fmt.Sprintf("%d: %s", c.Not[why], why))
	}
	return strings.Join(all, "; ")
}

// lacking is what was judged too seldom in a run of a length to say that it holds.
func (t *tally) lacking(length time.Duration) []string {
	var all []string
	minutes := (length - quiet - repose).Minutes()
	for _, p := range t.promises() {
		if least := int(float64(p.leastMinute) * minutes); p.Judged < least || p.share() < p.leastShare {
			all = append(all, fmt.Sprintf("%s: only %d could be judged, %.0f %% of all; at least %d and %.0f %% are needed to say anything",
				p.name, p.Judged, 100*p.share(), least, 100*p.leastShare))
		}
	}
	if answered := t.Questions - t.Unanswered; t.Octets < answered/4 || t.OctetsTCP < t.Octets/10 {
		all = append(all, fmt.Sprintf("of %d answers, %d were written as octets, %d of them over TCP: at least a quarter of them, and of those a tenth over TCP, must be",
			answered, t.Octets, t.OctetsTCP))
	}
	return all
}
