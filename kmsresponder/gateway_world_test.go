package kmsresponder

import (
	"context"
	"io"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

// TestGatewayWorld: in a world of its own a gateway waits for silent hosts, fails over, keeps a ledger and keeps hosts warm as
// it does in this one, and takes no time for it.
func TestGatewayWorld(t *testing.T) {
	hosts := []config.Host{hostAt("192.0.2.1:1688", 0), hostAt("192.0.2.2:1688", 1), hostAt("192.0.2.3:1688", 2)}
	began := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	now := began
	var asked []string
	does := map[string]error{"192.0.2.1:1688": os.ErrDeadlineExceeded, "192.0.2.2:1688": io.EOF}
	w := &World{
		Now:   func() time.Time { return now },
		Sleep: func(d time.Duration) { now = now.Add(d) },
		Draw:  func() uint32 { return 0 },
		Exchange: func(endpoint string, message []byte, until time.Time) ([]byte, kmswire.HRESULT, error) {
			asked = append(asked, endpoint)
			if err := does[endpoint]; err != nil {
				if err == os.ErrDeadlineExceeded {
					now = until
				}
				return nil, 0, err
			}
			return kmswire.V6.Append(nil), kmswire.OK, nil
		},
	}
	seen, l := newWatcher(), ledger.New(0)
	g := NewGateway(GatewayConfig{Pool: poolOf(hosts...), World: w, Ledger: l, Observer: seen, Warm: 5})
	from := netip.MustParseAddr("10.1.2.3")
	call := func(want string, took time.Duration, hosts ...string) {
		t.Helper()
		asked, began = nil, now
		response, hr, fault := g.Call(from, messageV6(1))
		got := seen.last()
		if got.Result.String() != want || got.Took != took || !reflect.DeepEqual(asked, hosts) {
			t.Errorf("Got %s after %s from %q, want %s after %s from %q", got.Result, got.Took, asked, want, took, hosts)
		}
		if answered := len(response) > 0 && hr == kmswire.OK && fault == 0; answered != (got.Result == ForwardedOK) ||
			!answered && fault != dcerpc.StatusServerTooBusy {
			t.Errorf("%s: answered %x, %v, %v", want, response, hr, fault)
		}
	}

	// Three tenths of ten seconds for the silent one. Then it is the last, for five seconds.
	call("forwarded_ok", 3*time.Second, "192.0.2.1:1688", "192.0.2.2:1688", "192.0.2.3:1688", "192.0.2.2:1688")
	if n := l.Homes("192.0.2.3:1688"); n != 1 {
		t.Errorf("The ledger has %d clients of the host that answered, want 1", n)
	}
	clear(does)
	now = now.Add(time.Minute)
	call("forwarded_ok", 0, "192.0.2.1:1688", "192.0.2.2:1688")
	if n := l.Clients("192.0.2.2:1688"); n != 1 {
		t.Errorf("The ledger has %d clients of the host that was kept warm, want 1", n)
	}
	call("forwarded_ok", 0, "192.0.2.1:1688")

	// All are dead: each is asked four times, with pauses between.
	for _, h := range hosts {
		does[h.Endpoint()] = io.EOF
	}
	now = now.Add(time.Minute)
	var all []string
	for range rounds {
		all = append(all, "192.0.2.1:1688", "192.0.2.2:1688", "192.0.2.3:1688")
	}
	call("failed", 50*time.Millisecond+100*time.Millisecond+200*time.Millisecond, all...)
}

// TestRehearsalClientWorld: a client with a network and a time of its own connects to nobody.
func TestRehearsalClientWorld(t *testing.T) {
	now := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	host := new(Rehearsal)
	c := RehearsalClient{Name: "pc", Suffixes: []string{"example.org"}, Discover: found("192.0.2.1:1688"),
		Now: func() time.Time { return now }}
	c.Exchange = func(_ context.Context, _ SRV, q kmswire.RequestV4) (kmswire.ResponseV4, kmswire.HRESULT, error) {
		now = now.Add(time.Second)
		r, hr := host.Respond(q, now)
		return r, hr, nil
	}
	first := c.Activate(t.Context())
	if first.Verdict != kmswire.NotEnoughCount || first.Count != 1 || first.Took != time.Second || first.Next != DefaultActivationInterval {
		t.Errorf("Got %+v", first)
	}
	for n := range ClientThreshold - 1 {
		other := c
		other.Name, other.Learned = string(rune('a'+n)), Learned{}
		other.Activate(t.Context())
	}
	began := now
	second := c.Activate(t.Context())
	if !second.Activated() || second.Count != ClientThreshold || !c.Licensed.Equal(now.Add(LicenseValidity)) || c.Cached == nil {
		t.Errorf("Got %+v, learned %+v", second, c.Learned)
	}
	// Put into another client, what was learned makes it ask the same host first.
	heir := RehearsalClient{Name: "pc", Exchange: c.Exchange, Now: c.Now, Learned: c.Learned}
	if a := heir.Activate(t.Context()); !a.Activated() || !a.Cached || !heir.Installed.Equal(c.Installed) || began.Equal(now) {
		t.Errorf("Got %+v", a)
	}
}
