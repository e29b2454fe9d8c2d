package kms

import (
	"time"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/prometheus/client_golang/prometheus"
)

func init() { prometheus.MustRegister(ledgerCollector{}) }

// ledgerCollector reports what the ledger of the process says when it is asked. There is one for as long as there is a
// responder.
type ledgerCollector struct{}

var (
	hostClientsDesc = ledgerDesc("host_clients",
		"Gauge of distinct clients that a KMS host was sent requests of in the last 30 days, as the ledger has it. "+
			"The host's own count may be higher.",
		"pool", "host")
	lastCallDesc = ledgerDesc("last_call_timestamp_seconds",
		"Gauge of the Unix time when a KMS host of the pool last took a client's call, 0 if none is known.", "pool")
	clientsDesc  = ledgerDesc("clients", "Gauge of clients in the ledger.")
	unservedDesc = ledgerDesc("clients_unserved", "Gauge of clients in the ledger that no KMS host ever took a request of.")
	silentDesc   = ledgerDesc("clients_silent", "Gauge of clients in the ledger that did not call for so many days or more.", "days")
	droppedDesc  = ledgerDesc("ledger_dropped_calls_total",
		"Counter of calls that are not in the ledger because they came faster than it could take them.")
	evictedDesc = ledgerDesc("ledger_evicted_clients_total", "Counter of clients that were forgotten because the ledger was full.")
)

func ledgerDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, dnsface.Name, name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		hostClientsDesc, lastCallDesc, clientsDesc, unservedDesc, silentDesc, droppedDesc, evictedDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	for _, book := range engine.Each[*engine.Book](running) {
		s := book.Summary(time.Now())
		gauge(ch, clientsDesc, float64(s.Clients))
		gauge(ch, unservedDesc, float64(s.Unserved))
		gauge(ch, silentDesc, float64(s.Silent90), "90")
		gauge(ch, silentDesc, float64(s.Silent150), "150")
		gauge(ch, silentDesc, float64(s.Silent180), "180")
		ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.Dropped))
		ch <- prometheus.MustNewConstMetric(evictedDesc, prometheus.CounterValue, float64(s.Evicted))
		responders := gateways()
		for _, p := range pools() {
			if responders[p.Name] != nil { // nothing is known of clients that call hosts themselves
				collectCalls(ch, p, book.Ledger)
			}
		}
	}
}

// collectCalls reports what book knows of the hosts of p. Hosts that only say they are have no clients.
func collectCalls(ch chan<- prometheus.Metric, p engine.Pool, book *ledger.Ledger) {
	last := 0.0
	for _, h := range p.Hosts() {
		if h.State == pool.Claimed {
			continue
		}
		gauge(ch, hostClientsDesc, float64(book.Clients(h.Endpoint())), p.Name, h.Endpoint())
		if at := book.Taken(h.Endpoint()); !at.IsZero() {
			last = max(last, float64(at.UnixMilli())/1000)
		}
	}
	gauge(ch, lastCallDesc, last, p.Name)
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
