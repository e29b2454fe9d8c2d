package plugin

import (
	"time"

	clog "github.com/coredns/coredns/plugin/pkg/log"

	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/prometheus/client_golang/prometheus"
)

var log = clog.NewWithPlugin(Name)

// Observer counts and logs what happens in the pool of its name. It implements pool.Observer.
type Observer struct{ Pool string }

// Probed implements pool.Observer. Single probes are not logged: a host that fails says so once, by changing its state.
func (o Observer) Probed(endpoint string, r probe.Result) {
	probesTotal.WithLabelValues(o.Pool, endpoint, r.Outcome.String()).Inc()
	if r.Outcome == probe.Passed {
		probeDuration.WithLabelValues(o.Pool).Observe(r.RTT.Seconds())
	}
	log.Debugf("pool %s: %s: %s", o.Pool, endpoint, r)
}

// Gone forgets the counts of an announced host that is no more: names come and go, and rows are not to pile up.
func (o Observer) Gone(endpoint string) {
	row := prometheus.Labels{"pool": o.Pool, "host": endpoint}
	probesTotal.DeletePartialMatch(row)
	transitionsTotal.DeletePartialMatch(row)
}

// Changed implements pool.Observer: one line for each transition.
func (o Observer) Changed(t pool.Transition) {
	transitionsTotal.WithLabelValues(o.Pool, t.Host, t.To.String()).Inc()
	after := t.After.Round(time.Millisecond)
	switch {
	case t.To == pool.Suspect || t.To == pool.Down:
		log.Warningf("pool %s: %s is %s after %s %s: %v", o.Pool, t.Host, t.To, after, t.From, t.Reason)
	default:
		log.Infof("pool %s: %s is %s after %s %s", o.Pool, t.Host, t.To, after, t.From)
	}
}

// Resolved implements pool.Observer.
func (o Observer) Resolved(endpoint string, err error) {
	if err != nil {
		log.Warningf("pool %s: the name of %s does not resolve, what was last known of it stays: %v", o.Pool, endpoint, err)
	} else {
		log.Infof("pool %s: the name of %s resolves again", o.Pool, endpoint)
	}
}

// Settled implements pool.Observer. A pool with a suspect says nothing: the host did.
func (o Observer) Settled(from, c pool.Condition, after time.Duration) {
	after = after.Round(time.Second)
	switch {
	case c == pool.AllDown && from == c && after > 0:
		log.Errorf("pool %s: still no KMS host is left, for %s now", o.Pool, after)
	case c == pool.AllDown:
		log.Errorf("pool %s: no KMS host is left: each failed its checks, is drained or has not proved itself", o.Pool)
	case c == pool.SelfSuspected && from == c:
		log.Errorf("pool %s: every KMS host still fails, for %s now; the last good answer is kept", o.Pool, after)
	case c == pool.SelfSuspected:
		log.Errorf("pool %s: every KMS host failed within one interval: suspecting this machine's own network, the last good answer is kept", o.Pool)
	case from == pool.SelfSuspected && c == pool.Unsettled:
		log.Infof("pool %s: no longer suspecting this machine, after %s", o.Pool, after)
	case from == pool.AllDown || from == pool.SelfSuspected:
		log.Infof("pool %s: a KMS host is back after %s", o.Pool, after)
	}
}
