package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"

	"github.com/miekg/dns"
)

const (
	pace        = 6 * time.Second // between two announcements of a host, on average
	updateTime  = 8 * time.Second // for one; the server gives itself 5
	updatesZone = "chaos.test."
)

// An announcer announces one host again and again, with another weight each time, and takes that back now and then. What was
// acknowledged must hold; what was not, while the server was killed or its disk was full, may or may not.
type announcer struct {
	world *world
	host  *host
	home  *namespace // where unsigned updates must come from
	rnd   *rand.Rand
	arena *arena

	hurry    chan struct{} // to announce at once
	mu       sync.Mutex
	weight   int   // acknowledged; -1 if it is not announced
	may      []int // what else may be, since nobody was told: nothing is changed until the server has said which
	changing bool
	changes  int // so far
}

// run announces until ctx is done.
func (a *announcer) run(ctx context.Context) {
	a.change(1 + a.rnd.IntN(1000))
	for {
		wait := time.Duration(float64(pace) * (0.2 + 1.6*a.rnd.Float64()))
		weight, again := 1+a.rnd.IntN(1000), time.Duration(0)
		if a.rnd.IntN(10) == 0 {
			weight, again = -1, time.Duration(a.rnd.IntN(8000))*time.Millisecond
		}
		select {
		case <-ctx.Done():
			return
		case <-a.hurry:
		case <-time.After(wait):
		}
		a.change(weight)
		if weight < 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(again):
			}
			a.change(1 + a.rnd.IntN(1000))
		}
	}
}

// change makes one update. Whoever has no link, or no server, does not try.
func (a *announcer) change(weight int) {
	w := a.world
	var up time.Time
	w.set(func(time.Time) { up = w.server })
	if up.IsZero() || !a.host.signed && a.arena.unplugged(a.host) {
		return
	}
	before, ok := a.begin()
	if !ok {
		return
	}
	w.set(func(time.Time) {
		if weight < 0 {
			a.host.listed = time.Time{}
		}
		a.host.gone, a.host.weighed = time.Time{}, time.Time{}
	})

	over := []string{"udp", "tcp"}[a.rnd.IntN(2)]
	began := time.Now()
	rcode, err := a.send(before, weight, over)
	took := time.Since(began).Round(time.Millisecond)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changing = false
	a.changes++
	switch {
	case err == nil && rcode == dns.RcodeSuccess:
		w.events.say("%s announced with weight %d over %s, in %s", a.host.name, weight, over, took)
		a.weight, a.may = weight, nil
		w.set(func(now time.Time) {
			switch {
			case weight < 0:
				a.host.gone, w.tally.Withdrawn = now, w.tally.Withdrawn+1
				a.host.leaves(now)
			default:
				w.tally.Registered++
				a.lists(now)
			}
		})
		return
	case err == nil && rcode == dns.RcodeServerFailure && a.arena.full(began):
		// Not stored, so it has not happened: what was, is.
		w.events.say("%s could not be announced: the disk is full", a.host.name)
		w.set(func(now time.Time) {
			w.tally.Refused++
			if a.weight >= 0 {
				a.lists(now)
			}
		})
		return
	case err == nil:
		w.violate("an update of %s over %s with weight %d is answered %s in %s",
			a.host.name, over, weight, dns.RcodeToString[rcode], took)
	case a.excused(up, began):
	default:
		w.violate("an update of %s over %s with weight %d has no answer in %s: %v", a.host.name, over, weight, took, err)
	}
	// It may have happened.
	a.may = []int{weight}
	w.set(func(time.Time) {
		w.tally.Uncertain++
		a.host.listed = time.Time{}
	})
	w.events.say("%s: whether it is announced with weight %d is not certain: %v", a.host.name, weight, err)
}

// begin begins a change of what it returns. There is none before the last one's outcome is certain: it would hide what became
// of it.
func (a *announcer) begin() (before int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.may) > 0 {
		return 0, false
	}
	a.changing = true
	a.changes++
	return a.weight, true
}

// lists enters that the host is announced with its weight. Both locks are held.
func (a *announcer) lists(now time.Time) {
	if a.host.listed.IsZero() {
		a.host.listed = now
	}
	a.host.weight, a.host.weighed = uint16(a.weight), now
}

// excused is whether no answer had to come: the server was stopped, or changed its sockets, or the link was unplugged.
func (a *announcer) excused(up, began time.Time) bool {
	excused := !a.host.signed && a.arena.wasUnplugged(a.host, began)
	a.world.set(func(time.Time) {
		excused = excused || a.world.server != up || began.Before(a.world.reloaded.Add(reloadTime)) || a.world.reloaded.After(began)
	})
	return excused
}

// send makes the host, announced with the weight before, what it is to be.
func (a *announcer) send(before, weight int, over string) (int, error) {
	record := func(weight int) dns.RR {
		return &dns.SRV{Hdr: dns.RR_Header{Name: zones[viaResponder], Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: 60},
			Priority: announcedPriority, Weight: uint16(weight), Port: port, Target: a.host.name}
	}
	m := new(dns.Msg)
	m.SetUpdate(updatesZone)
	if before >= 0 && weight < 0 {
		m.Remove([]dns.RR{record(before)})
	}
	if weight >= 0 {
		m.Insert([]dns.RR{record(weight)}) // takes the place of the one with another weight
	}
	to := netip.AddrPortFrom(serverAddress, 53).String()
	ctx, cancel := context.WithTimeout(context.Background(), updateTime)
	defer cancel()
	var conn net.Conn
	var err error
	if a.host.signed {
		conn, err = (&net.Dialer{}).DialContext(ctx, over, to)
	} else {
		conn, err = a.home.dial(ctx, over, to)
	}
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if a.host.signed {
		return a.arena.exchangeSigned(ctx, m, conn)
	}
	reply, _, err := (&dns.Client{Net: over, Timeout: updateTime}).ExchangeWithConnContext(ctx, m, &dns.Conn{Conn: conn})
	if err != nil {
		return 0, err
	}
	return reply.Rcode, nil
}

// exchangeSigned sends an update signed by the server's clock, wherever that is; it is left alone meanwhile.
func (a *arena) exchangeSigned(ctx context.Context, m *dns.Msg, conn net.Conn) (int, error) {
	defer a.holdClock()()
	secrets := map[string]string{keyName: keySecret}
	m.SetTsig(keyName, dns.HmacSHA256, 300, time.Now().Add(a.clockOffset()).Unix())
	c := dns.Client{Timeout: updateTime, TsigSecret: secrets}
	reply, _, err := c.ExchangeWithConnContext(ctx, m, &dns.Conn{Conn: conn, TsigSecret: secrets})
	if errors.Is(err, dns.ErrTime) && a.clockOffset() != 0 {
		err = nil // the answer is signed by the same clock
	}
	if err != nil {
		return 0, err
	}
	return reply.Rcode, nil
}

// expected is the weights that the server may have for the host (-1 is none), and a number that changes with each change.
func (a *announcer) expected() (weights []int, changes int, certain bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]int{a.weight}, a.may...), a.changes, !a.changing
}

// settle notes what the server has, where that was not certain.
func (a *announcer) settle(changes, weight int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changes != changes || len(a.may) == 0 {
		return
	}
	a.weight, a.may = weight, nil
	a.world.set(func(now time.Time) {
		if a.host.gone = (time.Time{}); weight >= 0 {
			a.lists(now)
			return
		}
		a.host.listed, a.host.gone = time.Time{}, now
	})
}

// compare has the server say who is announced, holds it against what it acknowledged, and says of how many hosts. Those whose
// announcement is under way are left out; so are all of them if the server is stopped meanwhile.
func compare(ctx context.Context, w *world, announcers []*announcer, socket string) (compared int, err error) {
	type belief struct {
		weights []int
		changes int
		certain bool
	}
	var up, still time.Time
	w.set(func(time.Time) { up = w.server })
	before := make([]belief, len(announcers))
	for i, a := range announcers {
		before[i].weights, before[i].changes, before[i].certain = a.expected()
	}
	known, err := control.Client{Socket: socket}.Hosts(ctx)
	if err != nil {
		return 0, err
	}
	if w.set(func(time.Time) { still = w.server }); still != up {
		return 0, nil
	}
	has := make(map[string]int)
	for _, p := range known.Pools {
		for _, h := range p.Hosts {
			name, _, _ := strings.Cut(h.Endpoint, ":")
			if h.Announced {
				has[name+"."] = int(h.Weight)
			}
		}
	}
	for i, a := range announcers {
		weight, there := has[a.host.name]
		if !there {
			weight = -1
		}
		if _, changes, certain := a.expected(); !before[i].certain || !certain || changes != before[i].changes {
			continue
		}
		compared++
		w.set(func(time.Time) { w.tally.Compared++ })
		found := false
		for _, want := range before[i].weights {
			found = found || want == weight
		}
		if !found {
			w.violate("%s is announced with weight %s; acknowledged was %s", a.host.name, weightText(weight), weightsText(before[i].weights))
			continue
		}
		a.settle(before[i].changes, weight)
	}
	return compared, nil
}

func weightText(w int) string {
	if w < 0 {
		return "none"
	}
	return fmt.Sprint(w)
}

func weightsText(weights []int) string {
	var all []string
	for _, w := range weights {
		all = append(all, weightText(w))
	}
	return strings.Join(all, " or ")
}
