package kms

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coredns/caddy"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/internal/status"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"
)

// past is what lately happened in this process, whatever configuration it had.
var past struct {
	hosts   history.Hosts
	clients history.Clients
}

// reloadFailure is a reload that failed, and the newest configuration that there was by then.
type reloadFailure struct {
	at     time.Time
	latest engine.Generation
}

// failedReload is the last one; nil if there was none.
var failedReload atomic.Pointer[reloadFailure]

// lastFailedReload is when the last reload failed; zero if there was none, or a later one succeeded.
func lastFailedReload() time.Time {
	f := failedReload.Load()
	if f == nil || newest(engine.Each[*shown](running)) > f.latest {
		return time.Time{}
	}
	return f.at
}

// observer has what happens in a pool counted, logged and remembered.
type observer struct{ dnsface.Observer }

func (o observer) Probed(endpoint string, r probe.Result) {
	o.Observer.Probed(endpoint, r)
	past.hosts.Probed(o.Pool, endpoint, r, time.Now())
}

func (o observer) Changed(t pool.Transition) {
	o.Observer.Changed(t)
	past.hosts.Changed(o.Pool, t, time.Now())
}

func (o observer) Gone(endpoint string) {
	o.Observer.Gone(endpoint)
	past.hosts.Forget(o.Pool, endpoint)
}

// shown is a kms block that serves, as the engine holds it.
type shown struct {
	generation engine.Generation
	site       *dnsface.Site
	pool       engine.Pool
	responder  *responder // nil if there is none
}

// show lets a block be seen on the status page for as long as l lives.
func (l *life) show(s *dnsface.Site, p engine.Pool, r *responder) error {
	key := fmt.Sprintf("block %s %p", strings.Join(s.Zones, " "), s) // they are shown in this order
	_, err := engine.Hold(l.lease, key, func() (*shown, func(context.Context), error) {
		return &shown{l.generation, s, p, r}, func(ctx context.Context) { <-ctx.Done() }, nil
	})
	return err
}

// live is what the status page and the commands show.
func live() *status.Live {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return &status.Live{
		HostHistory: &past.hosts, ClientHistory: &past.clients,
		Server: status.Server{Name: name, Program: caddy.AppName + "-" + caddy.AppVersion, Started: started},
		Faces:  faces, Book: ledgerBook, Broken: brokenStore, Unloaded: lastFailedReload,
	}
}

// ledgerBook is the ledger of the process; nil if no responder runs.
func ledgerBook() *engine.Book {
	if books := engine.Each[*engine.Book](running); len(books) > 0 {
		return books[0]
	}
	return nil
}

// started is when this process was.
var started = time.Now()

// newest is the newest configuration that all belong to.
func newest(all []*shown) engine.Generation {
	latest := engine.Generation(0)
	for _, s := range all {
		latest = max(latest, s.generation)
	}
	return latest
}

// faces is the blocks of the newest configuration that serves.
func faces() []status.Face {
	all := engine.Each[*shown](running)
	serving := newest(all)
	var out []status.Face
	for _, s := range all {
		if s.generation == serving {
			out = append(out, s.face())
		}
	}
	return out
}

func (s *shown) face() status.Face {
	f := status.Face{
		Block: s.site.Block, Pool: s.pool, Registry: s.site.Registry, Target: dnsface.Target,
		Result: func(p *pool.Snapshot) string { return s.site.Result(p).String() },
		TTL:    func(c pool.Condition) int { return int(s.site.TTLIn(c)) },
		Falls:  func(zone string) bool { return s.site.Fall.Through(config.ServiceName(zone)) },
	}
	if r := s.responder; r != nil {
		metrics := r.order.Load().metrics
		f.Responder = &status.ResponderFace{Connections: r.Connections, Calls: metrics.Calls, Refused: metrics.Refusals, Itself: r.Itself,
			Preferences: func(c ledger.Client, v kmswire.Version) []status.Preference {
				var all []status.Preference
				for _, p := range r.Preferences(c, v) {
					all = append(all, status.Preference{Endpoint: p.Host, Why: p.Why})
				}
				return all
			}}
	}
	return f
}

// brokenStore is why the store of the newest configuration does not take changes.
func brokenStore() error {
	keepers := engine.Each[*keeper](running)
	if len(keepers) == 0 {
		return nil
	}
	newest := slices.MaxFunc(keepers, func(a, b *keeper) int { return cmp.Compare(a.generation, b.generation) })
	if err := newest.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// statusKey is what the engine calls the status page.
func (l *life) statusKey() string {
	address, _, _ := strings.Cut(l.status, " ")
	return "status " + address
}

// openStatus listens at the address of the status page that some block of the Corefile names.
func (l *life) openStatus() error {
	if l.status == "" {
		return nil
	}
	words := strings.Fields(l.status)
	address, names := words[0], words[1:]
	s, err := engine.Hold(l.lease, l.statusKey(), func() (*status.Site, func(context.Context), error) {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return nil, nil, fmt.Errorf("status %s: %w", address, err)
		}
		s := &status.Site{Source: live(), Log: func(line string) { log.Error(line) }}
		return s, func(ctx context.Context) {
			if err := s.Serve(ctx, ln); err != nil {
				log.Errorf("status %s: %v", address, err)
			}
		}, nil
	})
	if err != nil {
		return err
	}
	s.Called(names)
	l.again = append(l.again, func() { s.Called(names) })
	return nil
}
