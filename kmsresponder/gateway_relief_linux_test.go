package kmsresponder

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// TestDuty: when a loop wants help. Turns take their time out of each ten
// milliseconds.
func TestDuty(t *testing.T) {
	const ms, us = time.Millisecond, time.Microsecond
	for name, tc := range map[string]struct {
		turns [][2]time.Duration // how long it waited, and how long the turn took
		want  bool
	}{
		"nothing yet":               {nil, false},
		"a short burst":             {[][2]time.Duration{{0, 9 * ms}}, false},
		"a long burst":              {[][2]time.Duration{{0, 10 * ms}}, true},
		"two thirds, for long":      {[][2]time.Duration{{time.Hour, 2 * time.Hour}}, false},
		"three quarters":            {[][2]time.Duration{{2500 * us, 2500 * us}, {0, 5 * ms}}, true},
		"a little less":             {[][2]time.Duration{{2500 * us, 2500 * us}, {100 * us, 4900 * us}}, false},
		"two thirds, with help":     {[][2]time.Duration{{0, 10 * ms}, {5 * ms, 10 * ms}}, true},
		"half, with help":           {[][2]time.Duration{{0, 10 * ms}, {5 * ms, 5 * ms}}, false},
		"half, not for long enough": {[][2]time.Duration{{0, 10 * ms}, {4 * ms, 5 * ms}}, true},
		"rest after it":             {[][2]time.Duration{{0, 10 * ms}, {time.Second, ms}}, false},
		"again":                     {[][2]time.Duration{{0, 10 * ms}, {time.Second, ms}, {0, 10 * ms}}, true},
	} {
		now := time.Unix(1, 0)
		d, got := duty{since: now}, false
		for _, turn := range tc.turns {
			began := now.Add(turn[0])
			now = began.Add(turn[1])
			got = d.turn(began, now, got)
		}
		if got != tc.want {
			t.Errorf("%s: wants help: %v", name, got)
		}
	}
}

// TestLoopRelief: the second loop is told of clients only while the first has
// too much to do; want of descriptors does not change that.
func TestLoopRelief(t *testing.T) {
	first := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	second := newSlowLoopOn(t, first.gateway, first.ln, 2)
	first.next = second.loop
	turn := func(waited, took time.Duration) {
		t.Helper()
		before := second.wanted.Load()
		first.now = first.duty.since.Add(waited)
		first.seekRelief(first.now.Add(took))
		if nudged, changed := second.nudged.Swap(false), second.wanted.Load() != before; nudged != changed {
			t.Errorf("nudged %v, want %v", nudged, changed)
		}
		if err := second.listen(); err != nil {
			t.Fatal(err)
		}
	}
	conn := dial(t, first.addr)
	conn.Write(bind(2, dcerpc.NDR32))
	first.wait()
	if second.events() != 0 {
		t.Error("the second listens from the start")
	}
	for i, wanted := range []bool{false, true, false, true} {
		if wanted {
			turn(0, dutyPeriod)
		} else {
			turn(time.Second, dutyPeriod)
		}
		if told := second.events() != 0; told != wanted {
			t.Errorf("turn %d: told %v, want %v", i, told, wanted)
		}
	}

	giveBack := exhaust(t)
	took, err := second.accept()
	turn(time.Second, dutyPeriod)
	giveBack()
	second.pass(acceptPause)
	if told := second.events() != 0; took || err != nil || told {
		t.Errorf("accepted %v, %v; told, after a pause at whose end it is not wanted: %v", took, err, told)
	}
	turn(0, dutyPeriod)
	second.wait()

	giveBack = exhaust(t)
	turn(time.Second, dutyPeriod)
	second.accept()
	turn(0, dutyPeriod)
	told := second.events() != 0
	giveBack()
	if told {
		t.Error("told in the pause, because it was wanted again")
	}
	second.pass(acceptPause)
	second.wait()
	if took, err := second.accept(); !took || err != nil {
		t.Errorf("accepted %v, %v", took, err)
	}
}

// TestLoopStandsIn: while the first loop is stuck, the second takes its clients,
// if not at once.
func TestLoopStandsIn(t *testing.T) {
	first := newSlowLoop(t, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	second := newSlowLoopOn(t, first.gateway, first.ln, 2)
	pdu := bind(2, dcerpc.NDR32)
	for range 2 * acceptMost {
		dial(t, first.addr).Write(pdu)
	}
	for second.visitors.here < 2*acceptMost {
		first.wait() // somebody is there
		before := second.visitors.here
		second.pass(lookEvery)
		if second.visitors.here == before {
			t.Fatalf("%d clients wait", 2*acceptMost-before)
		}
		if again := second.soonest.Sub(second.now); again > lookPause {
			t.Errorf("there may be more, which wait for %v", again)
		}
	}
	second.pass(lookEvery)
	if again := second.soonest.Sub(second.now); again < lookEvery {
		t.Errorf("with nobody there, it looks again after %v", again)
	}
}

// slowly is an Observer that takes its time.
type slowly struct{ unobserved }

func (slowly) Called(CallRecord) { time.Sleep(time.Millisecond) }

// TestLoopsShare: who calls more often than one loop can answer is answered by
// two, over connections of each.
func TestLoopsShare(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor has one loop")
	}
	h := startHost(t, &host{})
	addr, g, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Observer: slowly{}, Limits: Limits{Connections: -1, Client: -1, Rate: -1}})
	end := time.Now().Add(20 * time.Second)
	both := func() bool {
		u := g.upstreams.find(h.addr)
		if u == nil {
			return false
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		var lanes [2]bool
		for _, c := range u.parked {
			if lane := c.lane.Load(); lane == 1 || lane == 2 {
				lanes[lane-1] = true
			}
		}
		return lanes[0] && lanes[1]
	}
	var clients sync.WaitGroup
	for n := range 16 {
		clients.Go(func() {
			for i := n; !both(); i += 16 {
				if time.Now().After(end) {
					t.Error("one loop has them all")
					return
				}
				if _, hr, err := callOnce(addr, messageV4(i)); hr != 0 || err != nil {
					t.Errorf("call: %v, %v", hr, err)
					return
				}
			}
		})
	}
	clients.Wait()
}
