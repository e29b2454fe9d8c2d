package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A detection is four hosts, the first of which is struck, and those that check them.
type detection struct {
	bench
	number  int
	self    string
	hosts   []string // addresses with ports
	host    *process // the first
	others  *process
	servers []*process
	lookers []looker
	callers []caller
	visits  []visit // what callers say
}

// A looker can tell whether the host is used now.
type looker struct {
	name string
	look func() (bool, error)
}

// A caller calls hosts through something.
type caller struct {
	name    string
	address string
	visits  []visit
}

const detectHosts = 4

// newDetection starts everything. What it returns is to be stopped in any case.
func newDetection(ctx context.Context, b bench, number int) (d *detection, err error) {
	d = &detection{bench: b, number: number}
	if d.self, err = os.Executable(); err != nil {
		return d, err
	}
	ports, err := freePorts(7)
	if err != nil {
		return d, err
	}
	for i := range detectHosts {
		d.hosts = append(d.hosts, fmt.Sprintf("%s:%s", d.address(i), ports[0]))
	}
	if err := d.startHost(); err != nil {
		return d, err
	}
	if d.others, err = launch(d.self, append([]string{rpcHosts}, d.hosts[1:]...)...); err != nil {
		return d, err
	}
	if err := d.others.awaitListening(ctx, d.hosts[1:]...); err != nil {
		return d, err
	}
	if d.visits, err = recordVisits(ctx, d.hosts[1], int(2*patience/callEvery)); err != nil {
		return d, err
	}
	dir := filepath.Join(b.dir, fmt.Sprintf("detect-%d", number))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return d, err
	}
	for _, start := range []func(context.Context, string, []string) error{d.startKMS, d.startHAProxies, d.startPowerDNS} {
		if err := start(ctx, dir, ports[1:]); err != nil {
			return d, err
		}
	}
	return d, nil
}

// address is that of host i: of this detection alone.
func (d *detection) address(i int) string { return fmt.Sprintf("127.2.%d.%d", d.number, i+1) }

func (d *detection) startHost() (err error) {
	if d.host, err = launch(d.self, rpcHosts, d.hosts[0]); err != nil {
		return err
	}
	return d.host.awaitListening(context.Background(), d.hosts[0])
}

func (d *detection) killHost() error {
	d.host.kill()
	return nil
}

func (d *detection) stop() {
	for _, p := range append([]*process{d.host, d.others}, d.servers...) {
		if p != nil {
			p.kill()
		}
	}
}

// names are those of lookers and of callers.
func (d *detection) names() (lookers, callers []string) {
	for _, l := range d.lookers {
		lookers = append(lookers, l.name)
	}
	for _, c := range d.callers {
		callers = append(callers, c.name)
	}
	return lookers, callers
}

func (d *detection) launch(program string, args ...string) (*process, error) {
	p, err := launch(program, args...)
	if err == nil {
		d.servers = append(d.servers, p)
	}
	return p, err
}

// startKMS is the default build, which answers and carries calls to all four in turn.
func (d *detection) startKMS(ctx context.Context, dir string, ports []string) error {
	gateway, ready := "127.0.0.1:"+ports[1], "127.0.0.1:"+ports[2]
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%s {\nbind 127.0.0.1\nready %s\nkms {\nprobe rpc interval %ds timeout 1s rise %d fall %d\n",
		zone(0), ports[0], ready, detectInterval, detectRise, detectFall)
	for _, h := range d.hosts {
		fmt.Fprintf(&b, "host %s weight 10\n", h)
	}
	fmt.Fprintf(&b, "responder %s {\npolicy spread\nlimit connections 1000000 client 1000000 rate 1000000\n}\n}\n}\n", gateway)
	file := filepath.Join(dir, "Corefile")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		return err
	}
	p, err := d.launch(filepath.Join(d.dir, "build"), "-quiet", "-conf", file)
	if err != nil {
		return err
	}
	d.lookers = append(d.lookers,
		looker{"kms: among the healthy, first in the answer", func() (bool, error) { return d.answered(ports[0], true) }},
		looker{"kms: in the answer", func() (bool, error) { return d.answered(ports[0], false) }})
	d.callers = append(d.callers, caller{"kms responder", gateway, d.visits})
	return p.awaitReady(ctx, ready)
}

// haproxyAsks is a check by which HAProxy sends what a KMS client sends first, a bind, and wants a bind_ack (C706 12.6.4.4).
const haproxyAsks = "  option tcp-check\n  tcp-check connect\n  tcp-check send-binary %x\n  tcp-check expect binary 05000c03\n"

// startHAProxies has the same checks, and what lets a call go on to another host when one refuses it: as most have it, which is to
// connect, and with a bind.
func (d *detection) startHAProxies(ctx context.Context, dir string, ports []string) error {
	if err := d.startHAProxy(ctx, dir, "HAProxy", "127.0.0.1:"+ports[3], ""); err != nil {
		return err
	}
	return d.startHAProxy(ctx, dir, "HAProxy with a bind", "127.0.0.1:"+ports[5], fmt.Sprintf(haproxyAsks, d.visits[0].bind))
}

func (d *detection) startHAProxy(ctx context.Context, dir, name, address, check string) error {
	socket := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
	var b strings.Builder
	fmt.Fprintf(&b, "global\n  stats socket %s\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"+
		"  retries 3\n  option redispatch 1\nlisten kms\n  bind %s\n  balance roundrobin\n%s", socket, address, check)
	for i, h := range d.hosts {
		fmt.Fprintf(&b, "  server host%d %s check inter %ds fall %d rise %d\n", i, h, detectInterval, detectFall, detectRise)
	}
	file := socket + ".cfg"
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		return err
	}
	p, err := d.launch("haproxy", "-db", "-f", file)
	if err != nil {
		return err
	}
	d.lookers = append(d.lookers, looker{name + ": sends calls to it", func() (bool, error) { return haproxyUses(socket) }})
	d.callers = append(d.callers, caller{name, address, d.visits})
	return p.awaitListening(ctx, address)
}

// haproxyUses asks HAProxy itself, by its socket, whether it sends calls to host0.
func haproxyUses(socket string) (bool, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "show servers state kms\n"); err != nil {
		return false, err
	}
	// be_id be_name srv_id srv_name srv_addr srv_op_state ...; state 2 is running.
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 5 && fields[3] == "host0" {
			return fields[5] == "2", nil
		}
	}
	return false, fmt.Errorf("it does not tell of host0: %v", lines.Err())
}

// startPowerDNS has a LUA record with the same interval; it knows no number of failures, one is enough.
func (d *detection) startPowerDNS(ctx context.Context, dir string, ports []string) error {
	r := records{dir: dir, zones: 1, hosts: detectHosts, address: d.address}
	if _, err := fmt.Sscan(d.hosts[0][strings.LastIndexByte(d.hosts[0], ':')+1:], &r.port); err != nil {
		return err
	}
	zones, err := r.zoneEach("lua", zoneHead, r.luaService)
	if err != nil {
		return err
	}
	argv, err := runPowerDNS(r, place{built: d.dir, dir: filepath.Join(dir, "pdns"), port: ports[4]}, zones, "yes", detectInterval)
	if err != nil {
		return err
	}
	p, err := d.launch(argv[0], argv[1:]...)
	if err != nil {
		return err
	}
	d.lookers = append(d.lookers, looker{"PowerDNS: in the answer", func() (bool, error) { return d.answered(ports[4], false) }})
	return p.awaitListening(ctx, "127.0.0.1:"+ports[4])
}

// answered asks a server whether the host is in its answer; first is whether it has to be of the best priority there too.
func (d *detection) answered(port string, first bool) (bool, error) {
	m, _, err := ask(records{}, port, zone(0))
	if err != nil {
		return false, err
	}
	best, its := uint16(65535), -1
	for _, rr := range m.Answer {
		srv, ok := rr.(*dns.SRV)
		if !ok {
			continue
		}
		best = min(best, srv.Priority)
		if strings.HasPrefix(srv.Target, label(d.address(0))+".") {
			its = int(srv.Priority)
		}
	}
	return its >= 0 && (!first || its == int(best)), nil
}

// patience is how long a client waits for each answer of a call.
const patience = 5 * time.Second

// callOn makes a call at each time until the end, whether those before are over or not.
func (c caller) callOn(ctx context.Context, end time.Time) (s lossSample) {
	type result struct {
		took time.Duration
		err  error
	}
	results := make(chan result, int(time.Until(end)/callEvery)+1)
	tick := time.NewTicker(callEvery)
	defer tick.Stop()
	began := 0
	// A client comes again when nobody waits for its last visit any more: a responder takes a message twice at a time, not more.
	for time.Now().Before(end) && ctx.Err() == nil && began < cap(results) {
		v := c.visits[began%len(c.visits)]
		began++
		go func() {
			from := time.Now()
			err := v.within(c.address, patience, make([]byte, largestPDU))
			results <- result{time.Since(from), err}
		}()
		<-tick.C
	}
	s.calls = began
	for range began {
		if r := <-results; r.err != nil {
			s.failed++
		} else {
			s.slowest = max(s.slowest, r.took)
		}
	}
	return s
}
