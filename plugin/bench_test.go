package plugin

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

// maxAllocations is what one SRV answer may take in the handler: the message with its question and all its records in one piece,
// and one more for whoever needs records of his own.
const maxAllocations = 2

// mostHosts is the largest pool that the figures are for.
const mostHosts = 4

// oneHandler answers for zone from hosts that all passed their first probe. Nothing runs behind it any more.
func oneHandler(tb testing.TB, zone string, hosts int) *Handler {
	tb.Helper()
	b := config.Default()
	b.Zones = []string{zone}
	for i := range hosts {
		b.Hosts = append(b.Hosts, config.Host{
			Name:      fmt.Sprintf("kms%d.%s", i+1, zone),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})},
			Port:      config.DefaultPort, Priority: uint16(i / 2), Weight: uint16(10 + 20*(i%2)),
		})
	}
	probes := make(chan struct{}, hosts)
	p := pool.New(b.Hosts, b.Probe, pool.Means{
		Probe: func(context.Context, []netip.Addr, uint16) probe.Result {
			probes <- struct{}{}
			return probe.Result{Outcome: probe.Passed, Stage: probe.Bind, Start: time.Now()}
		},
		Observer: unheard{},
		Jitter:   func() float64 { return -1 }, // the first probes at once
	}, nil)
	ctx, stop := context.WithCancel(tb.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	for range hosts {
		<-probes
	}
	stop()
	running.Wait()
	if s := p.Snapshot(); !s.Checked || s.Condition != pool.Calm || len(s.Records) != hosts {
		tb.Fatalf("The pool is %s with %d records, checked %v: want every host up", s.Condition, len(s.Records), s.Checked)
	}
	return New([]*Site{{Block: b, Pool: p}}, b.Zones)
}

// unheard is an observer of what nobody asks about.
type unheard struct{}

func (unheard) Probed(string, probe.Result) {}

func (unheard) Changed(pool.Transition) {}

func (unheard) Resolved(string, error) {}

func (unheard) Settled(from, c pool.Condition, _ time.Duration) {}

// discard is a client over UDP that reads nothing. Everything but Write, WriteMsg and the addresses is missing: a handler that calls
// it has left the path that is measured here.
type discard struct{ dns.ResponseWriter }

var loopback = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40212}

func (discard) LocalAddr() net.Addr         { return loopback }
func (discard) RemoteAddr() net.Addr        { return loopback }
func (discard) WriteMsg(*dns.Msg) error     { return nil }
func (discard) Write(m []byte) (int, error) { return len(m), nil }

// keep is discard that remembers the last reply.
type keep struct {
	discard
	reply *dns.Msg
}

func (w *keep) WriteMsg(m *dns.Msg) error {
	w.reply = m
	return nil
}

func (w *keep) Write(m []byte) (int, error) {
	w.reply = new(dns.Msg)
	return len(m), w.reply.Unpack(m)
}

// A question is a way to ask for the SRV records of example.org.
type question struct {
	name  string
	qname string
	size  uint16 // of the client's buffer; 0 is a client without EDNS
	do    bool

	direct bool // nobody in front wants records
}

// directQuestions is the questions that are answered with octets if nobody wants records.
func directQuestions() (all []question) {
	for _, q := range questions {
		if !q.do {
			q.name, q.direct = q.name+", octets", true
			all = append(all, q)
		}
	}
	return all
}

const (
	plainName = "_vlmcs._tcp.example.org."
	mixedName = "_vLmCs._TcP.eXaMpLe.OrG." // as a resolver does that makes answers harder to forge
)

var questions = []question{
	{name: "plain", qname: plainName},
	{name: "EDNS", qname: plainName, size: 1232},
	{name: "DO", qname: plainName, size: 1232, do: true},
	{name: "mixed case", qname: mixedName, size: 1232},
	{name: "mixed case and DO", qname: mixedName, size: 1232, do: true},
}

func (q question) msg() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(q.qname, dns.TypeSRV)
	if q.size > 0 {
		m.SetEdns0(q.size, q.do)
	}
	return m
}

// mustServe fails tb unless h answers m with hosts SRV records and as many addresses. It also makes what the first query
// after a change makes.
func mustServe(tb testing.TB, h *Handler, m *dns.Msg, hosts int) {
	tb.Helper()
	w := new(keep)
	if _, err := h.ServeDNS(tb.Context(), w, m); err != nil {
		tb.Fatal(err)
	}
	if w.reply == nil || len(w.reply.Answer) != hosts || len(w.reply.Extra) < hosts {
		tb.Fatalf("Got %v, want %d SRV records and %d addresses", w.reply, hosts, hosts)
	}
}

func BenchmarkServeSRV(b *testing.B) {
	for _, hosts := range []int{3, mostHosts} {
		h := oneHandler(b, "example.org.", hosts)
		for _, q := range append(questions, directQuestions()...) {
			b.Run(fmt.Sprintf("%d hosts/%s", hosts, q.name), func(b *testing.B) {
				h.Direct = toAllIf(q.direct)
				m := q.msg()
				mustServe(b, h, m, hosts)
				b.ReportAllocs()
				ctx, w := b.Context(), dns.ResponseWriter(discard{})
				for b.Loop() {
					h.ServeDNS(ctx, w, m)
				}
			})
		}
	}
}

func BenchmarkServeSRVParallel(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("kept %v", kept), func(b *testing.B) {
			h := oneHandler(b, "example.org.", mostHosts)
			if kept {
				h.Questions = new(history.Clients)
			}
			mustServe(b, h, questions[1].msg(), mostHosts)
			b.ReportAllocs()
			var clients atomic.Uint32
			b.RunParallel(func(pb *testing.PB) {
				m := questions[1].msg() // a handler may write to the request's OPT record
				ctx, w := b.Context(), neighbour(clients.Add(1))
				for pb.Next() {
					h.ServeDNS(ctx, w, m)
				}
			})
		})
	}
}

// BenchmarkRemember is what it costs to keep each question for people, from ever other addresses.
func BenchmarkRemember(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("kept %v", kept), func(b *testing.B) {
			h := oneHandler(b, "example.org.", mostHosts)
			if kept {
				h.Questions = new(history.Clients)
			}
			m := questions[1].msg()
			mustServe(b, h, m, mostHosts)
			b.ReportAllocs()
			clients := make([]net.UDPAddr, 10_000) // more than are kept
			for i := range clients {
				clients[i] = net.UDPAddr{IP: net.IPv4(10, 0, byte(i>>8), byte(i)), Port: 40212}
			}
			ctx, w := b.Context(), new(roaming)
			for n := 0; b.Loop(); n++ {
				w.from = &clients[n%len(clients)]
				h.ServeDNS(ctx, w, m)
			}
		})
	}
}

// roaming is discard at one address after the other.
type roaming struct {
	discard
	from *net.UDPAddr
}

func (w *roaming) RemoteAddr() net.Addr { return w.from }

// neighbour is discard at the nth of some addresses in a row.
func neighbour(n uint32) *roaming {
	return &roaming{from: &net.UDPAddr{IP: net.IPv4(10, 0, byte(n>>8), byte(n)), Port: 40212}}
}

// BenchmarkOtherName is what kms costs those who ask for something else.
func BenchmarkOtherName(b *testing.B) {
	h := oneHandler(b, "example.org.", mostHosts)
	h.Next = plugin.HandlerFunc(func(context.Context, dns.ResponseWriter, *dns.Msg) (int, error) { return dns.RcodeSuccess, nil })
	for _, q := range []question{{name: "lower case", qname: "www.example.org."}, {name: "mixed case", qname: "wWw.ExAmPlE.oRg."}} {
		b.Run(q.name, func(b *testing.B) {
			m := q.msg()
			b.ReportAllocs()
			ctx, w := b.Context(), dns.ResponseWriter(discard{})
			for b.Loop() {
				h.ServeDNS(ctx, w, m)
			}
		})
	}
}

func TestAllocationsPerAnswer(t *testing.T) {
	h := oneHandler(t, "example.org.", mostHosts)
	for _, q := range append(questions, directQuestions()...) {
		t.Run(q.name, func(t *testing.T) {
			h.Direct = toAllIf(q.direct)
			m := q.msg()
			mustServe(t, h, m, mostHosts)
			ctx, w := t.Context(), dns.ResponseWriter(discard{})
			most := float64(maxAllocations)
			if q.direct {
				most = 1 // the octets
			}
			if got := testing.AllocsPerRun(1000, func() { h.ServeDNS(ctx, w, m) }); got > most {
				t.Errorf("Got %v allocations, want at most %v", got, most)
			}
		})
	}
}

// TestNoContention answers eight clients at once, who have addresses in a row, and looks for our code among the locks that anyone
// waited for: without history, and with it, as the server has it with a status page or a control socket. There each answer takes
// one of 16 locks, by the address of the client; those of such neighbours are different ones (TestQuestionsApart in
// internal/history). The last handler has a lock of its own, to show that it would be found.
func TestNoContention(t *testing.T) {
	h := oneHandler(t, "example.org.", mostHosts)
	mustServe(t, h, questions[1].msg(), mostHosts)
	if where := contention(t, h); where != "" {
		t.Errorf("Answers wait for each other's lock:\n%s", where)
	}
	h.Questions = new(history.Clients)
	mustServe(t, h, questions[1].msg(), mostHosts)
	if where := contention(t, h); where != "" {
		t.Errorf("Answers that are remembered wait for each other's lock:\n%s", where)
	}
	if contention(t, &locked{Handler: h}) == "" {
		t.Error("A lock around every answer was not noticed, so this test proves nothing")
	}
}

// locked answers one query at a time.
type locked struct {
	*Handler
	mu sync.Mutex
}

func (l *locked) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	runtime.Gosched() // on one processor nobody meets anyone else by chance
	return l.Handler.ServeDNS(ctx, w, r)
}

// contention returns the stack of a lock that goroutines waited for in ServeDNS while h answered them; "" if there was none.
func contention(t *testing.T, h plugin.Handler) string {
	t.Helper()
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	before := make(map[string]int64)
	for _, r := range mutexProfile() {
		before[stack(r)] += r.Count
	}
	ctx := t.Context()
	var clients sync.WaitGroup
	for n := range uint32(8) {
		clients.Go(func() {
			m, w := questions[1].msg(), neighbour(n)
			for range 20_000 {
				h.ServeDNS(ctx, w, m)
			}
		})
	}
	clients.Wait()
	for _, r := range mutexProfile() {
		s := stack(r)
		// The runtime reports its own locks too, those of the allocator for one; others begin with the method that unlocks.
		if r.Count > before[s] && !strings.HasPrefix(s, "runtime.") && strings.Contains(s, ".ServeDNS:") {
			return s
		}
	}
	return ""
}

func mutexProfile() []runtime.BlockProfileRecord {
	for records := make([]runtime.BlockProfileRecord, 64); ; records = make([]runtime.BlockProfileRecord, 2*len(records)) {
		if n, ok := runtime.MutexProfile(records); ok {
			return records[:n]
		}
	}
}

// stack is the functions of r with their lines, the innermost first.
func stack(r runtime.BlockProfileRecord) string {
	var s strings.Builder
	for frames := runtime.CallersFrames(r.Stack()); ; {
		f, more := frames.Next()
		fmt.Fprintf(&s, "%s:%d\n", f.Function, f.Line)
		if !more {
			return s.String()
		}
	}
}

// TestAnswersDoNotLookCountersUp: finding a counter by its labels takes a lock of Prometheus's that only writers contend for,
// so that TestNoContention does not see it. A counter that was removed comes back when it is looked up.
func TestAnswersDoNotLookCountersUp(t *testing.T) {
	const zone = "counted.example."
	h := oneHandler(t, zone, 1)
	serve := func() { mustServe(t, h, question{qname: config.ServiceName(zone)}.msg(), 1) }
	remove := func() bool { return answersTotal.DeleteLabelValues("", zone, "", Normal.String()) }
	serve()
	if !remove() {
		t.Fatal("The first answer was not counted")
	}
	serve()
	if remove() {
		t.Error("The second answer looked its counter up")
	}
}

// TestAnswersDoNotWaitForThePool: while the pool's lock is held, questions are answered.
func TestAnswersDoNotWaitForThePool(t *testing.T) {
	b := config.Default()
	b.Zones = []string{"example.org."}
	b.Hosts = []config.Host{{Name: "kms1.example.org.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 1688}}
	hold := holding{entered: make(chan struct{}), leave: make(chan struct{})}
	p := pool.New(b.Hosts, b.Probe, pool.Means{
		Probe:    func(context.Context, []netip.Addr, uint16) probe.Result { return probe.Result{Start: time.Now()} },
		Observer: hold,
		Jitter:   func() float64 { return -1 },
	}, nil)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	<-hold.entered
	h, answered := New([]*Site{{Block: b, Pool: p}}, b.Zones), make(chan error, 1)
	go func() {
		_, err := h.ServeDNS(ctx, discard{}, questions[1].msg())
		answered <- err
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("No answer while the pool's lock is held")
	}
	stop()
	close(hold.leave)
	running.Wait()
}

// holding keeps the pool's lock, under which it is called, from entered until leave is closed.
type holding struct {
	unheard
	entered, leave chan struct{}
}

func (h holding) Probed(string, probe.Result) {
	close(h.entered)
	<-h.leave
}
