package plugin

import (
	"strings"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/transfer"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var transfersTotal = promauto.NewCounterVec(prometheus.CounterOpts{
	Namespace: plugin.Namespace, Subsystem: Name, Name: "transfers_total",
	Help: "Counter of transfers of a zone to secondaries, by what they were sent: the full zone, incremental changes, or none.",
}, []string{"zone", "kind"})

// Transfer implements transfer.Transferer for the service names that are zones of their own: the versions of a zone are in its
// journal. serial is that of the version that the secondary has, 0 if it has none.
//
// The records are sent as one slice, already in the channel: whoever stops reading keeps nothing waiting.
func (h *Handler) Transfer(zone string, serial uint32) (<-chan []dns.RR, error) {
	c := h.cuts[strings.ToLower(zone)]
	if c == nil {
		return nil, transfer.ErrNotAuthoritative
	}
	rrs, kind := c.journal().state.Load().stream(serial)
	transfersTotal.WithLabelValues(c.name, string(kind)).Inc()
	ch := make(chan []dns.RR, 1)
	ch <- rrs
	close(ch)
	return ch, nil
}
