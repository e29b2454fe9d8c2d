package pool

import (
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

const (
	fastest     = 2 * time.Second  // between probes of a host whose state is about to change
	slowest     = time.Minute      // a down host, or one that never proved itself, is asked at least this often, for ever
	spread      = time.Second      // first probes begin within this of the start
	jitter      = 10               // per cent, either way, so that pools and servers drift apart
	reresolve   = 30 * time.Second // between look-ups of a host's name
	resolveTime = 5 * time.Second  // for one look-up
	believable  = 5 * time.Minute  // what is remembered longer ago is not believed
)

// pause is the time from the start of one probe of a host to the start of the next, before jitter: the interval; short
// while the state may change; from the interval doubling to a minute while the host stays down or unproved. all says that every host is
// failing and this machine suspects itself: then backing off would only delay noticing that the network is back.
func pause(h Health, p config.Probe, all bool) time.Duration {
	switch {
	case h.believed == Up:
		return p.Interval
	case !h.out() || h.passes > 0:
		return min(fastest, p.Interval)
	case all:
		return p.Interval
	}
	return max(p.Interval, min(p.Interval<<min(h.missed, 8), slowest))
}

// jittered is d with at most jitter per cent taken or given; where is from -1 to 1.
func jittered(d time.Duration, where float64) time.Duration {
	return d + time.Duration(float64(d)*where*jitter/100)
}
