package kmsresponder

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// runLedger is a ledger that is kept to the end of the test.
func runLedger(t testing.TB) *ledger.Ledger {
	t.Helper()
	l := ledger.New(0)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return l
}

// thirty is a fleet of 30 Windows clients that know of addr alone.
func thirty(addr string) *Fleet {
	f := NewFleet(30, RehearsalClient{Name: "pc", Suffixes: []string{"example.org"}, Discover: found(addr)})
	f.Parallel = 4
	return f
}

// TestGatewayConcentrates: 30 clients in front of three hosts of one priority
// all reach the threshold of 25, because they all come to one host; spread over
// the three, they do not.
func TestGatewayConcentrates(t *testing.T) {
	for _, policy := range []config.Policy{config.Concentrate, config.Spread} {
		t.Run(policy.String(), func(t *testing.T) {
			var hosts []config.Host
			for range 3 {
				addr, _ := start(t, new(Rehearsal))
				hosts = append(hosts, hostAt(addr, 0))
			}
			addr, _, _ := startGateway(t, GatewayConfig{
				Pool: poolOf(hosts...), Policy: policy, Ledger: runLedger(t), Limits: Limits{Rate: -1},
			})
			fleet := thirty(addr)
			fleet.Round(t.Context(), nil)
			second := fleet.Round(t.Context(), nil)
			if all := second.Activated == 30; all != (policy == config.Concentrate) {
				t.Errorf("%d of 30 are activated, the highest count is %d", second.Activated, second.Count)
			}
		})
	}
}

// TestGatewayWarm: when the primary dies, its standby has been told of enough
// clients that the next call of every one of them succeeds there.
func TestGatewayWarm(t *testing.T) {
	primary, kill := start(t, new(Rehearsal))
	standby, _ := start(t, new(Rehearsal))
	w, book := newWatcher(), runLedger(t)
	addr, _, _ := startGateway(t, GatewayConfig{
		Pool: poolOf(hostAt(primary, 0), hostAt(standby, 1)), Warm: 25, Ledger: book, Observer: w, Limits: Limits{Rate: -1},
	})
	fleet := thirty(addr)
	copies := func() (n int) {
		for _, a := range w.asked {
			if a.Copy {
				n++
				if a.Host != standby || a.Outcome != Answered {
					t.Errorf("copy %+v", a)
				}
			}
		}
		return n
	}
	fleet.Round(t.Context(), nil)
	w.until(t, "25 copies", func() bool { return copies() >= 25 })
	fleet.Round(t.Context(), nil)
	if book.Clients(standby) != 25 {
		t.Errorf("the standby was told of %d clients", book.Clients(standby))
	}
	kill()
	after := fleet.Round(t.Context(), nil)
	if after.Activated != 30 || after.Count != 30 {
		t.Errorf("%d of 30 are activated by the standby, the highest count is %d", after.Activated, after.Count)
	}
	for i, a := range after.Attempts {
		if a.Count < 25 {
			t.Errorf("client %d was answered a count of %d", i, a.Count)
		}
	}
	w.until(t, "nobody was copied twice", func() bool { return copies() == 25 })
}

// TestWants: at most once per client and seven days, as many as are wanted, and
// again before the host would forget them.
func TestWants(t *testing.T) {
	pool := poolOf(hostAt("192.0.2.1:1688", 0))
	book := ledger.New(0)
	g := NewGateway(GatewayConfig{Pool: pool, Ledger: book, Warm: 2})
	s := g.settings.Load()
	const standby = "192.0.2.1:1688"
	job := func(client, days int) copyJob {
		return copyJob{call: ledger.Call{At: noon.Add(time.Duration(days) * 24 * time.Hour), Client: clientOf(client),
			Host: "primary", Counted: true}, version: kmswire.V4, request: &kmswire.RequestV4{}}
	}
	for i, tc := range []struct {
		client, days int
		want         bool
	}{
		{1, 0, true}, {1, 0, false}, {2, 0, true}, {3, 0, false}, // two are wanted
		{1, 6, false}, {1, 7, true}, {1, 8, false}, // renewed
		{3, 29, false}, {3, 30, true}, // client 2 is forgotten by now
		{2, 30, false}, {1, 30, true}, {1, 36, false},
	} {
		j := job(tc.client, tc.days)
		book.Enter(j.call) // the call itself
		if got := g.wants(s, standby, j); got != tc.want {
			t.Errorf("%d: client %d on day %d: %v", i, tc.client, tc.days, got)
		} else if got {
			j.call.Host, j.call.Copied = standby, true
			book.Enter(j.call)
		}
	}
	opaque := job(9, 36)
	opaque.version, opaque.request = kmswire.V6, nil
	if !g.wants(s, standby, opaque) {
		t.Error("a client known by its address: the host may count fewer than there are addresses")
	}
	// More than are wanted come by themselves: nothing is to be done.
	for n := range 10 {
		own := job(10+n, 37).call
		own.Host = standby
		book.Enter(own)
	}
	if g.wants(s, standby, job(1, 50)) {
		t.Error("a full host is kept warm")
	}
	g.memory.add(refused{clientOf(50), kmswire.V4, standby}, noon)
	s.Warm = 50
	if g.wants(s, standby, job(50, 0)) || !g.wants(s, standby, job(51, 0)) {
		t.Error("a client that the host declined is copied to it, or another is not")
	}
}

// TestGatewayDeclined: a host that cannot serve a client is passed over, and the
// next time asked last; another protocol version of the same client is another
// matter.
func TestGatewayDeclined(t *testing.T) {
	for _, hr := range []kmswire.HRESULT{kmswire.HostUnusable, kmswire.NotActivated, kmswire.NotEnabled} {
		without, with := startHost(t, &host{hresult: hr}), startHost(t, &host{})
		w := newWatcher()
		addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(without.addr, 0), hostAt(with.addr, 1)), Observer: w})
		want := []Outcome{Declined}
		for i, message := range [][]byte{messageV6(1), messageV6(2), opaque(kmswire.V5, 1), messageV4(1), messageV4(1), messageV4(2)} {
			mustCall(t, addr, message)
			if again := i == 1 || i == 4; !again && i > 0 { // version 6 has only the address
				want = append(want, Declined)
			}
			if got := w.outcomes(without.addr); !slices.Equal(got, want) {
				t.Errorf("%v, call %d: the host was %v, want %v", hr, i, got, want)
			}
			if r := w.last(); r.Host != with.addr || r.Result != ForwardedOK {
				t.Errorf("%v, call %d: %v", hr, i, r)
			}
		}
	}
}

// TestGatewayErrors: what every host declines is declined, with what the first
// one said; any other error goes to the client from the first host that has it.
func TestGatewayErrors(t *testing.T) {
	tests := []struct {
		name    string
		answers []kmswire.HRESULT
		want    kmswire.HRESULT
		result  Result
		asked   int
	}{
		{"all decline", []kmswire.HRESULT{kmswire.NotActivated, kmswire.HostUnusable}, kmswire.NotActivated, AllDeclined, 2},
		{"clock", []kmswire.HRESULT{kmswire.ClockSkew, 0}, kmswire.ClockSkew, ForwardedError, 1},
		{"malformed", []kmswire.HRESULT{kmswire.InvalidData, 0}, kmswire.InvalidData, ForwardedError, 1},
		{"unknown", []kmswire.HRESULT{0xC0FFEE00, 0}, 0xC0FFEE00, ForwardedError, 1},
		{"declined, then error", []kmswire.HRESULT{kmswire.HostUnusable, kmswire.ClockSkew}, kmswire.ClockSkew, ForwardedError, 2},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var hosts []config.Host
			for i, hr := range tc.answers {
				hosts = append(hosts, hostAt(startHost(t, &host{hresult: hr}).addr, uint16(i)))
			}
			w := newWatcher()
			addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hosts...), Observer: w})
			response, hr, err := callOnce(addr, messageV4(1))
			if len(response) != 0 || hr != tc.want || err != nil {
				t.Errorf("answered %d octets, %v, %v; want %v", len(response), hr, err, tc.want)
			}
			if r := w.last(); r.Result != tc.result || r.HRESULT != tc.want || len(w.asked) != tc.asked || r.Host == "" {
				t.Errorf("after %d hosts: %v", len(w.asked), r)
			}
		})
	}
}

// TestGatewayKey: where the product can be seen, a host whose key covers it is
// asked first, whatever the priorities; the others are still there if it fails.
func TestGatewayKey(t *testing.T) {
	clients, servers := &Rehearsal{Key: config.ClientVL}, &Rehearsal{Key: config.ServerC}
	first, _ := start(t, clients)
	second, stop := start(t, servers)
	a, b := hostAt(first, 0), hostAt(second, 1)
	a.Key, b.Key = config.ClientVL, config.ServerC
	w := newWatcher()
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(a, b), Observer: w, Group: ProductGroup})
	client := func(group config.Key) string {
		c := &RehearsalClient{Name: "pc", Group: group, Suffixes: []string{"example.org"}, Discover: found(addr)}
		c.Activate(t.Context())
		r := w.last()
		return r.Host + " " + r.Result.String()
	}
	if got := client(config.ClientVL); got != first+" forwarded_ok" {
		t.Errorf("client: %s", got)
	}
	if got := client(config.ServerB); got != second+" forwarded_ok" || len(w.outcomes(first)) != 1 {
		t.Errorf("server: %s, and the other host was %v", got, w.outcomes(first))
	}
	stop()
	// The host that could serve it is believed alive and says nothing: that is an
	// outage, and not for the other host to settle with a decline.
	if got := client(config.ServerB); got != " failed" {
		t.Errorf("server without its host: %s", got)
	}
}

// TestGatewayNoHost: with no live host, the client is told at once to try
// another server.
func TestGatewayNoHost(t *testing.T) {
	gone := startHost(t, &host{})
	gone.die()
	nowhere := config.Host{Name: "kms1.example.org.", Port: 1688}
	for name, hosts := range map[string][]config.Host{"dead": {hostAt(gone.addr, 0)}, "unresolved": {nowhere}} {
		w := newWatcher()
		p := poolOf(hosts...)
		addr, _, _ := startGateway(t, GatewayConfig{Pool: p, Observer: w})
		s := connectTo(t, addr)
		for range 2 { // the connection survives it
			if _, _, err := s.request(messageV6(1)); err == nil || err.Error() != "fault 0x1C010014 nca_server_too_busy: server too busy" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r := w.last(); r.Result != Failed || r.Host != "" {
			t.Errorf("%s: %v", name, r)
		}
		if err := p.Drain(hosts[0].Endpoint(), pool.Drainage{}); err != nil {
			t.Fatal(err)
		}
		s.request(messageV6(1))
		if r := w.last(); r.Result != NoHost || r.Took > time.Second {
			t.Errorf("%s, drained: %v", name, r)
		}
	}
}

// TestGatewayAdmission: who is turned away, and that it is counted.
func TestGatewayAdmission(t *testing.T) {
	h := startHost(t, &host{})
	w := newWatcher()
	c := GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: w, Limits: Limits{Connections: 3, Client: 2, Rate: 4}}
	addr, g, _ := startGateway(t, c)
	turnedAway := func(what string) {
		t.Helper()
		ended(t, what, dial(t, addr))
	}
	s := connectTo(t, addr)
	for range 4 {
		if _, _, err := s.request(messageV6(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.request(messageV6(1)); err == nil || err.Error() != "fault 0x1C010014 nca_server_too_busy: server too busy" {
		t.Errorf("fifth request of a minute: %v", err)
	}
	other := connectTo(t, addr)
	turnedAway("third connection")
	if g.Connections() != 2 {
		t.Errorf("%d connections", g.Connections())
	}
	c.Limits = Limits{Connections: 2, Client: 9, Rate: -1}
	g.Configure(c)
	turnedAway("one connection too many")
	c.Limits, c.Allow = Limits{Rate: -1}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	g.Configure(c)
	turnedAway("foreign network")
	// Those who are in stay in.
	for _, s := range []*session{s, other} {
		if _, _, err := s.request(messageV6(1)); err != nil {
			t.Error(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range Refusals() {
		if r != RefusedLoop && w.refused[r] != 1 {
			t.Errorf("%v: %d refused", r, w.refused[r])
		}
	}
}
