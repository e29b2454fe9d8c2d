package plugin

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Result is how a question was answered.
type Result uint8

const (
	Normal   Result = iota // from what the checks say
	FailOpen               // although every host is down, or while this machine suspects itself
	NoData                 // an empty answer
	ServFail
	NXDomain // for a name in a zone of ours that has no such name
)

var resultWords = [...]string{"normal", "fail_open", "nodata", "servfail", "nxdomain"}

func (r Result) String() string { return resultWords[r] }

var (
	answersTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace, Subsystem: Name, Name: "answers_total",
		Help: "Counter of questions for the names that kms owns, by how they were answered.",
	}, []string{"server", "zone", "view", "result"})
	transitionsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace, Subsystem: Name, Name: "host_transitions_total",
		Help: "Counter of changes of a KMS host's state, by the new state.",
	}, []string{"pool", "host", "to"})
	probesTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: plugin.Namespace, Subsystem: Name, Name: "probes_total",
		Help: "Counter of probes of KMS hosts, by outcome: passed, or the reason of the failure.",
	}, []string{"pool", "host", "outcome"})
	probeDuration = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: plugin.Namespace, Subsystem: Name, Name: "probe_duration_seconds",
		Buckets:                     plugin.TimeBuckets,
		NativeHistogramBucketFactor: plugin.NativeHistogramBucketFactor,
		Help:                        "Histogram of the time that passed probes took, from connect to the last octet.",
	}, []string{"pool"})
)

// answerCounters are the counters of one owned name, found once for each server and view that asks through it: looking a
// counter up takes a lock, and this is the path of every answer.
type answerCounters struct{ rows atomic.Pointer[[]answerRow] }

type answerRow struct {
	server, view string
	counters     [len(resultWords)]prometheus.Counter
}

func (o *owner) count(ctx context.Context, r Result) {
	server, view := metrics.WithServer(ctx), metrics.WithView(ctx)
	rows := o.answers.rows.Load()
	if rows != nil {
		for i := range *rows {
			if row := &(*rows)[i]; row.server == server && row.view == view {
				row.counters[r].Inc()
				return
			}
		}
	}
	row := answerRow{server: server, view: view}
	for i := range row.counters {
		row.counters[i] = answersTotal.WithLabelValues(server, o.zone, view, Result(i).String())
	}
	row.counters[r].Inc()
	var grown []answerRow
	if rows != nil {
		grown = slices.Clone(*rows)
	}
	grown = append(grown, row)
	o.answers.rows.CompareAndSwap(rows, &grown) // who loses the race comes here once more
}

// Collector reports the gauges of whatever pools run when it is asked, so that nothing of an old configuration lingers.
type Collector struct{ Pools func() []engine.Pool }

var (
	hostsDesc = prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, Name, "hosts"),
		"Gauge of KMS hosts by state.", []string{"pool", "state"}, nil)
	hostUpDesc = prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, Name, "host_up"),
		"Gauge that is 1 while a KMS host's state is up, else 0.", []string{"pool", "host"}, nil)
	hostStateDesc = prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, Name, "host_state"),
		"Gauge that is 1 for the state a KMS host is in, else 0.", []string{"pool", "host", "state"}, nil)
	conditionDesc = prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, Name, "pool_condition"),
		"Gauge that is 1 for the condition the pool is in, else 0.", []string{"pool", "condition"}, nil)
	ageDesc = prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, Name, "pool_age_seconds"),
		"Gauge of the time since any probe of the pool last ended.", []string{"pool"}, nil)
)

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hostsDesc, hostUpDesc, hostStateDesc, conditionDesc, ageDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, p := range c.Pools() {
		states := make(map[pool.State]int)
		for _, h := range p.Hosts() {
			states[h.State]++
			if h.State == pool.Claimed {
				continue // who only says that he is a host is none that could be missed
			}
			gauge(hostUpDesc, oneIf(h.State == pool.Up), p.Name, h.Endpoint())
			for _, s := range pool.States() {
				if s != pool.Claimed {
					gauge(hostStateDesc, oneIf(h.State == s), p.Name, h.Endpoint(), s.String())
				}
			}
		}
		for _, s := range pool.States() {
			gauge(hostsDesc, float64(states[s]), p.Name, s.String())
		}
		present := p.Snapshot().Condition
		for _, condition := range pool.Conditions() {
			gauge(conditionDesc, oneIf(condition == present), p.Name, condition.String())
		}
		gauge(ageDesc, p.Age().Seconds(), p.Name)
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
