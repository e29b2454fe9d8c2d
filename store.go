package kms

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-kms/coredns-kms/internal/control"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/status"
	"github.com/coredns-kms/coredns-kms/internal/store"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/prometheus/client_golang/prometheus"
)

func init() { prometheus.MustRegister(storeCollector{}) }

// checkStore is how often the store is looked after, and how often one that does not work is complained of.
const checkStore = time.Minute

// keeper looks after the store of the process: one for each store that is open and, since each configuration tries anew, one
// for each configuration that could not open it.
type keeper struct {
	path       string
	generation engine.Generation
	store      *store.Store          // nil if it could not be opened
	broken     atomic.Pointer[error] // why it does not take changes; nil if it does
	health     sync.Once             // is saved once, at the end
}

// run looks after the store until ctx is done.
func (k *keeper) run(ctx context.Context) {
	t := time.NewTicker(checkStore)
	defer t.Stop()
	for {
		if err := k.broken.Load(); err != nil {
			log.Errorf("%v. Clients are answered all the same; %s", *err, k.lacking())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			k.check()
		}
	}
}

// lacking is what a store that does not work means for those who rely on it.
func (k *keeper) lacking() string {
	if k.store == nil {
		return "drains and announced hosts that are in it do not count, and what changes will not outlive a restart, until a reload finds it mended"
	}
	return "what changes from now on will not outlive a restart"
}

// check finds out whether the store takes changes, by one that changes nothing.
func (k *keeper) check() {
	if k.store == nil {
		return
	}
	if err := k.store.Update(func(*store.Tx) error { return nil }); err != nil {
		k.broken.Store(&err)
	} else if k.broken.Swap(nil) != nil {
		log.Infof("store %s: takes changes again", k.path)
	}
}

// openStore opens the store that some block of the Corefile names, for all of them, and returns what it has of hosts. A store
// that cannot be opened stops nobody: clients are answered from memory, and who wants something kept is told that it cannot
// be. l.keeper then has no store, and is nil if none is named.
func (l *life) openStore() engine.Memories {
	if l.storePath == "" {
		return engine.Memories{}
	}
	if err := l.holdStore(); err != nil {
		log.Errorf("%v", err)
		return engine.Memories{}
	}
	st := l.keeper.store
	if st == nil {
		return engine.Memories{}
	}
	l.lease.Later(func() {
		if err := engine.AlignDrains(running, st); err != nil {
			log.Errorf("drains that are in force cannot be stored: %v", err)
		}
	})
	stored, err := engine.LoadMemories(st)
	if err != nil {
		log.Errorf("not everything that is stored of hosts can be read: %v", err)
	}
	return stored
}

// holdStore holds the store, and the keeper above it. What it returns is an error of ours, not of the store.
func (l *life) holdStore() (err error) {
	for _, k := range engine.Each[*keeper](running) {
		if k.path == l.storePath && k.generation == l.generation && k.store == nil {
			l.keeper = k // another block of this configuration failed a moment ago
		}
	}
	key, k := "keeper "+l.storePath, &keeper{path: l.storePath, generation: l.generation}
	if l.keeper == nil {
		var broken error
		if k.store, broken = engine.HoldStore(l.lease, l.storePath); broken != nil {
			k.broken.Store(&broken)
		}
	}
	if k.store == nil {
		key = fmt.Sprintf("%s of configuration %d", key, l.generation)
	}
	l.keeper, err = engine.Hold(l.lease, key, func() (*keeper, func(context.Context), error) { return k, k.run, nil })
	return err
}

// store is what l keeps things in; nil if none is named, or if it could not be opened.
func (l *life) store() *store.Store {
	if l.keeper == nil {
		return nil
	}
	return l.keeper.store
}

// broken is why there is no store although one is named.
func (l *life) broken() error {
	if l.keeper == nil || l.keeper.store != nil {
		return nil
	}
	return *l.keeper.broken.Load()
}

// saveHealth stores what is known of hosts, which the next process may believe if it starts soon. The first block that ends
// does it for all.
func (l *life) saveHealth() {
	if l.store() == nil {
		return
	}
	l.keeper.health.Do(func() {
		if err := engine.SaveMemories(l.store(), running); err != nil {
			log.Errorf("health at shutdown cannot be stored: %v", err)
		}
	})
}

// controlKey is what the engine calls the server at the control socket.
func (l *life) controlKey() string { return "control " + l.controlPath }

// openControl listens at the control socket that some block of the Corefile names. It serves all of them.
func (l *life) openControl() error {
	if l.controlPath == "" {
		return nil
	}
	s, err := engine.Hold(l.lease, l.controlKey(), func() (*control.Server, func(context.Context), error) {
		ln, err := control.Listen(l.controlPath)
		if err != nil {
			return nil, nil, err
		}
		s := &control.Server{Engine: running, Status: (&status.Site{Source: live()}).API(), Log: func(line string) { log.Info(line) }}
		s.Keep(l.store(), l.broken())
		return s, func(ctx context.Context) {
			if err := s.Serve(ctx, ln); err != nil {
				log.Errorf("control %s: %v", l.controlPath, err)
			}
		}, nil
	})
	if err != nil {
		return err
	}
	st, broken := l.store(), l.broken()
	l.lease.Later(func() { s.Keep(st, broken) })
	return nil
}

// holdLedger returns the ledger of the process, which is kept in the store if there is one.
func (l *life) holdLedger() (*engine.Book, error) {
	st := l.store()
	book, err := engine.HoldLedger(l.lease, st, func(err error) { log.Errorf("%v", err) })
	if err != nil {
		return nil, err
	}
	l.lease.Later(func() { book.Keep(st) })
	return book, nil
}

// storeCollector reports a gauge for the store that there is when it is asked.
type storeCollector struct{}

var storeUpDesc = prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, dnsface.Name, "store_up"),
	"Gauge that is 1 while the store is open and takes changes, as of the last minute, else 0.", []string{"path"}, nil)

// Describe implements prometheus.Collector.
func (storeCollector) Describe(ch chan<- *prometheus.Desc) { ch <- storeUpDesc }

// Collect implements prometheus.Collector.
func (storeCollector) Collect(ch chan<- prometheus.Metric) {
	newest := make(map[string]*keeper)
	for _, k := range engine.Each[*keeper](running) {
		if before := newest[k.path]; before == nil || before.store == nil && (k.store != nil || k.generation > before.generation) {
			newest[k.path] = k
		}
	}
	for path, k := range newest {
		up := 1.0
		if k.broken.Load() != nil {
			up = 0
		}
		ch <- prometheus.MustNewConstMetric(storeUpDesc, prometheus.GaugeValue, up, path)
	}
}
