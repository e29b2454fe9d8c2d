package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// contenders begins with the one that the others in its binary are compared with.
var contenders = []contender{
	kms,
	constant,
	{name: "constant octets", command: coreDNS("server", records.constantOctets)},
	{name: "file in the same binary", command: coreDNS("server", records.file)},
	{name: "kms behind errors and prometheus", command: coreDNS("server", records.kmsWatched)},
	kmsItself,
	file,
	{name: "CoreDNS template", command: coreDNS("coredns", records.template), outside: true, target: 2.5},
	bind,
	{name: "Knot", command: startKnot, outside: true},
	{name: "gdnsd, without addresses", command: startGdnsd, outside: true, bare: true},
	{name: "PowerDNS, packet cache", command: startPowerDNS, outside: true},
	luaShared,
	lua,
}

// steadyRate is the load, in queries a second, at which latency is measured: one that every contender can bear that is not slow.
const steadyRate = 10_000

// benchDNS measures every contender in each of several rounds.
func benchDNS(ctx context.Context, b bench) (finding, error) {
	if err := buildStock(ctx, b); err != nil {
		return finding{}, err
	}
	a, err := newArena(ctx, b, 4, 100)
	if err != nil {
		return finding{}, err
	}
	defer a.stop()
	if err := a.startAll(ctx, contenders); err != nil {
		return finding{}, err
	}
	results, err := a.rounds(ctx)
	if err != nil {
		return finding{}, err
	}
	return dnsFinding(a.servers, results), nil
}

// arena is servers that run, and the hosts that they check.
type arena struct {
	bench
	records records
	servers []server
	hosts   func() // stops them
}

// newArena starts the hosts.
func newArena(ctx context.Context, b bench, hosts, zones int) (a *arena, err error) {
	a = &arena{bench: b}
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d-%d", b.name, hosts, zones))
	port, err := a.startHosts(ctx, hosts)
	a.records = records{dir: dir, port: port, hosts: hosts, zones: zones}
	return a, err
}

// startHosts starts rehearsal hosts, each on an address of its own, all on the port it returns. They run in this process, so
// that what they use is not charged to the server that asks them.
func (a *arena) startHosts(ctx context.Context, n int) (port int, err error) {
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = hostAddress(i)
	}
	a.hosts, port, err = serveAt(ctx, addresses, func(ln net.Listener) net.Listener { return ln })
	return port, err
}

// serveAt starts rehearsal hosts at all addresses, on the port it returns, behind listeners that wrap makes. It always returns
// how to stop them.
func serveAt(ctx context.Context, addresses []string, wrap func(net.Listener) net.Listener) (stop func(), port int, err error) {
	listeners, port, err := listenAt(addresses)
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	for _, ln := range listeners {
		ended.Go(func() { new(kmsresponder.Rehearsal).Serve(ctx, wrap(ln)) })
	}
	return func() {
		cancel()
		ended.Wait()
	}, port, err
}

// listenAt listens at all addresses on one port, which is free at each.
func listenAt(addresses []string) (all []net.Listener, port int, err error) {
	for range tries {
		all, port = nil, 0
		for _, address := range addresses {
			var ln net.Listener
			if ln, err = net.Listen("tcp", fmt.Sprintf("%s:%d", address, port)); err != nil {
				break
			}
			all, port = append(all, ln), ln.Addr().(*net.TCPAddr).Port // the first has chosen
		}
		if err == nil {
			return all, port, nil
		}
		for _, ln := range all {
			ln.Close()
		}
	}
	return nil, 0, err
}

// startAll starts a server for each contender, and makes sure that they answer the same.
func (a *arena) startAll(ctx context.Context, contenders []contender) error {
	for i, c := range contenders {
		if err := a.startOne(ctx, c, i); err != nil {
			return err
		}
	}
	return a.verify()
}

func (a *arena) startOne(ctx context.Context, c contender, number int) error {
	s, err := startServer(ctx, a.bench, c, a.records, fmt.Sprint(number))
	if err == nil {
		a.servers = append(a.servers, s)
	}
	return err
}

// verify makes sure that all servers answer right.
func (a *arena) verify() error {
	for i := range a.servers {
		if err := a.servers[i].verify(a.records); err != nil {
			return err
		}
	}
	return nil
}

func (a *arena) stop() {
	for _, s := range a.servers {
		s.stop()
	}
	a.hosts()
}

// rounds measures every server, after a short run that does not count, once in each round. Every round begins with another
// one, so that nobody always comes right after the same neighbour's heat.
func (a *arena) rounds(ctx context.Context) ([][]sample, error) {
	results := make([][]sample, len(a.servers))
	for round := -1; round < a.bench.rounds; round++ {
		for turn := range a.servers {
			i := (turn + max(round, 0)) % len(a.servers)
			seconds := a.seconds
			if round < 0 {
				seconds = 1
			}
			var s sample
			err := again(a.bench, a.servers[i].name, func() (err error) {
				s, err = a.measure(ctx, a.servers[i], seconds)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", a.servers[i].name, err)
			}
			if round < 0 {
				continue
			}
			fmt.Fprintf(a.progress, "round %d: %-32s %6.1f µs/query %6.0f queries/s\n",
				round+1, a.servers[i].name, microseconds(s.cpu), s.perSecond)
			results[i] = append(results[i], s)
		}
	}
	// A host that went down meanwhile would have changed what was measured.
	return results, a.verify()
}

// measure loads s as much as it bears, for the CPU time of an answer, and then steadily, for its latency.
func (a *arena) measure(ctx context.Context, s server, seconds int) (sample, error) {
	found, full, err := s.loaded(ctx, a.records, seconds)
	if err != nil {
		return sample{}, err
	}
	if s.slow {
		return found, nil
	}
	queries, err := a.records.queries()
	if err != nil {
		return sample{}, err
	}
	steady, err := load{port: s.port, queries: queries, seconds: (seconds + 1) / 2, rate: steadyRate}.run(ctx)
	if err != nil {
		return sample{}, err
	}
	found.latency = quantilesOf(steady.latencies)
	found.lost = float64(full.lost+steady.lost) / float64(full.lost+full.completed+steady.lost+steady.completed)
	return found, nil
}

// profileDNS loads kms in the default build as much as it bears, and writes the profile of its processor time into file.
func profileDNS(ctx context.Context, b bench, file string) error {
	a, err := newArena(ctx, b, 4, 100)
	if err != nil {
		return err
	}
	defer a.stop()
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	pprof := "127.0.0.1:" + ports[0]
	watched := contender{name: "kms", command: coreDNS("build", func(r records) (string, error) {
		lines, err := r.kmsWatched()
		return "pprof " + pprof + "\n" + lines, err
	})}
	if err := a.startAll(ctx, []contender{watched}); err != nil {
		return err
	}
	lasting := time.Duration(b.seconds) * time.Second
	profile := make(chan error, 1)
	go func() { profile <- fetchProfile(ctx, pprof, lasting, file) }()
	_, _, err = a.servers[0].loaded(ctx, a.records, b.seconds+1)
	return errors.Join(err, <-profile)
}
