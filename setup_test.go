package kms

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/coremain" // registers the dns server type
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/metadata"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/view"

	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/miekg/dns"
)

func init() {
	clog.Discard()
	dnsserver.Quiet = true
	d := slices.Clone(dnsserver.Directives)
	if err := dnsserver.SetDirectives(slices.Insert(d, slices.Index(d, "dynupdate"), "kms")); err != nil {
		panic(err)
	}
}

// freePort is a TCP port of 127.0.0.1 that nobody listened on a moment ago, below those that the system gives to outgoing
// connections, so that it stays free.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		p := 20000 + rand.IntN(12000)
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
			ln.Close()
			return p
		}
	}
	t.Fatal("No free port")
	return 0
}

// server is a CoreDNS with kms in it, started from a Corefile.
type server struct {
	t        *testing.T
	instance *caddy.Instance
}

func input(text string) caddy.Input {
	return caddy.CaddyfileInput{Contents: []byte(text), Filepath: "Corefile", ServerTypeName: "dns"}
}

func start(t *testing.T, text string) *server {
	t.Helper()
	i, err := caddy.Start(input(text))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t, i}
	t.Cleanup(s.stop)
	return s
}

// stop ends the server as a signal does: callbacks first, then the listeners.
func (s *server) stop() {
	s.instance.ShutdownCallbacks()
	s.instance.Stop()
}

func (s *server) reload(text string) error {
	next, err := s.instance.Restart(input(text))
	s.instance = next
	return err
}

// udp is the address that the i-th server of the instance answers on.
func (s *server) udp(i int) string { return s.instance.Servers()[i].LocalAddr().String() }

func (s *server) ask(name string) *dns.Msg {
	s.t.Helper()
	r, err := query(s.udp(0), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func query(server, name string) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeSRV)
	r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, server)
	return r, err
}

// targets is the SRV records of m, sorted: "0 16881".
func targets(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		srv := rr.(*dns.SRV)
		all = append(all, fmt.Sprintf("%d %d", srv.Priority, srv.Port))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// eventually waits until what is seen is what is wanted: probes run in real time here.
func eventually(t *testing.T, want string, see func() string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		got := see()
		if got == want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("Got %q for 30 s, want %q", got, want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

const service = "_vlmcs._tcp.example.org."

// corefile is one zone with hosts at ports, of which rehearsed ones are served; extra goes into the kms block.
func corefile(dnsPort int, ports, rehearsed []int, extra string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "example.org:%d {\n bind 127.0.0.1\n kms {\n probe rpc interval 1s timeout 200ms\n %s\n", dnsPort, extra)
	for i, p := range ports {
		fmt.Fprintf(&b, "  host kms%d.example.org:%d priority %d address 127.0.0.1\n", i+1, p, i)
	}
	for _, p := range rehearsed {
		fmt.Fprintf(&b, "  rehearse 127.0.0.1:%d\n", p)
	}
	b.WriteString(" }\n}\n")
	return b.String()
}

// states is the states of the hosts of all pools, sorted, in words.
func states() string {
	var all []string
	for _, p := range pools() {
		for _, h := range p.Hosts() {
			all = append(all, h.Endpoint()+" "+h.State.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// ours counts goroutines that run code of this project, tests apart.
func ours() int {
	buf := make([]byte, 1<<20)
	n := 0
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "/internal/pool.") || strings.Contains(g, "/internal/engine.") || strings.Contains(g, "/kmsresponder.") {
			n++
		}
	}
	return n
}

func (s *server) nothingLeft() {
	s.t.Helper()
	s.stop()
	// A goroutine that has said that it is done may still be on its way out.
	eventually(s.t, "0 goroutines, 0 pools", func() string { return fmt.Sprintf("%d goroutines, %d pools", ours(), len(pools())) })
}

func TestAnswersFromStart(t *testing.T) {
	a, b := freePort(t), freePort(t)
	s := start(t, corefile(0, []int{a, b}, []int{a, b}, ""))
	want := fmt.Sprintf("0 %d, 1 %d", a, b)
	if got := targets(s.ask(service)); got != want {
		t.Errorf("At once: %q, want %q", got, want)
	}
	up := fmt.Sprintf("kms1.example.org:%d up, kms2.example.org:%d up", a, b)
	eventually(t, up, states)
	s.nothingLeft()
}

// TestReloadKeepsHealth: a reload that changes the block knows what the old one knew, and asks no host again to find out.
func TestReloadKeepsHealth(t *testing.T) {
	a, b := freePort(t), freePort(t)
	s := start(t, corefile(0, []int{a, b}, []int{b}, ""))
	down := fmt.Sprintf("kms1.example.org:%d down, kms2.example.org:%d up", a, b)
	eventually(t, down, states)
	same := pools()[0].Pool
	if err := s.reload(corefile(0, []int{a, b}, []int{b}, "ttl 7s")); err != nil {
		t.Fatal(err)
	}
	m := s.ask(service)
	if got, want := targets(m), fmt.Sprintf("1 %d", b); got != want || m.Answer[0].Header().Ttl != 7 {
		t.Errorf("Right after a reload: %v, want %q with the new TTL", m.Answer, want)
	}
	if pools()[0].Pool != same {
		t.Error("A new TTL made a new pool")
	}
	// Another host makes another pool, which starts from what the old one knew.
	if err := s.reload(corefile(0, []int{a, b, freePort(t)}, []int{b}, "")); err != nil {
		t.Fatal(err)
	}
	if got := targets(s.ask(service)); strings.HasPrefix(got, "0 ") || len(pools()) != 1 || pools()[0].Pool == same {
		t.Errorf("After a reload with one more host: %q, %d pools", got, len(pools()))
	}
	s.nothingLeft()
}

// TestReloadMovesAPoolToAnotherBlock: a reload that gives a block other hosts, and its old ones to a new block, hides neither
// from those who look after pools.
func TestReloadMovesAPoolToAnotherBlock(t *testing.T) {
	k := keep(t)
	port := freePort(t)
	block := func(zone string, host int) string {
		return fmt.Sprintf("%s:%d {\n bind 127.0.0.1\n kms {\n host 192.0.2.%d\n %s }\n}\n", zone, port, host, k.lines())
	}
	s := start(t, block("a.example", 1))
	s.ask("_vlmcs._tcp.a.example.") // CoreDNS cannot stop a server that does not serve yet
	if err := s.reload(block("a.example", 2) + block("b.example", 1)); err != nil {
		t.Fatal(err)
	}
	if got, want := k.hosts(t), "192.0.2.1:1688 unchecked, 192.0.2.2:1688 unchecked"; got != want {
		t.Errorf("The hosts are %q, want %q", got, want)
	}
	k.drain(t, "192.0.2.2")
	for zone, want := range map[string]int{"a": 0, "b": 1} {
		r, err := query(s.udp(0), "_vlmcs._tcp."+zone+".example.")
		if err != nil || len(r.Answer) != want {
			t.Errorf("%s.example, whose host is drained: %v, %v, want %d records", zone, r, err, want)
		}
	}
	s.nothingLeft()
}

// TestReloadMovesRehearsalHosts: a listener that both files name stays open throughout.
func TestReloadMovesRehearsalHosts(t *testing.T) {
	a, b := freePort(t), freePort(t)
	s := start(t, corefile(0, []int{a}, []int{a}, ""))
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := s.reload(corefile(0, []int{a}, []int{a, b}, "")); err != nil {
		t.Fatal(err)
	}
	// The connection of before is still served: a wrong RPC version is answered with a bind_nak.
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	conn.Write([]byte{9, 0, 11, 3, 16, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0})
	if n, err := conn.Read(make([]byte, 64)); n == 0 {
		t.Errorf("The connection did not outlive the reload: %v", err)
	}
	if err := s.reload(corefile(0, []int{a}, nil, "")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{a, b} {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
			c.Close()
			t.Errorf("Port %d still listens after its line is gone", p)
		}
	}
	s.nothingLeft()
}

// TestFailedReloads: the old configuration goes on answering, and nothing of the new one is left.
func TestFailedReloads(t *testing.T) {
	a, b := freePort(t), freePort(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenPort := taken.Addr().(*net.TCPAddr).Port
	good := corefile(0, []int{a}, []int{a}, "")
	s := start(t, good)
	eventually(t, fmt.Sprintf("kms1.example.org:%d up", a), states)
	before := ours()
	for name, tt := range map[string]struct{ text, want string }{
		"wrong property":            {corefile(0, []int{a}, []int{a}, "tll 30s"), `Corefile:5 - Error during parsing: unknown property "tll"`},
		"rehearsal port is taken":   {corefile(0, []int{a, b}, []int{a, b, takenPort}, ""), "address already in use"},
		"second server cannot bind": {corefile(0, []int{a, b}, []int{a, b}, "") + "example.net:" + fmt.Sprint(takenPort) + " {\n bind 127.0.0.1\n kms {\n host x.example.net\n }\n}\n", "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.reload(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Got %v, want %q", err, tt.want)
			}
			if got, want := targets(s.ask(service)), fmt.Sprintf("0 %d", a); got != want {
				t.Errorf("The old configuration answers %q, want %q", got, want)
			}
			if n := len(pools()); n != 1 {
				t.Errorf("%d pools run, want the old one", n)
			}
			// A probe of the old pool may be under way, which is one more.
			eventually(t, "as many goroutines as before", func() string {
				if n := ours(); n > before+1 {
					return fmt.Sprintf("%d goroutines, %d before", n, before)
				}
				return "as many goroutines as before"
			})
			if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b)); err == nil {
				c.Close()
				t.Error("A rehearsal host of the discarded configuration listens")
			}
		})
	}
	if err := s.reload(good); err != nil {
		t.Errorf("A good file after bad ones: %v", err)
	}
	s.nothingLeft()
}

// TestQueriesThroughReloadsAndTheEnd: not one is lost or answered with an error, while configurations come and go and while
// the callbacks of SIGTERM run, after which the listeners are still open.
func TestQueriesThroughReloadsAndTheEnd(t *testing.T) {
	a, b := freePort(t), freePort(t)
	port := freePort(t)
	s := start(t, corefile(port, []int{a, b}, []int{a, b}, ""))
	var stop atomic.Bool
	var asked atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				m, err := query(fmt.Sprintf("127.0.0.1:%d", port), service)
				if err != nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
					t.Errorf("Lost: %v, %v", m, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range 5 {
		if err := s.reload(corefile(port, []int{a, b}, []int{a, b}, fmt.Sprintf("ttl %ds", i+1))); err != nil {
			t.Fatal(err)
		}
		if err := s.reload(corefile(port, nil, nil, "")); err == nil {
			t.Fatal("A block without hosts is a configuration")
		}
	}
	s.instance.ShutdownCallbacks()
	for n := asked.Load(); asked.Load() < n+100 && !t.Failed(); {
		runtime.Gosched()
	}
	stop.Store(true)
	wg.Wait()
	s.instance.Stop()
	eventually(t, "0", func() string { return fmt.Sprint(ours()) })
}

// TestViews: two blocks for one zone, each with hosts of its own.
func TestViews(t *testing.T) {
	a, b := freePort(t), freePort(t)
	s := start(t, fmt.Sprintf(`
example.org:0 {
	bind 127.0.0.1
	view tcp {
		expr proto() == 'tcp'
	}
	kms {
		host kms1.example.org:%d address 127.0.0.1
		rehearse 127.0.0.1:%[1]d
	}
}
example.org:0 {
	bind 127.0.0.1
	kms example.org {
		host kms2.example.org:%d address 127.0.0.1
		rehearse 127.0.0.1:%[2]d
	}
	kms corp.example.org {
		host kms2.example.org:%[2]d address 127.0.0.1
	}
}`, a, b))
	if got, want := targets(s.ask(service)), fmt.Sprintf("0 %d", b); got != want {
		t.Errorf("By UDP: %q, want %q", got, want)
	}
	if got, want := targets(s.ask("_vlmcs._tcp.corp.example.org.")), fmt.Sprintf("0 %d", b); got != want {
		t.Errorf("A second block in the server block: %q, want %q", got, want)
	}
	m := new(dns.Msg)
	m.SetQuestion(service, dns.TypeSRV)
	r, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(m, s.instance.Servers()[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := targets(r), fmt.Sprintf("0 %d", a); got != want {
		t.Errorf("By TCP: %q, want %q", got, want)
	}
	var names []string
	for _, p := range pools() {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	if fmt.Sprint(names) != "[example.org example.org#2]" {
		t.Errorf("Pools %v: the blocks with the same hosts share one, each has a name of its own", names)
	}
	s.nothingLeft()
}

// TestReadyAfterTheFirstRound: the ready plugin says no until each host was asked.
func TestReadyAfterTheFirstRound(t *testing.T) {
	a, at := freePort(t), freePort(t)
	hang, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", a)) // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hang.Close()
	s := start(t, fmt.Sprintf("example.org:0 {\n bind 127.0.0.1\n ready 127.0.0.1:%d\n kms {\n host 127.0.0.1:%d\n }\n}", at, a))
	status := func() string {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/ready", at))
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		return r.Status
	}
	if got := status(); got != "503 Service Unavailable" || pools()[0].Snapshot().Checked {
		t.Errorf("Before the first answer: %s", got)
	}
	eventually(t, "200 OK", status)
	if got := pools()[0].Hosts()[0].State; got != pool.Suspect {
		t.Errorf("Ready with a host that is %s", got)
	}
	s.nothingLeft()
}

// TestGenerationsBelongToOneLoad: all server blocks of one Corefile share one, each load has its own.
func TestGenerationsBelongToOneLoad(t *testing.T) {
	one, other := caddy.NewTestController("dns", ""), caddy.NewTestController("dns", "")
	g := generation(one)
	if generation(one) != g || generation(other) == g || generation(other) == engine.Generation(0) {
		t.Error("Generations are mixed up")
	}
}
