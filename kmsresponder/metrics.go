package kmsresponder

import (
	"net/netip"
	"sync"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
)

// The names that CoreDNS gives to a plugin's metrics, without CoreDNS.
const (
	metricsNamespace = "coredns"
	metricsSubsystem = "kms"
)

// Label values are bounded: words of ours, hosts of the pool, the versions and
// outcomes there are and "other" for all else. Nothing of a client's becomes one,
// and the rows of a host that announced itself go when the host does.
var (
	callsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "calls_total",
		Help: "Counter of calls of clients, by protocol version and by what became of them. forwarded_ok is an answer of a host, not an activation.",
	}, []string{"pool", "version", "result"})
	callHresultsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "call_hresults_total",
		Help: "Counter of errors that clients were answered, by HRESULT.",
	}, []string{"pool", "hresult"})
	callDuration = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "call_duration_seconds",
		Buckets:                     prometheus.ExponentialBuckets(0.00025, 2, 16), // to 8.192, CoreDNS's plugin.TimeBuckets
		NativeHistogramBucketFactor: 1.05,
		Help:                        "Histogram of the time that calls took, from the request to the answer, every host asked in it.",
	}, []string{"pool"})
	callRetriesTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "call_retries_total",
		Help: "Counter of stale connections that were replaced and of hosts that were asked again within one call.",
	}, []string{"pool"})
	callFailoversTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "call_failovers_total",
		Help: "Counter of hosts that were given up for another one within one call.",
	}, []string{"pool"})
	hostRequestsTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "host_requests_total",
		Help: "Counter of requests to KMS hosts, by outcome; kind is call, or copy for those that keep a host warm.",
	}, []string{"pool", "host", "kind", "outcome"})
	refusedTotal = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "responder_refused_total",
		Help: "Counter of clients turned away by the responder before any host was asked, by reason.",
	}, []string{"pool", "reason"})
	connectionsDesc = prometheus.NewDesc(prometheus.BuildFQName(metricsNamespace, metricsSubsystem, "responder_connections"),
		"Gauge of clients' connections to the responder.", []string{"pool"}, nil)
)

// Metrics is an Observer that counts. It finds its counters once: to look one up
// takes a lock, and every call needs several.
type Metrics struct {
	pool      string
	calls     [versionWords][]prometheus.Counter // by Result
	duration  prometheus.Observer
	retries   prometheus.Counter
	failovers prometheus.Counter
	refused   []prometheus.Counter
	hosts     *hostRows
}

// hostRows is the counters of a pool's hosts. They are found without a lock; mu
// is held while there are more or fewer.
type hostRows struct {
	mu sync.Mutex
	by sync.Map // of *hostCounters by endpoint
}

// allRows is the hostRows of each pool, by its name: they outlive the Metrics of
// one configuration, as the rows that they stand for do.
var allRows sync.Map

type hostCounters struct {
	calls, copies []prometheus.Counter // by Outcome
}

// versionWords is how many values the label version has: 4, 5, 6 and other.
const versionWords = 4

// NewMetrics returns an observer for the gateway in front of the pool of this
// name. Two of the same name count together.
func NewMetrics(pool string) *Metrics {
	rows, _ := allRows.LoadOrStore(pool, new(hostRows))
	m := &Metrics{
		pool:      pool,
		hosts:     rows.(*hostRows),
		duration:  callDuration.WithLabelValues(pool),
		retries:   callRetriesTotal.WithLabelValues(pool),
		failovers: callFailoversTotal.WithLabelValues(pool),
	}
	for i, version := range [versionWords]string{"4", "5", "6", "other"} {
		for _, r := range Results() {
			m.calls[i] = append(m.calls[i], callsTotal.WithLabelValues(pool, version, r.String()))
		}
	}
	for _, r := range Refusals() {
		m.refused = append(m.refused, refusedTotal.WithLabelValues(pool, r.String()))
	}
	return m
}

// Called implements Observer.
func (m *Metrics) Called(r CallRecord) {
	m.calls[versionIndex(r.Version)][r.Result].Inc()
	m.duration.Observe(r.Took.Seconds())
	if r.Retries > 0 {
		m.retries.Add(float64(r.Retries))
	}
	if r.Failovers > 0 {
		m.failovers.Add(float64(r.Failovers))
	}
	if r.HRESULT != kmswire.OK {
		callHresultsTotal.WithLabelValues(m.pool, hresultWord(r.HRESULT)).Inc()
	}
}

// Asked implements Observer.
func (m *Metrics) Asked(a Ask) {
	found, ok := m.hosts.by.Load(a.Host)
	if !ok {
		found = m.newHost(a.Host)
	}
	if h := found.(*hostCounters); a.Copy {
		h.copies[a.Outcome].Inc()
	} else {
		h.calls[a.Outcome].Inc()
	}
}

func (m *Metrics) newHost(endpoint string) any {
	m.hosts.mu.Lock()
	defer m.hosts.mu.Unlock()
	if found, ok := m.hosts.by.Load(endpoint); ok {
		return found
	}
	h := new(hostCounters)
	for _, o := range Outcomes() {
		h.calls = append(h.calls, hostRequestsTotal.WithLabelValues(m.pool, endpoint, "call", o.String()))
		h.copies = append(h.copies, hostRequestsTotal.WithLabelValues(m.pool, endpoint, "copy", o.String()))
	}
	m.hosts.by.Store(endpoint, h)
	return h
}

// Present implements Observer. A call that is under way may count a host that is
// gone once more; the next time, that goes too.
func (m *Metrics) Present(hosts map[string]bool) {
	m.hosts.mu.Lock()
	defer m.hosts.mu.Unlock()
	m.hosts.by.Range(func(endpoint, _ any) bool {
		if host := endpoint.(string); !hosts[host] {
			m.hosts.by.Delete(host)
			hostRequestsTotal.DeletePartialMatch(prometheus.Labels{"pool": m.pool, "host": host})
		}
		return true
	})
}

// Refused implements Observer.
func (m *Metrics) Refused(r Refusal, _ netip.Addr) { m.refused[r].Inc() }

// Calls returns how many calls ended how since the start of the process, by the
// word of the result.
func (m *Metrics) Calls() map[string]uint64 {
	all := make(map[string]uint64)
	for _, byResult := range m.calls {
		for i, r := range Results() {
			all[r.String()] += count(byResult[i])
		}
	}
	return all
}

// Refusals returns how many clients were turned away, by the word of the reason.
func (m *Metrics) Refusals() map[string]uint64 {
	all := make(map[string]uint64)
	for i, r := range Refusals() {
		all[r.String()] = count(m.refused[i])
	}
	return all
}

// count reads a counter.
func count(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}

func versionIndex(v kmswire.Version) int {
	if v.Known() {
		return int(v.Major) - 4
	}
	return versionWords - 1
}

// hresultWord is the code of an error that is known here, else its kind.
func hresultWord(hr kmswire.HRESULT) string {
	switch hr {
	case kmswire.InvalidData:
		return "8007000D"
	case kmswire.HostUnusable:
		return "C004F042"
	case kmswire.NotActivated:
		return "C004F041"
	case kmswire.NotEnabled:
		return "C004F039"
	case kmswire.ClockSkew:
		return "C004F06C"
	}
	return "other"
}

// GatewayCollector reports the gauges of whatever gateways run when it is asked,
// so that nothing of an old configuration lingers. The key is the pool's name; those
// in front of one pool count together.
type GatewayCollector struct{ Gateways func() map[string][]*Gateway }

// Describe implements prometheus.Collector.
func (GatewayCollector) Describe(ch chan<- *prometheus.Desc) { ch <- connectionsDesc }

// Collect implements prometheus.Collector.
func (c GatewayCollector) Collect(ch chan<- prometheus.Metric) {
	for pool, all := range c.Gateways() {
		n := 0
		for _, g := range all {
			n += g.Connections()
		}
		ch <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(n), pool)
	}
}
