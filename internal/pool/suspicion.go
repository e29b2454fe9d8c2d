package pool

import "time"

// hold is how long the pool keeps blaming itself. After it, every host really is taken for dead.
const hold = 5 * time.Minute

// streak is the present run of failures of one host that is neither drained nor unproved, as far as suspicion needs it.
type streak struct {
	failing   bool      // suspect or down
	began     time.Time // start of the first failed probe; zero if the host was not up before
	suspected time.Time // since when another pool suspected itself for it; zero if it failed here
	spoke     bool      // the host itself answered, wrongly: not the network's fault
}

// suspicion is the pool's doubt in this machine: when all hosts fail together, what they share is us. A value, changed by
// next alone.
type suspicion struct {
	since time.Time // zero if there is none
	spent bool      // it was held to the end: no more until a host is back
}

func (s suspicion) active() bool { return !s.since.IsZero() && !s.spent }

// next is s at now, for these hosts. Suspicion begins when no host is left that does not fail, and those which went last,
// two at the least, went within one another's interval; a host that failed long before is no witness. It ends when a host
// passes, when one of the burst is heard to answer wrongly, or after hold, of which another pool's suspicion of the same burst is a part.
func (s suspicion) next(now time.Time, hosts []streak, interval time.Duration) suspicion {
	for _, h := range hosts {
		if !h.failing {
			return suspicion{}
		}
	}
	witnesses, spoke := burst(hosts, interval)
	switch {
	case s.spent:
		return s
	case witnesses < 2 || spoke:
		return suspicion{}
	case s.since.IsZero():
		return suspicion{since: suspected(hosts, interval, now)}
	case now.Sub(s.since) >= hold:
		s.spent = true
	}
	return s
}

// burst counts the hosts that began to fail within interval of the last one that did, and says whether one of them spoke.
func burst(hosts []streak, interval time.Duration) (n int, spoke bool) {
	last := lastFailure(hosts)
	for _, h := range hosts {
		if h.inBurst(last, interval) {
			n++
			spoke = spoke || h.spoke
		}
	}
	return n, spoke
}

// suspected is since when others suspected themselves for the burst; now if any host of it failed here.
func suspected(hosts []streak, interval time.Duration, now time.Time) time.Time {
	var since time.Time
	last := lastFailure(hosts)
	for _, h := range hosts {
		if !h.inBurst(last, interval) {
			continue
		}
		if h.suspected.IsZero() {
			return now
		}
		if h.suspected.After(since) {
			since = h.suspected
		}
	}
	return since
}

func lastFailure(hosts []streak) time.Time {
	var last time.Time
	for _, h := range hosts {
		if h.began.After(last) {
			last = h.began
		}
	}
	return last
}

func (h streak) inBurst(last time.Time, interval time.Duration) bool {
	return h.failing && !h.began.IsZero() && last.Sub(h.began) <= interval
}
