package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// A way is how calls get to the hosts.
type way struct {
	name      string
	addresses []string // where clients call
	*process           // what the calls go through, or the hosts themselves if it is nothing
}

// The ways are in this order everywhere.
const (
	direct = iota
	throughHAProxy
	throughThreads // HAProxy with one for each core, as it comes
	throughGateway
	wayCount
)

// wayNames are the names of the ways.
var wayNames = [wayCount]string{"direct to the host", "HAProxy, TCP mode", "HAProxy, two threads", "kms responder"}

const (
	backendCount = 4
	clientCount  = 1000 // distinct ones, so that the gateway's ledger has something to keep
)

// rpcArena is the hosts and what stands before them, all running.
type rpcArena struct {
	dir   string
	hosts *process // all of them are in one process
	ways  [wayCount]way
	pprof string // where the responder's profiles are
}

// newRPCArena starts everything. self is this program, kms the default build.
func newRPCArena(ctx context.Context, dir, self, kms string) (a *rpcArena, err error) {
	a = &rpcArena{dir: dir}
	defer func() {
		if err != nil {
			a.stop()
		}
	}()
	free, err := freePorts(backendCount + 6)
	if err != nil {
		return a, err
	}
	for i := range free {
		free[i] = "127.0.0.1:" + free[i]
	}
	hosts, free := free[:backendCount], free[backendCount:]
	gateway, dns, ready := free[2], free[3], free[4]
	a.pprof = free[5]

	if a.hosts, err = launch(self, append([]string{rpcHosts}, hosts...)...); err != nil {
		return a, err
	}
	a.ways[direct] = way{wayNames[direct], hosts, a.hosts}
	if err := a.hosts.awaitListening(ctx, hosts...); err != nil {
		return a, fmt.Errorf("hosts: %w", err)
	}

	for n, i := range []int{throughHAProxy, throughThreads} {
		if err := a.startHAProxy(ctx, i, n+1, free[n], hosts); err != nil {
			return a, fmt.Errorf("haproxy: %w", err)
		}
	}

	file := filepath.Join(dir, "Corefile")
	if err := os.WriteFile(file, []byte(gatewayCorefile(gateway, dns, ready, a.pprof, hosts)), 0o644); err != nil {
		return a, err
	}
	p, err := launch(kms, "-quiet", "-conf", file)
	if err != nil {
		return a, err
	}
	a.ways[throughGateway] = way{wayNames[throughGateway], []string{gateway}, p}
	if err := p.awaitReady(ctx, ready); err != nil {
		return a, fmt.Errorf("responder: %w", err)
	}
	return a, nil
}

// startHAProxy starts HAProxy with so many threads, as way i.
func (a *rpcArena) startHAProxy(ctx context.Context, i, threads int, address string, hosts []string) error {
	file := filepath.Join(a.dir, fmt.Sprintf("haproxy%d.cfg", threads))
	if err := os.WriteFile(file, []byte(haproxyConfig(threads, address, hosts)), 0o644); err != nil {
		return err
	}
	p, err := launch("haproxy", "-db", "-f", file)
	if err != nil {
		return err
	}
	a.ways[i] = way{wayNames[i], []string{address}, p}
	return p.awaitListening(ctx, address)
}

// haproxyConfig has no log, and the checks that HAProxy has by default.
func haproxyConfig(threads int, address string, hosts []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global\n  nbthread %d\n", threads)
	b.WriteString("  maxconn 9000\n" +
		"defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n" +
		"listen kms\n  bind " + address + "\n  balance leastconn\n")
	for i, h := range hosts {
		fmt.Fprintf(&b, "  server host%d %s check inter 10s\n", i, h)
	}
	return b.String()
}

// gatewayCorefile has everything on that a responder can do. Only the limits are raised: a client here calls a dozen times a
// second, and those who stay idle have one address.
func gatewayCorefile(address, dns, ready, pprof string, hosts []string) string {
	_, port, _ := net.SplitHostPort(dns)
	var b strings.Builder
	fmt.Fprintf(&b, "example:%s {\nbind 127.0.0.1\nready %s\npprof %s\nerrors\nprometheus 127.0.0.1:0\nkms {\n", port, ready, pprof)
	for i, h := range hosts {
		fmt.Fprintf(&b, "host %s priority %d weight 10\n", h, i/2)
	}
	fmt.Fprintf(&b, "responder %s {\nwarm 25\nadvertise kms.example priority 0\n"+
		"limit connections 1000000 client 1000000 rate 1000000\n}\n}\n}\n", address)
	return b.String()
}

// awaitListening waits until p accepts connections at every address.
func (p *process) awaitListening(ctx context.Context, addresses ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, address := range addresses {
		for {
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-p.ended:
				return fmt.Errorf("it ended:\n%s", &p.said)
			case <-ctx.Done():
				return fmt.Errorf("nobody listens: %w", err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

func (a *rpcArena) stop() {
	for _, w := range slices.Backward(a.ways[:]) {
		if w.process != nil {
			w.stop()
		}
	}
}

// record has every client call every way once and checks the answers; what went over the wire directly is to be repeated.
// The hosts know all clients then, so that no way finds them emptier than another.
func (a *rpcArena) record(ctx context.Context, clients int) (visits []visit, err error) {
	for _, w := range slices.Backward(a.ways[:]) {
		for _, address := range w.addresses {
			if visits, err = recordVisits(ctx, address, clients); err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return visits, nil
}

// rpcHosts is the argument with which this program is the hosts of a benchmark.
const rpcHosts = "rpc-hosts"

// serveHosts is a rehearsal host at each address until ctx is done. They prefer NDR32, as the older generation of hosts does:
// with the others, clients whose connection reaches the host spend another round trip on an alter_context, and the gateway's
// clients do not.
func serveHosts(ctx context.Context, addresses []string) error {
	ended := make(chan error, len(addresses))
	for _, address := range addresses {
		ln, err := kmsresponder.ListenGateway(ctx, address)
		if err != nil {
			return err
		}
		go func() { ended <- (&kmsresponder.Rehearsal{MaxConns: 100_000}).Serve(ctx, ln) }()
	}
	var all error
	for range addresses {
		all = errors.Join(all, <-ended)
	}
	return all
}
