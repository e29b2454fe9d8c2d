package lint

import (
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

var answerRules = []Rule{
	{Name: "ttl-above-detection", Severity: Note, block: ttlAboveDetection,
		Reason: "resolvers hold a dead host for a TTL after the server dropped it: longer than dropping it takes, and " +
			"probing faster gains little"},
	{Name: "ttl-long", Severity: Warning, block: ttlLong,
		Reason: "with a TTL of more than twice the time to detect, most of the time that clients are sent to a dead host is " +
			"the TTL's"},
	{Name: "all-down-parks", Severity: Note, block: allDownParks,
		Reason: "a client that gets no host asks again after two hours, one that gets a dead host loses a connection attempt"},
}

// Of the schedule by which hosts are probed (internal/pool, timing.go).
const (
	fastest = 2 * time.Second // between probes of a suspect
	jitter  = 10              // per cent that a pause may be longer
)

// Detection is the longest that a host can be dead before p takes it out of the answer, in whatever way it died: it is asked
// last right before it dies, the pauses are as long as they get, and each probe waits for its timeout. TestDetectionBound of
// internal/pool measures it.
func Detection(p config.Probe) time.Duration {
	longest := func(d time.Duration) time.Duration { return d + d*jitter/100 }
	again := max(longest(min(fastest, p.Interval)), p.Timeout) // probes of one host do not overlap
	return longest(p.Interval) + time.Duration(p.Fall-1)*again + p.Timeout
}

// short is d as people write it: to the tenth of a second, and 5m rather than 5m0s.
func short(d time.Duration) string {
	text := d.Round(100 * time.Millisecond).String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// ttlAboveDetection is quiet where nobody wrote anything: the default is a compromise with the number of questions.
func ttlAboveDetection(v view, say sayer) {
	b := v.block
	_, ttl := b.Places["ttl"]
	_, probe := b.Places["probe"]
	if d := Detection(b.Probe); (ttl || probe) && b.TTL > d && b.TTL <= 2*d {
		say(b.Places.Of("ttl", "probe"), "ttl %s is more than the %s in which a dead host is found out and dropped: "+
			"resolvers hold it for up to %s longer; "+
			"a shorter ttl means more questions and no other harm", short(b.TTL), short(d), short(b.TTL))
	}
}

func ttlLong(v view, say sayer) {
	b := v.block
	if d := Detection(b.Probe); b.TTL > 2*d {
		say(b.Places.Of("ttl", "probe"), "ttl %s is more than twice the %s in which a dead host is found out and dropped: "+
			"resolvers hold it for up to %s longer; "+
			"\"ttl %s\" would keep step with the probes", short(b.TTL), short(d), short(b.TTL), max(d.Truncate(time.Second), config.MinTTL))
	}
}

func allDownParks(v view, say sayer) {
	b := v.block
	if b.AllDown == config.Serve {
		return
	}
	if b.AllDown == config.NoData {
		for _, z := range b.Zones {
			if b.falls(config.ServiceName(z)) && len(b.Below[z].SRV) > 0 {
				return // static records are the last resort
			}
		}
	}
	say(b.Places.Of("all_down"), "all_down %s: a client that gets no host gives up for two hours, even if one is back "+
		"after a minute; "+
		"\"all_down serve\" costs it a connection attempt", b.AllDown)
}
