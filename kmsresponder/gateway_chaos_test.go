package kmsresponder

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// TestGatewayChaos is the short form of TestGatewayLongChaos, behind the tag
// interop.
func TestGatewayChaos(t *testing.T) { chaos(t, 5_000) }

// chaos has well-behaved clients make calls, each on a connection of its own as
// Windows does, while hosts are killed, hung and restarted at random. No call
// may be lost, or be answered with another's answer, as long as one host lives
// through it: the hosts that are touched at one time are never all of them.
func chaos(t *testing.T, calls int64) {
	const workers = 16
	hosts := make([]*mortal, 3)
	var configured []config.Host
	for i := range hosts {
		// Addresses of their own: no other socket takes the port of a dead one.
		hosts[i] = &mortal{host: &host{addr: fmt.Sprintf("127.0.0.%d:0", 2+i), ndr64: i%2 == 0}, free: make(chan struct{})}
		close(hosts[i].free)
		hosts[i].handle = hosts[i].serve
		startHost(t, hosts[i].host)
		configured = append(configured, hostAt(hosts[i].addr, uint16(i/2)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	hosted := poolBy(func(ctx context.Context, addresses []netip.Addr, port uint16) probe.Result {
		return probe.Prober{Kind: config.ProbeRPC, Timeout: 200 * time.Millisecond}.Probe(ctx, addresses, port)
	}, 300*time.Millisecond, configured...)
	background.Go(func() { hosted.Run(ctx) })
	w := &tally{results: make(map[Result]int), outcomes: make(map[Outcome]int)}
	addr, _, _ := startGateway(t, GatewayConfig{
		Pool: hosted, Observer: w, Ledger: runLedger(t), Warm: 5, Budget: 2 * time.Second,
		Limits: Limits{Connections: -1, Client: -1, Rate: -1},
	})

	var made, lost atomic.Int64
	var working sync.WaitGroup
	harm := make(chan struct{}, 1)
	for n := range workers {
		working.Go(func() {
			for {
				i := made.Add(1)
				if i > calls {
					return
				}
				if i%50 == 0 {
					select {
					case harm <- struct{}{}:
					default:
					}
				}
				message := messageV6(int(i))
				if n%2 == 0 {
					message = messageV4(int(i % 500))
				}
				response, hr, err := callOnce(addr, message)
				if err == nil && hr == kmswire.OK {
					err = rightful(message, response)
				}
				if err != nil || hr != 0 {
					if lost.Add(1) < 20 {
						t.Errorf("call %d is lost: %v, %v", i, hr, err)
					}
				}
			}
		})
	}
	deeds := make(map[string]int)
	background.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 2))
		var next int
		for {
			select {
			case <-ctx.Done():
				for _, h := range hosts {
					h.letGo()
				}
				return
			case <-harm:
			}
			// One after the other is hurt, once the one before is well.
			h := hosts[next]
			switch h.state {
			case well:
				if rnd.IntN(10) == 0 {
					h.hang()
					deeds["hung"]++
				} else {
					h.die()
					h.state = dead
					deeds["killed"]++
				}
			case dead:
				if err := h.start(); err != nil {
					t.Error(err)
					return
				}
				h.state = well
				deeds["restarted"]++
				next = rnd.IntN(len(hosts))
			case hung:
				h.letGo()
				next = rnd.IntN(len(hosts))
			}
		}
	})
	began := time.Now()
	working.Wait()
	took := time.Since(began)
	cancel()
	background.Wait()
	t.Logf("%d calls in %v: %d lost; %v; results %v; hosts were %v; %d retries, %d failovers",
		calls, took.Round(time.Millisecond), lost.Load(), deeds, w.results, w.outcomes, w.retries, w.failovers)
	if deeds["killed"] < int(calls/500) {
		t.Errorf("only %v", deeds)
	}
}

// mortal is a host that can be killed and hung.
type mortal struct {
	*host
	state condition

	mu   sync.Mutex
	free chan struct{} // closed while it does not hang
}

type condition int

const (
	well condition = iota
	dead
	hung
)

// serve answers as a host does, or when it is let go.
func (m *mortal) serve(conn net.Conn) {
	m.talk(heldConn{conn, m})
}

// heldConn reads nothing while its host hangs.
type heldConn struct {
	net.Conn
	m *mortal
}

func (c heldConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.m.mu.Lock()
	free := c.m.free
	c.m.mu.Unlock()
	<-free
	return n, err
}

func (m *mortal) hang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.free = hung, make(chan struct{})
}

func (m *mortal) letGo() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == hung {
		m.state = well
		close(m.free)
	}
}

// tally counts what a gateway did.
type tally struct {
	mu                 sync.Mutex
	results            map[Result]int
	outcomes           map[Outcome]int
	retries, failovers int
}

func (w *tally) Called(r CallRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results[r.Result]++
	w.retries += r.Retries
	w.failovers += r.Failovers
}

func (w *tally) Asked(a Ask) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes[a.Outcome]++
}

func (w *tally) Refused(Refusal, netip.Addr) {}

func (w *tally) Present(map[string]bool) {}
