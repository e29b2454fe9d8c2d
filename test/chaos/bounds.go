package main

import "time"

// bounds are the settings of probing that the server runs with, and what docs/design.md and README.md promise for them.
type bounds struct {
	interval, timeout time.Duration
	rise, fall        int
}

const (
	fastest = 2 * time.Second // between probes of a host whose state is about to change, if the interval is not shorter
	slowest = time.Minute     // a host that is down is asked at least this often
	window  = 10              // failures without as many straight passes that take a flapping host out, and passes that bring it back
)

// late is d as far as the jitter of a tenth stretches it, early as far as it shrinks it.
func late(d time.Duration) time.Duration  { return d * 11 / 10 }
func early(d time.Duration) time.Duration { return d * 9 / 10 }

func (b bounds) fast() time.Duration { return min(fastest, b.interval) }

// lastTier is by when a host that died is answered behind the healthy ones: the next probe of a healthy host, and its timeout. Each
// reload in that time may break off a probe.
func (b bounds) lastTier(reloads int) time.Duration {
	return late(b.interval) + b.timeout + time.Duration(reloads)*b.timeout
}

// gone is by when it is answered no more.
func (b bounds) gone(reloads int) time.Duration {
	return b.lastTier(reloads) + time.Duration(b.fall-1)*late(max(b.fast(), b.timeout))
}

// An illness is what the server may have seen of a host that failed and is well again.
type illness struct {
	long     time.Duration
	claimed  bool // it had not proved itself before: its first failure is what the last of those that take a host out is for others
	flapping bool // it may be taken for one that flaps, so that one failure takes it out
	reloads  int  // until it passed again
}

// back is by when a host that is well again is answered: the pause that was begun last, which has doubled from the interval up to
// a minute, and then rise passes; ten if it flaps. With each reload in that time it was asked once more, and the pause doubled once
// more.
func (b bounds) back(i illness) time.Duration {
	rise, failures := b.rise, b.fall
	if i.flapping {
		rise = max(rise, window)
	}
	if i.claimed || i.flapping {
		failures = 1
	}
	pause := b.interval
	for at := time.Duration(failures-1)*early(b.fast()) + early(pause); at <= i.long && pause < slowest; at += early(pause) {
		pause *= 2
	}
	pause = max(b.interval, min(pause<<min(i.reloads, 8), slowest))
	return late(pause) + time.Duration(rise-1)*late(b.fast()) + b.timeout
}
