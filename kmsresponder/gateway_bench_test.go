package kmsresponder

import (
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkVisit is a client's whole visit, as Windows makes it: connect, bind,
// request, close; to a host, and to a gateway in front of it with everything
// switched on. All ends share the machine.
func BenchmarkVisit(b *testing.B) {
	h := startHost(b, &host{})
	addr, _, _ := startGateway(b, GatewayConfig{
		Pool: poolOf(hostAt(h.addr, 0)), Observer: NewMetrics("bench"), Ledger: runLedger(b), Warm: 5, Limits: Limits{Connections: -1, Client: -1, Rate: 1 << 30},
	})
	for name, to := range map[string]string{"host": h.addr, "gateway": addr} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			var once sync.Once
			var clients atomic.Int64
			b.RunParallel(func(p *testing.PB) {
				message := messageV4(int(clients.Add(1)))
				for p.Next() {
					if _, hr, err := callOnce(to, message); err != nil || hr != 0 {
						once.Do(func() { b.Errorf("%v, %v", hr, err) })
						return
					}
				}
			})
		})
	}
}

// BenchmarkStay is one call on a connection that stays.
func BenchmarkStay(b *testing.B) {
	h := startHost(b, &host{})
	addr, _, _ := startGateway(b, GatewayConfig{
		Pool: poolOf(hostAt(h.addr, 0)), Observer: NewMetrics("bench"), Limits: Limits{Rate: 1 << 30},
	})
	for name, to := range map[string]string{"host": h.addr, "gateway": addr} {
		b.Run(name, func(b *testing.B) {
			s, message := connectTo(b, to), messageV4(1)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.request(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
