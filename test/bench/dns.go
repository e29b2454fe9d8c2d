package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/miekg/dns"
)

// A contender is a way to answer the records.
type contender struct {
	name    string
	binary  string               // of build
	answers func(records) string // the lines of its Corefile that make it answer
	target  float64              // kms shall answer so many times as much per CPU second; 0 for none
}

// contenders begins with the one that all are compared with. All but the last run in one binary.
var contenders = []contender{
	{name: "kms", binary: "server", answers: records.kms},
	{name: "constant message (the ceiling)", binary: "server", answers: records.constant, target: 0.90},
	{name: "file", binary: "server", answers: records.zoneFile, target: 1.7},
	{name: "template", binary: "server", answers: records.template, target: 2.5},
	{name: "kms behind errors and prometheus", binary: "server", answers: records.kmsWatched},
	{name: "kms in the default build", binary: "build", answers: records.kms},
}

// steadyRate is the load, in queries a second, at which latency is measured: one that every contender can bear.
const steadyRate = 10_000

// A sample is what one round found of one contender.
type sample struct {
	cpu       time.Duration // for each answered query
	perSecond float64       // answers, with as many queries as come back
	latency   time.Duration // average at steadyRate
	lost      float64       // of all queries
}

// benchDNS measures every contender in each of several rounds.
func benchDNS(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("bench dns", flag.ContinueOnError)
	rounds := flags.Int("rounds", 5, "how often each contender is measured")
	seconds := flags.Int("seconds", 5, "how long each time")
	write := flags.Bool("write", false, "put the result into "+document)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *seconds < 1 || flags.NArg() > 0 {
		return fmt.Errorf("dns [-rounds N] [-seconds N] [-write], each N from 1")
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kms-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(progress, "building")
	if err := build(ctx, root, dir, "./build", "./test/bench/server"); err != nil {
		return err
	}
	a, err := newArena(ctx, dir, progress)
	if err != nil {
		return err
	}
	defer a.stop()
	results, err := a.rounds(ctx, *rounds, *seconds)
	if err != nil {
		return err
	}
	section := report(results, *rounds, *seconds)
	fmt.Fprint(out, section)
	if *write {
		return replaceSection(filepath.Join(root, document), "bench dns", section)
	}
	return nil
}

// arena is a server for each contender, all running, and the hosts that kms checks.
type arena struct {
	records  records
	queries  string // dnsperf's input
	servers  []server
	hosts    func() // stops them
	octets   int    // of every answer
	progress io.Writer
}

type server struct {
	contender
	*process
	port string
}

// newArena starts everything and makes sure that all contenders answer the same.
func newArena(ctx context.Context, dir string, progress io.Writer) (a *arena, err error) {
	a = &arena{progress: progress, hosts: func() {}}
	defer func() {
		if err != nil {
			a.stop()
		}
	}()
	port, err := a.startHosts(ctx)
	if err != nil {
		return a, err
	}
	if a.records, err = newRecords(dir, port); err != nil {
		return a, err
	}
	if a.queries, err = a.records.queries(dir); err != nil {
		return a, err
	}
	for i, c := range contenders {
		if err := a.startServer(ctx, c, dir, i); err != nil {
			return a, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return a, a.verify()
}

// startHosts starts a rehearsal host on each address of the records, all on the port it returns. They run in this process, so
// that what they use is not charged to the server that asks them.
func (a *arena) startHosts(ctx context.Context) (port int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var ended []chan error
	a.hosts = func() {
		cancel()
		for _, e := range ended {
			<-e
		}
	}
	for i := range hostCount {
		ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", hostAddress(i), port))
		if err != nil {
			return 0, err
		}
		port = ln.Addr().(*net.TCPAddr).Port // the first has chosen
		end := make(chan error, 1)
		ended = append(ended, end)
		go func() { end <- new(kmsresponder.Rehearsal).Serve(ctx, ln) }()
	}
	return port, nil
}

func (a *arena) startServer(ctx context.Context, c contender, dir string, number int) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	corefile := filepath.Join(dir, fmt.Sprintf("Corefile%d", number))
	text := fmt.Sprintf("example:%s {\nbind 127.0.0.1\nready 127.0.0.1:%s\n%s}\n", ports[0], ports[1], c.answers(a.records))
	if err := os.WriteFile(corefile, []byte(text), 0o644); err != nil {
		return err
	}
	p, err := start(filepath.Join(dir, c.binary), corefile)
	if err != nil {
		return err
	}
	a.servers = append(a.servers, server{contender: c, process: p, port: ports[0]})
	return p.awaitReady(ctx, "127.0.0.1:"+ports[1])
}

// freePorts finds n ports of 127.0.0.1 that nobody has over UDP or TCP at the moment.
func freePorts(n int) ([]string, error) {
	var found []string
	for range n {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer tcp.Close() // held until all are found, or one would be found twice
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err != nil {
			return nil, err
		}
		defer udp.Close()
		_, port, err := net.SplitHostPort(tcp.Addr().String())
		if err != nil {
			return nil, err
		}
		found = append(found, port)
	}
	return found, nil
}

func (a *arena) stop() {
	for _, s := range a.servers {
		s.stop()
	}
	a.hosts()
}

// verify asks every server about every zone: each must give the records, in as many octets as all the others.
func (a *arena) verify() error {
	for _, s := range a.servers {
		for z := range zoneCount {
			m, octets, err := ask(s.port, "_vlmcs._tcp."+zone(z))
			if err == nil {
				err = a.records.check(m, z)
			}
			if a.octets == 0 {
				a.octets = octets
			}
			if err == nil && octets != a.octets {
				err = fmt.Errorf("its answer has %d octets, that of %s has %d", octets, a.servers[0].name, a.octets)
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, zone(z), err)
			}
		}
	}
	return nil
}

// ask asks as dnsperf does and returns the answer with its octets on the wire.
func ask(port, name string) (*dns.Msg, int, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeSRV)
	q.SetEdns0(4096, false)
	packed, err := q.Pack()
	if err != nil {
		return nil, 0, err
	}
	conn, err := net.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	answer := make([]byte, 4096)
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write(packed); err != nil {
		return nil, 0, err
	}
	n, err := conn.Read(answer)
	if err != nil {
		return nil, 0, err
	}
	m := new(dns.Msg)
	return m, n, m.Unpack(answer[:n])
}

// rounds measures every contender, after a short run that does not count, once in each round. Every round begins with another
// one, so that nobody always comes right after the same neighbour's heat.
func (a *arena) rounds(ctx context.Context, rounds, seconds int) ([][]sample, error) {
	results := make([][]sample, len(a.servers))
	for round := -1; round < rounds; round++ {
		for turn := range a.servers {
			i := (turn + max(round, 0)) % len(a.servers)
			last := seconds
			if round < 0 {
				last = 1
			}
			s, err := a.measure(ctx, a.servers[i], last)
			for again := 0; errors.Is(err, errLost) && again < 3; again++ {
				fmt.Fprintf(a.progress, "round %d: %-32s once more: %v\n", round+1, a.servers[i].name, errLost)
				s, err = a.measure(ctx, a.servers[i], last)
			}
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
	before, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	full, err := load{port: s.port, queries: a.queries, seconds: seconds}.run(ctx)
	if err != nil {
		return sample{}, err
	}
	after, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	steady, err := load{port: s.port, queries: a.queries, seconds: (seconds + 1) / 2, rate: steadyRate}.run(ctx)
	if err != nil {
		return sample{}, err
	}
	if full.octets != a.octets || steady.octets != a.octets {
		return sample{}, errors.New("its answers under load are not those that were checked")
	}
	return sample{
		cpu:       (after - before) / time.Duration(full.completed),
		perSecond: full.perSecond,
		latency:   steady.latency,
		lost:      float64(full.lost+steady.lost) / float64(full.lost+full.completed+steady.lost+steady.completed),
	}, nil
}
