package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"
)

const (
	churnZones    = 100
	churnPools    = 50 // of four hosts, with two zones each
	churnInterval = 2  // seconds between probes: so each second a hundred change what is believed of a host

	// churnLongest is how many seconds hosts may go on and off: then those that do too often are left out for good.
	churnLongest = 30
	drainEvery   = 10 * time.Millisecond
)

// A churn is a way in which health changes, in a server of its own.
type churn struct {
	name    string
	server  server
	begin   func(context.Context) (end func() error)
	changes func() (float64, error) // so far
	found   [2][]churnSample        // while nothing changes, and while it does
}

// churnSample is what one round found.
type churnSample struct {
	latency quantiles
	worst   time.Duration
	rate    float64 // changes a second
}

// benchChurn measures the latency of answers while health changes and while it does not, in turn.
func benchChurn(ctx context.Context, b bench) (finding, error) {
	if b.rounds*(b.seconds+2) > churnLongest {
		return finding{}, fmt.Errorf("rounds times (seconds + 2) is to be %d at most: hosts that go on and off for longer are left out", churnLongest)
	}
	dir := filepath.Join(b.dir, "churn")
	r := records{dir: dir, zones: churnZones}
	queries, err := r.queries()
	if err != nil {
		return finding{}, err
	}
	probed, stopHosts, err := startProbedChurn(ctx, b, r)
	defer stopHosts()
	if err != nil {
		return finding{}, err
	}
	defer probed.server.stop()
	a, err := newArena(ctx, b, 4, churnZones)
	if err != nil {
		return finding{}, err
	}
	defer a.stop()
	drained, err := startDrainedChurn(ctx, b, a.records)
	if err != nil {
		return finding{}, err
	}
	defer drained.server.stop()
	all := []*churn{probed, drained}
	for range b.rounds {
		for _, c := range all {
			if err := c.round(ctx, b, queries); err != nil {
				return finding{}, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return finding{section: churnTable(all)}, nil
}

// round measures c at rest and then while health changes.
func (c *churn) round(ctx context.Context, b bench, queries string) error {
	for changing := range c.found {
		err := again(b, c.name, func() error {
			s, err := c.measure(ctx, b, queries, changing == 1)
			if err == nil {
				c.found[changing] = append(c.found[changing], s)
				fmt.Fprintf(b.progress, "%-36s %5.0f changes/s: p50 %5.0f µs, p99 %5.0f µs\n", c.name, s.rate, microseconds(s.latency.p50), microseconds(s.latency.p99))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *churn) measure(ctx context.Context, b bench, queries string, changing bool) (s churnSample, err error) {
	if changing {
		end := c.begin(ctx)
		defer func() {
			if e := end(); err == nil {
				err = e
			}
		}()
		time.Sleep(time.Second) // so that all are at it
	}
	before, err := c.changes()
	if err != nil {
		return s, err
	}
	began := time.Now()
	steady, err := load{port: c.server.port, queries: queries, seconds: b.seconds, rate: steadyRate}.run(ctx)
	if err != nil {
		return s, err
	}
	took := time.Since(began)
	after, err := c.changes()
	s = churnSample{latency: quantilesOf(steady.latencies), rate: (after - before) / took.Seconds()}
	s.worst = steady.latencies[len(steady.latencies)-1] // quantilesOf has sorted them
	return s, err
}

// flapping is the listener of hosts that are well, or answer every other caller only.
type flapping struct {
	net.Listener
	on    *atomic.Bool
	calls int
}

// Accept implements net.Listener.
func (f *flapping) Accept() (net.Conn, error) {
	for {
		conn, err := f.Listener.Accept()
		if err != nil || !f.on.Load() {
			return conn, err
		}
		if f.calls++; f.calls%2 == 0 {
			return conn, nil
		}
		conn.Close()
	}
}

// startProbedChurn starts the default build with pools whose hosts fail every other probe while begin is under way. It always
// returns how to stop the hosts.
func startProbedChurn(ctx context.Context, b bench, r records) (c *churn, stop func(), err error) {
	on := new(atomic.Bool)
	var addresses []string
	for p := range churnPools {
		for h := range 4 {
			addresses = append(addresses, fmt.Sprintf("127.1.%d.%d", p, h+1))
		}
	}
	stop, port, err := serveAt(ctx, addresses, func(ln net.Listener) net.Listener { return &flapping{Listener: ln, on: on} })
	if err != nil {
		return nil, stop, err
	}
	blocks := ""
	for p := range churnPools {
		blocks += fmt.Sprintf("kms %s %s {\nprobe rpc interval %ds timeout 1s fall 100\n", zone(2*p), zone(2*p+1), churnInterval)
		for _, address := range addresses[4*p : 4*p+4] {
			blocks += fmt.Sprintf("host %s:%d weight 10\n", address, port)
		}
		blocks += "}\n"
	}
	c = &churn{name: "probes that change what is believed", begin: func(context.Context) func() error {
		on.Store(true)
		return func() error {
			on.Store(false)
			return nil
		}
	}}
	ports, err := freePorts(2)
	if err != nil {
		return nil, stop, err
	}
	metrics := "127.0.0.1:" + ports[0]
	c.changes = func() (float64, error) { return transitions(ctx, metrics) }
	c.server, err = startChurn(ctx, b, r, "probed", ports[1], "prometheus "+metrics+"\n"+blocks)
	return c, stop, err
}

// startDrainedChurn starts the default build with one pool for all zones, a host of which is drained and put back while begin is
// under way.
func startDrainedChurn(ctx context.Context, b bench, r records) (*churn, error) {
	socket := filepath.Join(r.dir, "control")
	block, err := r.kms()
	if err != nil {
		return nil, err
	}
	block = strings.Replace(block, "{\n", "{\ncontrol "+socket+"\n", 1)
	done := new(atomic.Int64)
	client := control.Client{Socket: socket}
	host := fmt.Sprintf("%s:%d", hostAddress(3), r.port)
	c := &churn{name: "drains, undrains of the one pool", changes: func() (float64, error) { return float64(done.Load()), nil }}
	c.begin = func(ctx context.Context) func() error {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- drainAndBack(ctx, client, host, done) }()
		return func() error {
			cancel()
			return <-ended
		}
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	c.server, err = startChurn(ctx, b, r, "drained", ports[0], block)
	return c, err
}

// drainAndBack drains host and puts it back in turn, until ctx is done; it is back then.
func drainAndBack(ctx context.Context, client control.Client, host string, done *atomic.Int64) error {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for out := false; ; out = !out {
		select {
		case <-ctx.Done():
			if !out {
				return nil
			}
		case <-tick.C:
		}
		change := client.Drain
		if out {
			change = client.Undrain
		}
		if _, err := change(context.WithoutCancel(ctx), control.Request{Host: host, Why: "a benchmark"}); err != nil {
			return err
		}
		done.Add(1)
	}
}

// startChurn starts the default build with these lines, and waits until it answers.
func startChurn(ctx context.Context, b bench, r records, name, port, lines string) (server, error) {
	command := coreDNS("build", func(records) (string, error) { return lines, nil })
	argv, err := command(r, place{built: b.dir, dir: filepath.Join(r.dir, name), port: port})
	if err != nil {
		return server{}, err
	}
	p, err := launch(argv[0], argv[1:]...)
	if err != nil {
		return server{}, err
	}
	time.Sleep(2 * time.Second) // the first round of probes, which may change an answer once
	if _, _, err := ask(r, port, zone(0)); err != nil {
		p.stop()
		return server{}, fmt.Errorf("%w\n%s", err, &p.said)
	}
	return server{process: p, port: port}, nil
}

// transitions is how often a server believed something else of a host, so far, by its own count.
func transitions(ctx context.Context, metrics string) (all float64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	for _, m := range regexp.MustCompile(`(?m)^coredns_kms_host_transitions_total\{.*\} (\S+)$`).FindAllSubmatch(page, -1) {
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// churnTable is the table of what all found.
func churnTable(all []*churn) string {
	rows := [][]string{{"what changes", "changes/s", "p50, µs", "p99, µs", "worst, ms"}}
	for _, c := range all {
		for changing, samples := range c.found {
			name := c.name
			if changing == 0 {
				name = "the same server, at rest"
			}
			column := func(verb string, f func(churnSample) float64) string {
				var values []float64
				for _, s := range samples {
					values = append(values, f(s))
				}
				return spreadOf(values).with(verb)
			}
			rows = append(rows, []string{name,
				column("%.0f", func(s churnSample) float64 { return s.rate }),
				column("%.0f", func(s churnSample) float64 { return microseconds(s.latency.p50) }),
				column("%.0f", func(s churnSample) float64 { return microseconds(s.latency.p99) }),
				column("%.1f", func(s churnSample) float64 { return microseconds(s.worst) / 1000 }),
			})
		}
	}
	return table(rows)
}
