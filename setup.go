// Package kms is a CoreDNS plugin that answers _vlmcs._tcp SRV questions from a pool of KMS hosts that it checks itself.
//
// This package registers the directive, reads its blocks of a Corefile and ties the parts together; the parts are in
// plugin/, kmsresponder/ and internal/.
package kms

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// running is what outlives a reload. There is one CoreDNS in a process, so there is one of it.
var running = engine.New()

func init() {
	plugin.Register(dnsface.Name, setup)
	prometheus.MustRegister(dnsface.Collector{Pools: pools}, kmsresponder.GatewayCollector{Gateways: gateways})
}

func pools() []engine.Pool { return engine.Pools(running) }

// setup reads the kms blocks of one server block and hangs their lives on CoreDNS's. It starts nothing: CoreDNS drops a
// configuration that fails without telling its plugins.
func setup(c *caddy.Controller) error {
	sites, err := parse(c)
	if err != nil {
		return plugin.Error(dnsface.Name, err)
	}
	note(c, sites)
	handler := dnsface.New(sites, origins(c))
	handler.Checked = allChecked
	handler.Direct = straight
	life := &life{generation: generation(c), sites: sites}
	for _, s := range sites {
		running.Expect(life.generation, s.Block)
	}
	if slices.ContainsFunc(sites, func(s *dnsface.Site) bool { return s.Update != nil }) {
		dnsserver.GetConfig(c).AllowOpcode(dns.OpcodeUpdate)
	}

	c.OnStartup(func() error {
		handler.Signed = dnsserver.GetConfig(c).Handler("dnssec") != nil
		handler.Sealed = dnsserver.GetConfig(c).Handler("tsig") != nil
		handler.Dynupdate = dnsserver.GetConfig(c).Handler("dynupdate") != nil
		life.storePath, _ = c.Get(processKey("store")).(string) // all blocks of the Corefile are parsed now
		life.controlPath, _ = c.Get(processKey("control")).(string)
		life.status, _ = c.Get(processKey("status")).(string)
		if life.status != "" || life.controlPath != "" {
			handler.Questions = &past.clients
		}
		life.transfers = newTransfers(c)
		if err := checkKeys(sites, dnsserver.GetConfig(c).TsigSecret); err != nil {
			return plugin.Error(dnsface.Name, err)
		}
		if err := life.start(); err != nil {
			return plugin.Error(dnsface.Name, err)
		}
		return nil
	})
	c.OnRestart(life.restart)
	c.OnRestartFailed(life.restartFailed)
	c.OnShutdown(life.shutdown)
	c.OnFinalShutdown(life.finalShutdown)

	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		handler.Next = next
		return handler
	})
	return nil
}

// allChecked is whether each pool of the process finished its first round of probes. Without a pool, as before the start and
// after the end, it is not.
func allChecked() bool {
	all := pools()
	for _, p := range all {
		if !p.Snapshot().Checked {
			return false
		}
	}
	return len(all) > 0
}

// generationKey is where an instance of CoreDNS, which is one load of a Corefile, keeps its generation.
type generationKey struct{}

// generation is the same for all kms blocks of one Corefile.
func generation(c *caddy.Controller) engine.Generation {
	if g, ok := c.Get(generationKey{}).(engine.Generation); ok {
		return g
	}
	g := running.NextGeneration()
	c.Set(generationKey{}, g)
	return g
}

// alive is the generations of the instances that CoreDNS has: those that serve, and one that is about to. It takes a failed
// one off its list, and one that is replaced before it tells the plugins.
func alive() map[engine.Generation]bool {
	all := make(map[engine.Generation]bool)
	for _, i := range caddy.Instances() {
		i.StorageMu.RLock()
		if g, ok := i.Storage[generationKey{}].(engine.Generation); ok {
			all[g] = true
		}
		i.StorageMu.RUnlock()
	}
	return all
}

// sweep drops what discarded configurations hold. CoreDNS does not tell them; it tells the old configuration, but that may
// have no kms block, and then the next start is the first to notice.
func sweep() {
	all := alive()
	running.Sweep(func(g engine.Generation) bool { return all[g] })
}

// life follows the kms blocks of one server block through CoreDNS's callbacks, whose order is in docs/design.md.
type life struct {
	generation  engine.Generation
	sites       []*dnsface.Site
	storePath   string // of the process, whichever block names it; empty: none does
	controlPath string // likewise
	status      string // likewise: the address and the names of the status page
	transfers   transfers

	keeper     *keeper       // of the store, since start; nil if none is named
	lease      *engine.Lease // nil before start
	again      []func()      // what start did to things that a failed reload may have changed
	restarting bool
	before     engine.Generation // the latest generation when the restart began
}

// start takes what the blocks need: pools and rehearsal hosts. Whatever can fail, fails here. What belongs to the store waits
// until the configuration serves, which is now if there is none to be replaced.
func (l *life) start() error {
	sweep()
	l.lease = running.Lease(l.generation)
	if err := l.take(); err != nil {
		l.lease.Release()
		return err
	}
	if running.First(l.generation) {
		serve(l.generation)
	}
	return nil
}

// serve lets what the configurations from first on had left for later come into force: they serve now.
func serve(first engine.Generation) {
	running.Serve(func(g engine.Generation) bool { return g >= first })
}

func (l *life) take() error {
	stored := l.openStore() // first, so that it is closed last
	for _, s := range l.sites {
		p, err := engine.HoldPool(l.lease, s.Block, means(s.Block.Probe), stored)
		if err != nil {
			return err
		}
		s.Pool = p.Pool
		if err := l.announced(s, p); err != nil {
			return err
		}
		if err := l.transfer(s); err != nil {
			return err
		}
		for _, r := range s.Rehearse {
			if err := l.rehearse(r); err != nil {
				return err
			}
		}
		var r *responder
		if s.Responder != nil {
			if r, err = l.respond(*s.Responder, p); err != nil {
				return err
			}
		}
		if err := l.show(s, p, r); err != nil {
			return err
		}
	}
	if err := l.openStatus(); err != nil {
		return err
	}
	return l.openControl()
}

// restart is before a reload, which is broken off if there is nothing to reload.
func (l *life) restart() error {
	l.restarting, l.before = true, running.Latest()
	if err := blank(); err != nil {
		return plugin.Error(dnsface.Name, err)
	}
	return nil
}

// restartFailed takes back what the configuration that failed had changed, and drops what it had taken. CoreDNS calls it too
// when a reload succeeded and some plugin's shutdown then failed: the new configuration serves, and nothing is to be undone.
func (l *life) restartFailed() error {
	l.restarting = false
	for g := range alive() {
		if g > l.before {
			serve(g)
			return nil
		}
	}
	failedReload.Store(&reloadFailure{time.Now(), running.Latest()})
	for _, f := range l.again {
		f()
	}
	sweep()
	return nil
}

// shutdown gives up what a reload replaced; that is how CoreDNS says that the new configuration serves. When the process ends it
// does nothing yet: queries are still answered.
func (l *life) shutdown() error {
	if l.restarting && l.lease != nil {
		serve(l.generation + 1) // while what this one keeps things in is open
		l.lease.Release()
	}
	return nil
}

// finalShutdown ends everything, and first what tells of it: or somebody would be told that there is no host. A responder finishes
// its calls, for which DNS may still be asked: this node is no longer told to anybody.
func (l *life) finalShutdown() error {
	if l.lease == nil {
		return nil
	}
	running.Halt(l.controlKey(), l.statusKey())
	for _, s := range l.sites {
		s.Pool.Withdraw()
	}
	l.saveHealth()
	l.lease.Release()
	return nil
}

// gate bounds the probes of all pools of the process together.
var gate = make(probe.Gate, probe.InFlight)

// means is how pools reach the world.
func means(p config.Probe) func(name string) pool.Means {
	return func(name string) pool.Means {
		observer := observer{dnsface.Observer{Pool: name}}
		return pool.Means{
			Probe:    probe.Prober{Kind: p.Kind, Timeout: p.Timeout, Gate: gate}.Probe,
			Resolve:  probe.NewResolver().Resolve,
			Observer: observer,
			Gone:     observer.Gone,
			Jitter:   func() float64 { return 2*rand.Float64() - 1 },
		}
	}
}

// rehearse keeps a rehearsal host as c says. One that runs already goes on, with the clients that it has counted.
func (l *life) rehearse(c config.Rehearse) error {
	rules := &kmsresponder.Rehearsal{Name: c.Address, Secret: []byte(c.Secret), Key: c.Group,
		ActivationInterval: c.ActivationInterval, RenewalInterval: c.RenewalInterval,
		Log: func(line string) { log.Infof("rehearse %s: %s", c.Address, line) }}
	host, err := engine.Hold(l.lease, "rehearse "+c.Address, func() (*kmsresponder.Rehearsal, func(context.Context), error) {
		ln, err := net.Listen("tcp", c.Address)
		if err != nil {
			return nil, nil, fmt.Errorf("rehearse %s: %w", c.Address, err)
		}
		host := &kmsresponder.Rehearsal{}
		return host, func(ctx context.Context) {
			if err := host.Serve(ctx, ln); err != nil {
				log.Errorf("rehearse %s: %v", c.Address, err)
			}
		}, nil
	})
	if err != nil {
		return err
	}
	host.Configure(rules)
	l.again = append(l.again, func() { host.Configure(rules) })
	return nil
}
