package kms

import (
	"context"
	"fmt"
	"sync/atomic"

	clog "github.com/coredns/coredns/plugin/pkg/log"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"
)

var log = clog.NewWithPlugin(dnsface.Name)

// responder is a gateway that runs. Its socket and its clients' connections outlive a reload; what it does with them is what
// the newest configuration says.
type responder struct {
	*kmsresponder.Gateway
	order atomic.Pointer[order]
}

// order is what a configuration has a responder do.
type order struct {
	generation engine.Generation
	pool       string
	metrics    *kmsresponder.Metrics
	gateway    kmsresponder.GatewayConfig
}

func (r *responder) follow(o *order) {
	r.Configure(o.gateway)
	r.order.Store(o)
}

// gateways is every responder that runs, by the name of its pool, which several may have.
func gateways() map[string][]*kmsresponder.Gateway {
	all := make(map[string][]*kmsresponder.Gateway)
	for _, r := range engine.Each[*responder](running) {
		pool := r.order.Load().pool
		all[pool] = append(all[pool], r.Gateway)
	}
	return all
}

// respond keeps the responder of c listening in front of p. The ledger that it writes is one for the process.
func (l *life) respond(c config.Responder, p engine.Pool) (*responder, error) {
	book, err := l.holdLedger()
	if err != nil {
		return nil, err
	}
	calls, err := l.holdCallLog()
	if err != nil {
		return nil, err
	}
	metrics := kmsresponder.NewMetrics(p.Name)
	o := &order{generation: l.generation, pool: p.Name, metrics: metrics,
		gateway: gatewayConfig(c, p, book.Ledger, callObserver{metrics, p.Name, limitsOf(c), calls})}
	fresh := false
	r, err := engine.Hold(l.lease, "responder "+c.Address, func() (*responder, func(context.Context), error) {
		ln, err := kmsresponder.ListenGateway(context.Background(), c.Address)
		if err != nil {
			return nil, nil, fmt.Errorf("responder %s: %w", c.Address, err)
		}
		fresh = true
		r := &responder{Gateway: kmsresponder.NewGateway(o.gateway)}
		r.order.Store(o)
		return r, func(ctx context.Context) {
			if err := r.Serve(ctx, ln); err != nil {
				log.Errorf("responder %s: %v", c.Address, err)
			}
		}, nil
	})
	switch {
	case err != nil:
		return nil, err
	case !fresh && r.order.Load().generation == l.generation:
		return nil, fmt.Errorf("responder %s stands in two kms blocks: give each an address of its own", c.Address)
	}
	r.follow(o)
	l.again = append(l.again, func() { r.follow(o) })
	return r, nil
}

// gatewayConfig is c as the gateway takes it.
func gatewayConfig(c config.Responder, p engine.Pool, book *ledger.Ledger, o kmsresponder.Observer) kmsresponder.GatewayConfig {
	return kmsresponder.GatewayConfig{
		Pool:     p.Pool,
		Group:    kmsresponder.ProductGroup,
		Policy:   c.Policy,
		Warm:     c.Warm,
		Ledger:   book,
		Observer: o,
		Allow:    c.Allow,
		Limits:   kmsresponder.Limits{Connections: c.Connections, Client: c.PerClient, Rate: c.Rate},
		Budget:   c.Budget,
	}
}
