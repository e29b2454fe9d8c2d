package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/miekg/dns"
)

// A server is a contender that runs.
type server struct {
	contender
	*process
	port   string
	octets int           // of every answer, since verify
	took   time.Duration // from its start to the first right answer
}

// startServer starts c and waits until it answers the first zone right. What c needs is written before the clock starts. Name
// tells its files from those of others.
func startServer(ctx context.Context, b bench, c contender, r records, name string) (server, error) {
	ports, err := freePorts(1)
	if err != nil {
		return server{}, err
	}
	p := place{built: b.dir, dir: filepath.Join(r.dir, name), port: ports[0]}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return server{}, err
	}
	argv, err := c.command(r, p)
	if err != nil {
		return server{}, err
	}
	began := time.Now()
	running, err := launch(argv[0], argv[1:]...)
	if err != nil {
		return server{}, err
	}
	s := server{contender: c, process: running, port: p.port}
	err = s.await(ctx, 5*time.Millisecond, func() error {
		m, _, err := ask(r, s.port, zone(0))
		if err == nil {
			err = r.check(m, 0, s.bare)
		}
		return err
	})
	s.took = time.Since(began)
	if err == nil {
		err = s.await(ctx, 50*time.Millisecond, func() error { return s.verify(r) }) // BIND answers some zones while it loads others
	}
	if err != nil {
		s.stop()
		return server{}, fmt.Errorf("%s: %w", c.name, err)
	}
	return s, nil
}

// await waits until s is right, which is looked at that often.
func (s *server) await(ctx context.Context, often time.Duration, right func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		err := right()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended:\n%s", &s.said)
		case <-ctx.Done():
			return fmt.Errorf("no right answer: %w", err)
		case <-tick.C:
		}
	}
}

// verifyAtMost is how many zones are asked for, evenly over all of them.
const verifyAtMost = 100

// verify asks s about zones: each must get the records, all in equally many octets.
func (s *server) verify(r records) error {
	for z := 0; z < r.zones; z += max(1, r.zones/verifyAtMost) {
		m, octets, err := ask(r, s.port, zone(z))
		if err == nil {
			err = r.check(m, z, s.bare)
		}
		if err == nil && s.octets == 0 {
			s.octets = octets
		}
		if err == nil && octets != s.octets {
			err = fmt.Errorf("its answer has %d octets, those before had %d", octets, s.octets)
		}
		if err != nil {
			return fmt.Errorf("%s, %s: %w", s.name, zone(z), err)
		}
	}
	return nil
}

// ask asks for the service of a zone as dnsperf does and returns the answer with its octets on the wire.
func ask(r records, port, zone string) (*dns.Msg, int, error) {
	q := new(dns.Msg)
	q.SetQuestion("_vlmcs._tcp."+zone, dns.TypeSRV)
	q.SetEdns0(4096, false)
	packed, err := q.Pack()
	if err != nil {
		return nil, 0, err
	}
	conn, err := net.Dial(r.network(), "127.0.0.1:"+port)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	c := dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}
	if _, err := c.Write(packed); err != nil {
		return nil, 0, err
	}
	answer := make([]byte, dns.MaxMsgSize)
	n, err := c.Read(answer)
	if err != nil {
		return nil, 0, err
	}
	m := new(dns.Msg)
	return m, n, m.Unpack(answer[:n])
}

// A sample is what one round found of one contender.
type sample struct {
	cpu       time.Duration // for each answered query
	perSecond float64       // answers, with as many queries as come back
	latency   quantiles     // at steadyRate
	lost      float64       // of all queries
}

// loaded loads s as much as it bears, for the CPU time of an answer.
func (s server) loaded(ctx context.Context, r records, seconds int) (sample, outcome, error) {
	queries, err := r.queries()
	if err != nil {
		return sample{}, outcome{}, err
	}
	before, err := s.cpu()
	if err != nil {
		return sample{}, outcome{}, err
	}
	full, err := load{port: s.port, queries: queries, seconds: seconds, network: r.network()}.run(ctx)
	if err != nil {
		return sample{}, outcome{}, err
	}
	after, err := s.cpu()
	if err != nil {
		return sample{}, outcome{}, err
	}
	if full.octets != s.octets {
		return sample{}, outcome{}, errChanged
	}
	return sample{
		cpu:       (after - before) / time.Duration(full.completed),
		perSecond: full.perSecond,
		lost:      float64(full.lost) / float64(full.lost+full.completed),
	}, full, nil
}

// errChanged is a run in which a server gave other answers than those that were checked: one that checks hosts had doubts, on a
// machine that stood still.
var errChanged = errors.New("its answers under load are not those that were checked")

// tries is how often a run is made whose conditions were not those that are measured.
const tries = 4

// again makes a run until its conditions hold.
func again(b bench, name string, run func() error) error {
	var err error
	for range tries {
		if err = run(); !errors.Is(err, errLost) && !errors.Is(err, errChanged) {
			return err
		}
		*b.repeated++
		fmt.Fprintf(b.progress, "%s once more, because of this: %v\n", name, err)
	}
	return err
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
