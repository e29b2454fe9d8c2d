package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/miekg/dns"
)

const (
	updateZone   = "bench.example."
	updateKey    = "bench."
	updateSecret = "bm90IGEgc2VjcmV0IGF0IGFsbCwgYnV0IGEga2V5Lg==" // of loopback, for as long as a benchmark takes

	// announcers is how many hosts announce themselves: each changes its weight again and again. BIND adds addresses to no
	// more than thirteen SRV records, and both are to answer the same.
	announcers = 12
)

// An updateServer is one of those that take updates.
type updateServer struct {
	name   string
	port   string
	octets int // of its answer, once all hosts are announced
	*process
}

// The updateServers are in this order everywhere.
const (
	updateKMS = iota
	updateBIND
)

// updateArena is the hosts that are announced, and the servers they are announced to.
type updateArena struct {
	servers []updateServer
	hosts   func()   // stops them
	ports   []string // of the hosts, on 127.0.0.1
	queries string   // dnsperf's input
}

// newUpdateArena starts everything, has each host announced, and waits until all of them are answered: by kms, once they
// have proved themselves.
func newUpdateArena(ctx context.Context, dir, kms string) (a *updateArena, err error) {
	a = &updateArena{hosts: func() {}, queries: filepath.Join(dir, "queries")}
	defer func() {
		if err != nil {
			a.stop()
		}
	}()
	if err := os.WriteFile(a.queries, []byte("_vlmcs._tcp."+updateZone+" SRV\n"), 0o644); err != nil {
		return a, err
	}
	if err := a.startHosts(ctx); err != nil {
		return a, err
	}
	for _, startOne := range []func(context.Context, string, string) error{a.startKMS, a.startBIND} {
		if err := startOne(ctx, dir, kms); err != nil {
			return a, err
		}
	}
	for i := range a.servers {
		s := &a.servers[i]
		if s.octets, err = a.announceAll(ctx, *s); err != nil {
			return a, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return a, nil
}

// startHosts starts a rehearsal host for each announcer, in this process.
func (a *updateArena) startHosts(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var ended []chan error
	a.hosts = func() {
		cancel()
		for _, e := range ended {
			<-e
		}
	}
	for range announcers {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		_, port, err := net.SplitHostPort(ln.Addr().String())
		if err != nil {
			return err
		}
		a.ports = append(a.ports, port)
		end := make(chan error, 1)
		ended = append(ended, end)
		go func() { end <- new(kmsresponder.Rehearsal).Serve(ctx, ln) }()
	}
	return nil
}

func (a *updateArena) startKMS(ctx context.Context, dir, kms string) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	corefile := filepath.Join(dir, "Corefile.update")
	text := fmt.Sprintf(`%s:%s {
	bind 127.0.0.1
	ready 127.0.0.1:%s
	tsig {
		secret %s %s
	}
	kms {
		update {
			key %s
			max %d
		}
		store %s
	}
}
`, updateZone, ports[0], ports[1], updateKey, updateSecret, updateKey, announcers, filepath.Join(dir, "update.db"))
	if err := os.WriteFile(corefile, []byte(text), 0o644); err != nil {
		return err
	}
	p, err := launch(kms, "-quiet", "-conf", corefile)
	if err != nil {
		return err
	}
	a.servers = append(a.servers, updateServer{name: "kms", port: ports[0], process: p})
	return p.awaitReady(ctx, "127.0.0.1:"+ports[1])
}

// startBIND starts named as Debian ships it: every update is in the journal, and on the disk, before it is answered.
func (a *updateArena) startBIND(ctx context.Context, dir, _ string) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	zone := "$TTL 30\n@ IN SOA ns hostmaster 1 3600 600 86400 5\n@ IN NS ns\nns IN A 127.0.0.1\n"
	conf := fmt.Sprintf(`options {
	directory %[1]q;
	pid-file none;
	session-keyfile none;
	listen-on port %[2]s { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	notify no;
};
controls { };
key %[3]q { algorithm hmac-sha256; secret %[4]q; };
zone %[5]q { type primary; file "update.zone"; allow-update { key %[3]q; }; };
`, dir, ports[0], updateKey, updateSecret, updateZone)
	file := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(filepath.Join(dir, "update.zone"), []byte(zone), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return err
	}
	p, err := launch("named", "-g", "-c", file)
	if err != nil {
		return err
	}
	a.servers = append(a.servers, updateServer{name: "BIND", port: ports[0], process: p})
	return p.awaitListening(ctx, "127.0.0.1:"+ports[0])
}

// announceAll announces every host, with its address, waits until s answers all of them, and returns the octets of that answer.
func (a *updateArena) announceAll(ctx context.Context, s updateServer) (octets int, err error) {
	for i := range announcers {
		c, err := newAnnouncer(s, i, a.ports[i])
		if err != nil {
			return 0, err
		}
		err = c.exchange(c.introduction())
		c.conn.Close()
		if err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		m, octets, err := ask(records{}, s.port, updateZone)
		if err != nil {
			return 0, err
		}
		if m.Rcode == dns.RcodeSuccess && len(m.Answer) == announcers && len(m.Extra) == announcers+1 { // an OPT record too
			return octets, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d hosts are answered, with %d other records:\n%v", len(m.Answer), announcers, len(m.Extra),
				strings.TrimSpace(m.String()))
		case <-tick.C:
		}
	}
}

func (a *updateArena) stop() {
	for _, s := range a.servers {
		s.stop()
	}
	a.hosts()
}
