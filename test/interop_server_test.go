//go:build interop

package test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	clog "github.com/coredns/coredns/plugin/pkg/log"

	_ "github.com/coredns-kms/coredns-kms" // the kms directive
	"github.com/coredns-kms/coredns-kms/kmsresponder"

	// What the chains below consist of, one by one: the whole bundle is for build/ alone.
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/dnssec"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/header"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/metadata"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/nsid"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/transfer"
	_ "github.com/coredns/coredns/plugin/tsig"
	_ "github.com/coredns/coredns/plugin/view"

	"github.com/miekg/dns"
	promclient "github.com/prometheus/client_golang/prometheus"
)

// init gives kms its place in the order of directives, as build/main.go does.
func init() {
	clog.Discard()
	caddy.Quiet, dnsserver.Quiet = true, true
	at := slices.Index(dnsserver.Directives, "dynupdate")
	if at < 0 {
		panic("CoreDNS has no dynupdate directive, which kms must stand before")
	}
	if err := dnsserver.SetDirectives(slices.Insert(slices.Clone(dnsserver.Directives), at, "kms")); err != nil {
		panic(err)
	}
}

// A server is CoreDNS with the kms plugin, inside the test process so that the race detector sees the whole chain.
type server struct {
	port uint16
	ip   string // empty for 127.0.0.1
}

// caddyLock is held while instances come and go: caddy keeps them in variables of its package.
var caddyLock sync.Mutex

// startServer starts CoreDNS until the test ends. In the Corefile, $PORT stands for a port of its own, and each odd word of
// replace for the even one behind it. Clients that are told to come back over TCP use the port they know from UDP, which two
// times ":0" would not give them.
func startServer(t *testing.T, corefile string, replace ...string) *server {
	t.Helper()
	return startServerAt(t, freePort(t), corefile, replace...)
}

// startServerAt is startServer with a port that is given.
func startServerAt(t *testing.T, port uint16, corefile string, replace ...string) *server {
	t.Helper()
	s := &server{port: port}
	text := strings.NewReplacer(append([]string{"$PORT", strconv.Itoa(int(s.port))}, replace...)...).Replace(corefile)
	caddyLock.Lock()
	instance, err := caddy.Start(caddy.CaddyfileInput{Contents: []byte(text), Filepath: "Corefile", ServerTypeName: "dns"})
	caddyLock.Unlock()
	if err != nil {
		t.Fatalf("CoreDNS does not start: %v\n%s", err, text)
	}
	t.Cleanup(func() {
		caddyLock.Lock()
		defer caddyLock.Unlock()
		// The order of a SIGTERM.
		for _, err := range instance.ShutdownCallbacks() {
			t.Errorf("Shutdown: %v", err)
		}
		if err := instance.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return s
}

func (s *server) address() string { return net.JoinHostPort(s.host(), strconv.Itoa(int(s.port))) }

func (s *server) host() string { return cmp.Or(s.ip, "127.0.0.1") }

// An asking is how a question is put; the zero value is UDP without EDNS.
type asking struct {
	tcp    bool
	size   uint16 // of EDNS; 0 is none
	dnssec bool
}

// ask asks s as a plain client does, from inside the test: what the programs below would be too slow for.
func (s *server) ask(name string, qtype uint16, how asking) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	if how.size > 0 {
		m.SetEdns0(how.size, how.dnssec)
	}
	c := dns.Client{Timeout: 5 * time.Second, UDPSize: how.size}
	if how.tcp {
		c.Net = "tcp"
	}
	reply, _, err := c.Exchange(m, s.address())
	return reply, err
}

// services asks s for the SRV records of name and returns them as "target:port priority weight", in order.
func (s *server) services(t *testing.T, name string) []string {
	t.Helper()
	reply, err := s.ask(name, dns.TypeSRV, asking{size: 4096})
	if err != nil {
		t.Fatalf("No answer for %s: %v", name, err)
	}
	return services(reply.Answer)
}

// services describes the SRV records in records, in the order of priorities.
func services(records []dns.RR) []string {
	var all []*dns.SRV
	for _, rr := range records {
		if srv, ok := rr.(*dns.SRV); ok {
			all = append(all, srv)
		}
	}
	slices.SortFunc(all, func(a, b *dns.SRV) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		return strings.Compare(a.Target, b.Target)
	})
	var words []string
	for _, srv := range all {
		words = append(words, fmt.Sprintf("%s:%d %d %d", strings.TrimSuffix(srv.Target, "."), srv.Port, srv.Priority, srv.Weight))
	}
	return words
}

// A fakeHost is a rehearsal host that can die and come back where it was.
type fakeHost struct {
	port uint16
	stop func() // nil while it is dead
}

// startHost starts a rehearsal host on 127.0.0.1 until the test ends.
func startHost(t *testing.T) *fakeHost {
	t.Helper()
	h := &fakeHost{port: freePort(t)}
	h.start(t)
	t.Cleanup(func() { h.die() })
	return h
}

// start brings h to life.
func (h *fakeHost) start(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", h.address())
	if err != nil {
		t.Fatalf("A rehearsal host cannot listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- (&kmsresponder.Rehearsal{NDR64: true}).Serve(ctx, ln) }()
	h.stop = func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("A rehearsal host failed: %v", err)
		}
	}
}

// die stops h: from now on connections are refused.
func (h *fakeHost) die() {
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

func (h *fakeHost) address() string { return net.JoinHostPort("127.0.0.1", h.number()) }

func (h *fakeHost) number() string { return strconv.Itoa(int(h.port)) }

// Ports for servers and hosts are taken from below those that the system gives to outgoing connections: a host that is dead
// for a while must find its port free, and a probe of it must not be answered by itself.
const firstPort, ports = 20000, 10000

var portsTaken atomic.Uint32

// freePort returns a port that nothing on 127.0.0.1 uses, neither over UDP nor TCP, and that no other test is given.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range ports {
		// Two processes that test at the same time begin at different places.
		port := firstPort + (uint32(os.Getpid())*97+portsTaken.Add(1))%ports
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		if err != nil {
			continue
		}
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		ln.Close()
		if err != nil {
			continue
		}
		conn.Close()
		return uint16(port)
	}
	t.Fatalf("No free port from %d to %d", firstPort, firstPort+ports-1)
	return 0
}

// await polls until is true, for as long as within; what says what it waits for.
func await(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(within), time.NewTicker(20*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline.C:
			t.Fatalf("Not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

// awaitUp waits until n hosts of pool have passed a probe. An answer alone does not tell: a host is offered before it is
// asked the first time.
func awaitUp(t *testing.T, pool string, n int) {
	t.Helper()
	await(t, 10*time.Second, fmt.Sprintf("%d hosts of %s up", n, pool), func() bool {
		return metric(t, "coredns_kms_hosts", "pool", pool, "state", "up") == float64(n)
	})
}

// metric is the sum of the samples of a metric that have the labels given as pairs.
func metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := promclient.DefaultGatherer.Gather()
	if err != nil {
		t.Fatalf("Cannot gather metrics: %v", err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	samples:
		for _, m := range family.Metric {
			has := make(map[string]string)
			for _, l := range m.Label {
				has[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if has[labels[i]] != labels[i+1] {
					continue samples
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// packages says where Debian has the programs that these tests need.
var packages = map[string]string{
	"dig": "bind9-dnsutils", "delv": "bind9-dnsutils", "dnssec-keygen": "bind9-utils", "kdig": "knot-dnsutils",
	"unbound": "unbound", "unbound-checkconf": "unbound",
	"named": "bind9", "tsig-keygen": "bind9", "named-checkconf": "bind9-utils", "named-checkzone": "bind9-utils", "nsupdate": "bind9-dnsutils",
	"knotd": "knot", "knotc": "knot", "dnsmasq": "dnsmasq-base", "unshare": "util-linux", "ip": "iproute2", "mount": "mount",
}

// lookProgram finds a program. One that is missing fails the test: skipped interop is no interop.
func lookProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && errors.Is(err, exec.ErrNotFound) {
		// Debian keeps servers where only root looks.
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, packages[name])
	}
	return path
}

// program runs a program and returns what it said, and whether it was content.
func program(t *testing.T, name string, args ...string) (output string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, lookProgram(t, name), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.Bytes())
	}
	return out.String(), err == nil
}

// A reply is what dig and kdig say about one.
type reply struct {
	text     string // everything
	status   string // NOERROR and the like
	flags    []string
	question string // the name, as it came back
	udp      bool
	size     int // octets
	sections map[string][]dns.RR
}

func (r *reply) answer() []dns.RR     { return r.sections["ANSWER"] }
func (r *reply) authority() []dns.RR  { return r.sections["AUTHORITY"] }
func (r *reply) additional() []dns.RR { return r.sections["ADDITIONAL"] }
func (r *reply) has(flag string) bool { return slices.Contains(r.flags, flag) }

// dig asks s with dig.
func (s *server) dig(t *testing.T, args ...string) *reply {
	t.Helper()
	// Anything but one try would hide a lost answer.
	base := []string{"-r", "@" + s.host(), "-p", strconv.Itoa(int(s.port)), "+tries=1", "+time=5"}
	out, ok := program(t, "dig", append(base, args...)...)
	if !ok {
		t.Fatalf("dig %s failed:\n%s", strings.Join(args, " "), out)
	}
	return parseReply(t, out)
}

// kdig asks s with kdig.
func (s *server) kdig(t *testing.T, args ...string) *reply {
	t.Helper()
	// With +idn it makes names lower-case.
	base := []string{"@" + s.host(), "-p", strconv.Itoa(int(s.port)), "+retry=0", "+time=5", "+noidn"}
	out, ok := program(t, "kdig", append(base, args...)...)
	if !ok {
		t.Fatalf("kdig %s failed:\n%s", strings.Join(args, " "), out)
	}
	return parseReply(t, out)
}

// parseReply reads the output of dig or kdig, whose forms differ in punctuation.
func parseReply(t *testing.T, out string) *reply {
	t.Helper()
	r := &reply{text: out, sections: make(map[string][]dns.RR)}
	section := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		comment, isComment := strings.CutPrefix(line, ";; ")
		switch {
		case line == "":
			section = ""
		case section == "QUESTION":
			r.question = strings.Fields(strings.TrimLeft(line, "; "))[0]
		case isComment && strings.HasSuffix(comment, " SECTION:"):
			section = strings.TrimSuffix(comment, " SECTION:")
		case isComment:
			r.comment(comment)
		case section != "" && !strings.HasPrefix(line, ";"):
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatalf("Cannot read %q: %v", line, err)
			}
			r.sections[section] = append(r.sections[section], rr)
		}
	}
	if r.status == "" {
		t.Fatalf("No reply in this output:\n%s", out)
	}
	return r
}

// comment reads one line about the reply as a whole.
func (r *reply) comment(line string) {
	if _, after, ok := strings.Cut(line, "status: "); ok {
		r.status = strings.TrimRight(strings.Fields(after)[0], ",;")
	}
	if after, ok := strings.CutPrefix(strings.ToLower(line), "flags: "); ok {
		flags, _, _ := strings.Cut(after, ";")
		r.flags = strings.Fields(flags)
	}
	if after, ok := strings.CutPrefix(line, "MSG SIZE  rcvd: "); ok {
		r.size, _ = strconv.Atoi(after)
	}
	if after, ok := strings.CutPrefix(line, "Received "); ok {
		r.size, _ = strconv.Atoi(strings.Fields(after)[0])
	}
	if strings.HasPrefix(line, "SERVER: ") || strings.HasPrefix(line, "From ") {
		r.udp = strings.Contains(line, "(UDP)")
	}
}

// records describes records without their TTLs, sorted.
func records(rrs []dns.RR) []string {
	var words []string
	for _, rr := range rrs {
		words = append(words, strings.Replace(rr.String(), fmt.Sprintf("\t%d\t", rr.Header().Ttl), "\t", 1))
	}
	slices.Sort(words)
	return words
}

// ofType is the records in rrs of the type.
func ofType(rrs []dns.RR, qtype uint16) []dns.RR {
	var some []dns.RR
	for _, rr := range rrs {
		if rr.Header().Rrtype == qtype {
			some = append(some, rr)
		}
	}
	return some
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("Got %s\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
