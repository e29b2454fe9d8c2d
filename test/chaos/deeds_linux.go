package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"

	"github.com/miekg/dns"
)

// carryOut does what is planned, when it is planned, and returns when all of it is undone or ctx is done. It counts what it did.
func (a *arena) carryOut(ctx context.Context, began time.Time, faults []fault) map[kind]int {
	var (
		doing sync.WaitGroup
		mu    sync.Mutex
		done  = make(map[kind]int)
	)
	defer doing.Wait()
	for _, f := range faults {
		select {
		case <-ctx.Done():
			return done
		case <-time.After(time.Until(began.Add(f.At))):
		}
		doing.Go(func() {
			a.events.say("FAULT %s", f)
			err := a.carryOutOne(ctx, f)
			if errors.Is(err, errNoClock) {
				a.events.say("%v", err)
				return // the report has it not at all
			}
			if err != nil {
				a.violate("%s could not be carried out: %v", f, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			done[f.Kind]++
		})
	}
	doing.Wait()
	return done
}

// last waits until f is to be undone, or ctx is done.
func (f fault) last(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(f.For):
	}
}

func (a *arena) carryOutOne(ctx context.Context, f fault) error {
	switch f.Kind {
	case kill, hang, slow, cut, deaf:
		return a.harm(ctx, f, a.machines[f.Host])
	case drain:
		return a.drain(ctx, f, a.hosts[f.Host])
	case good:
		return a.change(f.Turn)
	case bad:
		return a.spoil(ctx, f)
	case clock:
		offset := offsets[f.Turn%len(offsets)]
		a.events.say("the server's clock is set to %s off the true time", offset)
		return a.stepClock(offset)
	case disk:
		if err := a.fill(true); err != nil {
			return err
		}
		a.hoard(ctx, f)
		return a.fill(false)
	case names:
		trouble := troubles[f.Turn%len(troubles)]
		a.events.say("the resolver is broken: %s", trouble)
		a.resolver.fail(trouble)
		f.last(ctx)
		a.resolver.fail("")
		a.events.say("the resolver is well")
		return nil
	case crash, stop:
		a.lifeMu.Lock()
		defer a.lifeMu.Unlock()
		if f.Kind == crash {
			a.hurry(f.Turn)
		}
		if err := a.stopServer(f.Kind == crash); err != nil {
			return fmt.Errorf("stopping it: %w", err)
		}
		f.last(ctx)
		return a.startServer(ctx)
	case isle, night:
		turn := func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.lonely = append(a.lonely, time.Now())
		}
		turn()
		defer turn()
		if f.Kind == isle {
			return a.maroon(ctx, f)
		}
		return a.night(ctx, f)
	}
	return fmt.Errorf("there is no fault %q", f.Kind)
}

// offsets is where the server's clock is set to. A host that is down when a day passes would be taken out of the registry, so
// that the farthest of them are less than a day apart.
var offsets = []time.Duration{
	0, time.Second, -time.Second, 30 * time.Second, -30 * time.Second, 4 * time.Minute, -6 * time.Minute, time.Hour, -time.Hour,
	5 * time.Hour, -5 * time.Hour, 10 * time.Hour, -10 * time.Hour,
}

// harm does to one host what f says, and undoes it.
func (a *arena) harm(ctx context.Context, f fault, m *machine) error {
	if f.Kind == slow {
		m.mu.Lock()
		p := m.process
		m.mu.Unlock()
		done := make(chan struct{})
		var starving sync.WaitGroup
		starving.Go(func() { p.starve(done) })
		f.last(ctx)
		close(done)
		starving.Wait()
		return nil
	}
	a.fails(m.host, f.Kind != deaf)
	if err := m.ail(f.Kind); err != nil {
		return err
	}
	a.failed(m.host)
	a.events.say("%s is dead: %s", m.host.name, f.Kind)
	f.last(ctx)
	a.heals(m.host)
	if f.Kind == kill {
		if err := a.startHost(m); err != nil {
			return err
		}
	} else if err := m.heal(f.Kind); err != nil {
		return err
	}
	a.healed(m.host, f.Kind != deaf)
	a.events.say("%s is well", m.host.name)
	return nil
}

// ail makes the host of m fail.
func (m *machine) ail(k kind) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch k {
	case kill:
		m.process.kill()
	case hang:
		return m.process.signal(syscall.SIGSTOP)
	case cut:
		m.part(1)
		return m.at.link(false)
	case deaf:
		m.part(1)
		if m.deaf++; m.deaf == 1 {
			return m.at.lose(serverAddress, true)
		}
	}
	return nil
}

// part enters one reason more, or less, for m to have no way to the server.
func (m *machine) part(reasons int) {
	before := m.parted
	m.parted += reasons
	if (before == 0) != (m.parted == 0) {
		m.unplugged = append(m.unplugged, time.Now())
	}
}

// heal ends what ail began. A killed host has to be started again instead.
func (m *machine) heal(k kind) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch k {
	case hang:
		return m.process.signal(syscall.SIGCONT)
	case cut:
		err := m.at.link(true)
		m.part(-1)
		return err
	case deaf:
		var err error
		if m.deaf--; m.deaf == 0 {
			err = m.at.lose(serverAddress, false)
		}
		m.part(-1)
		return err
	}
	return nil
}

// drain takes a host out, and puts it back. While there is no server it waits for one.
func (a *arena) drain(ctx context.Context, f fault, h *host) error {
	client := control.Client{Socket: a.config.socket}
	a.set(func(time.Time) { h.free = time.Time{} })
	d, err := a.decide(ctx, client.Drain, h)
	if err != nil {
		return err
	}
	a.set(func(now time.Time) { h.drained = now })
	a.events.say("%s is drained (kept: %t)", h.name, d.Kept)
	f.last(ctx)
	a.set(func(time.Time) { h.drained = time.Time{} })
	if d, err = a.decide(ctx, client.Undrain, h); err != nil {
		return err
	}
	a.set(func(now time.Time) { h.free = now })
	a.events.say("%s is put back (kept: %t)", h.name, d.Kept)
	return nil
}

// decide asks the server until it says yes, and that it will remember. What it did not answer it may have done.
func (a *arena) decide(ctx context.Context, ask func(context.Context, control.Request) (control.Decision, error), h *host) (control.Decision, error) {
	name := h.name[:len(h.name)-1]
	for {
		began := time.Now()
		d, err := ask(context.Background(), control.Request{Host: name, Why: "chaos"})
		switch {
		case err == nil && d.Kept:
			return d, nil
		case err == nil && !a.full(began):
			return d, fmt.Errorf("it is not kept: %v", d.Warnings)
		case err != nil && !h.announced && a.wasUp(began):
			return d, err
		}
		select {
		case <-ctx.Done():
			return d, nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// wasUp is whether the server is up, and was then, and was told of no other Corefile since.
func (a *arena) wasUp(then time.Time) bool {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	return !a.server.IsZero() && a.server.Before(then) && !then.Before(a.reloaded.Add(reloadTime)) && a.reloaded.Before(then)
}

// change writes another good Corefile.
func (a *arena) change(turn int) error {
	a.set(func(now time.Time) { a.reloaded, a.reloads = now, append(a.reloads, now) })
	a.events.say("another good Corefile, number %d", a.config.n+1)
	return a.publish(a.config.other(turn))
}

// publish writes a good Corefile.
func (a *arena) publish(turn int) error {
	a.publishes(turn)
	err := a.config.change(turn)
	a.published()
	return err
}

// spoil writes a bad Corefile, and then a good one.
func (a *arena) spoil(ctx context.Context, f fault) error {
	a.mu.Lock()
	a.badness = append(a.badness, time.Now())
	a.mu.Unlock()
	a.set(func(now time.Time) { a.reloaded = now.Add(f.For) })
	what, err := a.config.spoil(f.Turn)
	if err != nil {
		return err
	}
	a.set(func(now time.Time) { a.spoilt = now.Add(seenTime) })
	a.events.say("a bad Corefile: %s", what)
	f.last(ctx)
	a.set(func(now time.Time) { a.reloaded, a.reloads, a.spoilt = now, append(a.reloads, now), time.Time{} })
	err = a.publish(f.Turn)
	a.mu.Lock()
	a.badness = append(a.badness, time.Now())
	a.mu.Unlock()
	a.events.say("a good Corefile again, number %d", a.config.n)
	return err
}

// hoard has the server store more and more until the disk does not take it, or f is to be undone: what is overwritten in place
// needs no room.
func (a *arena) hoard(ctx context.Context, f fault) {
	until := time.Now().Add(f.For)
	for ; time.Now().Before(until) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		if a.hoarded >= maxHoarded {
			continue
		}
		rcode, err := a.announceAddresses(fmt.Sprintf("hoard%d.chaos.test.", a.hoarded))
		switch {
		case err == nil && rcode == dns.RcodeSuccess:
			a.hoarded++
		case err == nil && rcode == dns.RcodeServerFailure:
			a.set(func(time.Time) { a.tally.Refused++ })
		case err == nil:
			a.violate("addresses of another name are answered %s while the disk is full", dns.RcodeToString[rcode])
			return
		}
	}
}

// maxHoarded is how many names with addresses the server keeps: four for each host that may be announced.
const maxHoarded = 64

// announceAddresses announces eight addresses of a name that is no host's, by the key.
func (a *arena) announceAddresses(name string) (int, error) {
	m := new(dns.Msg)
	m.SetUpdate(updatesZone)
	for i := range 8 {
		m.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A: []byte{10, 77, 1, byte(1 + i)}}})
	}
	conn, err := (&net.Dialer{Timeout: updateTime}).Dial("tcp", netip.AddrPortFrom(serverAddress, 53).String())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return a.exchangeSigned(context.Background(), m, conn)
}

// maroon makes all hosts deaf to the server at once, and lets them hear it again. They are well and reach clients.
func (a *arena) maroon(ctx context.Context, f fault) error {
	steady := true
	a.set(func(now time.Time) {
		for _, h := range a.hosts[:fixedHosts] {
			steady = steady && a.steady(h, now)
		}
	})
	for _, m := range a.machines {
		a.fails(m.host, false)
	}
	if steady {
		a.set(func(now time.Time) { a.marooned = now })
	}
	for _, m := range a.machines {
		if err := m.ail(deaf); err != nil {
			return err
		}
		a.failed(m.host)
	}
	a.events.say("the server is cut off from all hosts (all of the Corefile were well: %t)", steady)
	f.last(ctx)
	a.set(func(time.Time) { a.marooned = time.Time{} })
	for _, m := range a.machines {
		a.heals(m.host)
		if err := m.heal(deaf); err != nil {
			return err
		}
		a.healed(m.host, false)
	}
	a.events.say("the server has hosts again")
	return nil
}

// night kills one host after the other, so slowly that the server has no reason to suspect itself, and starts all of them again.
func (a *arena) night(ctx context.Context, f fault) error {
	order := slices.Clone(a.machines[:fixedHosts])
	for i := range order {
		j := (i + f.Turn) % len(order)
		order[i], order[j] = order[j], order[i]
	}
	step := f
	step.For = f.For / time.Duration(len(order)+1)
	for _, m := range order {
		a.fails(m.host, true)
		if err := m.ail(kill); err != nil {
			return err
		}
		a.failed(m.host)
		a.events.say("%s is dead: %s", m.host.name, f.Kind)
		step.last(ctx)
	}
	step.last(ctx)
	for _, m := range order {
		a.heals(m.host)
		if err := a.startHost(m); err != nil {
			return err
		}
		a.healed(m.host, true)
		a.events.say("%s is well", m.host.name)
	}
	return nil
}
