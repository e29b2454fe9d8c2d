package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

const day = 24 * time.Hour

// small is a scenario that takes a moment.
func small(way Way, vista bool) Scenario {
	s := Default()
	s.Clients, s.Days, s.Way, s.Vista = 200, 30, way, vista
	s.Fail, s.Repair, s.OutageEvery, s.OutageFor = 4*day, time.Hour, 10*day, 30*time.Minute
	return s
}

// each runs test for every way and kind of client.
func each(t *testing.T, test func(*testing.T, Scenario)) {
	for _, way := range Ways() {
		for _, vista := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,vista=%t", way, vista), func(t *testing.T) {
				t.Parallel()
				test(t, small(way, vista))
			})
		}
	}
}

func mustRun(t testing.TB, s Scenario) Result {
	t.Helper()
	r, err := Run(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// print is everything that is printed of a result.
func printed(t *testing.T, r Result) string {
	t.Helper()
	var b bytes.Buffer
	for _, err := range []error{
		json.NewEncoder(&b).Encode(r), r.WriteText(&b, Style{Width: 80}), WriteSVG(&b, []Result{r}), WriteTable(&b, []Result{r}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestSameSeed: the same scenario has the same result to the octet, and another seed has another.
func TestSameSeed(t *testing.T) {
	each(t, func(t *testing.T, s Scenario) {
		s.Office = true
		first := printed(t, mustRun(t, s))
		if again := printed(t, mustRun(t, s)); again != first {
			t.Errorf("Got another result the second time:\n%s\nand before\n%s", again, first)
		}
		s.Seed++
		if printed(t, mustRun(t, s)) == first {
			t.Error("Got the same result with another seed")
		}
	})
}

// TestInvariants: nobody is activated by a host that counts too few, no host counts more than twice the threshold, and every
// call went somewhere, and came to one end.
func TestInvariants(t *testing.T) {
	each(t, func(t *testing.T, s Scenario) {
		w := newWorld(t.Context(), s)
		w.report = func(n uint32, a kmsresponder.Attempt) {
			if a.Activated() != (a.Count >= threshold) || a.Count > 2*threshold {
				t.Errorf("Client %d: activated %t by a count of %d", n, a.Activated(), a.Count)
			}
			for i, try := range a.Tries {
				if answered := try.Err == nil; answered != (i == len(a.Tries)-1 && a.Host != "") {
					t.Errorf("Client %d: try %d of %d answered %t, host %q", n, i, len(a.Tries), answered, a.Host)
				}
			}
		}
		r, err := w.run(nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Attempts != r.Activated+r.TooFew+r.Failed || r.Calls-r.CallsLost != r.Activated+r.TooFew {
			t.Errorf("Got %d attempts, %d activated, %d too few, %d failed, in %d calls of which %d were lost",
				r.Attempts, r.Activated, r.TooFew, r.Failed, r.Calls, r.CallsLost)
		}
		var answered, lost, copies, sampled uint64
		for _, h := range r.Hosts {
			answered += h.Calls - h.Copies
			lost += h.Lost
			if h.Most > 2*threshold {
				t.Errorf("%s counted %d", h.Name, h.Most)
			}
			copies += h.Copies
			sampled += h.Calls
		}
		for _, one := range r.Samples {
			for _, calls := range one.Calls {
				sampled -= calls
			}
			if one.Activated > one.Installed || one.Installed > s.Clients {
				t.Errorf("After %s %d clients of %d were activated", one.At.Duration(), one.Activated, one.Installed)
			}
		}
		if answered != r.Calls-r.CallsLost {
			t.Errorf("Hosts answered %d calls, clients had %d answered", answered, r.Calls-r.CallsLost)
		}
		if copies > 0 != (s.Way == Warm) {
			t.Errorf("Hosts got %d copies", copies)
		}
		if sampled != 0 {
			t.Errorf("Samples have %d calls too few", int64(sampled))
		}
		if lost == 0 || r.Changes == 0 || r.Failed == 0 && r.TooFew == 0 {
			t.Errorf("Got %d calls lost at hosts and %d changes of health: nothing happened", lost, r.Changes)
		}
		if s.Way == Direct {
			if lost != r.CallsLost || r.Responder != nil {
				t.Errorf("Hosts lost %d calls, clients %d; responder %+v", lost, r.CallsLost, r.Responder)
			}
			return
		}
		n := r.Responder
		if n.Calls != n.Answered+n.Failed+n.NoHost || n.Calls > r.Calls || n.Answered > answered {
			t.Errorf("Got %+v for %d calls of clients", *n, r.Calls)
		}
	})
}

// TestTooFewClients: one client below the threshold nobody is activated, whatever the way; with one more on one host all are.
func TestTooFewClients(t *testing.T) {
	each(t, func(t *testing.T, s Scenario) {
		s.Trouble, s.Hosts, s.Days = Trouble{}, 1, 30
		s.Clients = threshold - 1
		if r := mustRun(t, s); r.Activated != 0 || r.Never != s.Clients || r.Share != 0 || r.Hosts[0].Most != threshold-1 {
			t.Errorf("%d clients: got %d activations, %d never, highest count %d", s.Clients, r.Activated, r.Never, r.Hosts[0].Most)
		}
		s.Clients = threshold
		if r := mustRun(t, s); r.Never != 0 || r.ShareLast != 1 || r.Hosts[0].Most != threshold {
			t.Errorf("%d clients: got %d never, %g at the end, highest count %d", s.Clients, r.Never, r.ShareLast, r.Hosts[0].Most)
		}
	})
}

// TestDrained: where hosts are drained before they are shut down, the responder never asks one that is off.
func TestDrained(t *testing.T) {
	for _, way := range []Way{Spread, Concentrate, Warm} {
		s := small(way, false)
		s.Trouble = Trouble{ServiceEvery: 3 * day, ServiceFor: 6 * time.Hour}
		r := mustRun(t, s)
		for _, h := range r.Hosts {
			if h.Lost > 0 || h.Bad == 0 {
				t.Errorf("%s: %s lost %d calls, and was off for %s", way, h.Name, h.Lost, h.Bad.Duration())
			}
		}
		if r.CallsLost > 0 || r.Failed > 0 || r.ShareLast != 1 {
			t.Errorf("%s: %d calls lost, %d attempts failed, %g activated", way, r.CallsLost, r.Failed, r.ShareLast)
		}
	}
}

// TestOffice: clients that are off at night and at weekends call only in office hours, and are activated all the same.
func TestOffice(t *testing.T) {
	s := small(Concentrate, false)
	s.Office = true
	w := newWorld(t.Context(), s)
	w.report = func(n uint32, a kmsresponder.Attempt) {
		hour := a.Began.Sub(a.Began.Truncate(day))
		weekday := a.Began.Weekday()
		latest := officeOpens + officeParts*officeShift + officeTime + officeHaste
		if weekday == time.Saturday || weekday == time.Sunday || hour < officeOpens || hour > latest {
			t.Errorf("Client %d called on %s", n, a.Began.Format("Monday 15:04"))
		}
	}
	r, err := w.run(nil)
	if err != nil || r.Never > 0 || r.Attempts < 1000 {
		t.Errorf("Got %d clients never activated in %d attempts, %v", r.Never, r.Attempts, err)
	}
}

// TestRest: probes that are left out would have changed nothing: the pool sees the same changes, no further off than probes
// of two runs lie apart.
func TestRest(t *testing.T) {
	s := small(Direct, false)
	s.Clients, s.Days, s.Fail, s.HangPart = 1, 10, day, 0.5
	s.Grow = 0
	type change struct {
		t  pool.Transition
		at time.Duration
	}
	live := func(restful bool) (all []change) {
		w := newWorld(t.Context(), s)
		w.pool.restful = restful
		w.pool.changed = func(t pool.Transition) { all = append(all, change{t, w.now.Sub(start)}) }
		if _, err := w.run(nil); err != nil {
			t.Fatal(err)
		}
		return all
	}
	with, without := live(true), live(false)
	if len(with) != len(without) || len(with) < 40 {
		t.Fatalf("Got %d changes with rest and %d without, want as many and forty at least", len(with), len(without))
	}
	// Changes of different hosts may change places: each host is looked at for itself.
	for i := range s.Hosts {
		name := fmt.Sprintf("kms%d.example.org:1688", i+1)
		of := func(all []change) (its []change) {
			for _, c := range all {
				if c.t.Host == name {
					its = append(its, c)
				}
			}
			return its
		}
		a, b := of(with), of(without)
		for j := range a {
			// A host that is down is probed once a minute, and is up when it passed twice.
			if d := a[j].at - b[j].at; a[j].t.To != b[j].t.To || d.Abs() > 90*time.Second {
				t.Errorf("%s became %s after %s with rest, and %s after %s without", name, a[j].t.To, a[j].at, b[j].t.To, b[j].at)
			}
		}
	}
}

// TestEnds: a simulation ends with its context, and tells how far it is.
func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var told []time.Duration
	_, err := Run(ctx, small(Direct, false), func(done time.Duration) {
		if told = append(told, done); len(told) == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || len(told) != 3 || told[2] != 30*day*3/samples {
		t.Errorf("Got %v, told %v", err, told)
	}
	if _, err := RunAll(ctx, []Scenario{small(Direct, false), small(Warm, false)}, 2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("All: got %v", err)
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatalf("The defaults: %v", err)
	}
	for want, change := range map[string]func(*Scenario){
		"0 clients: from 1 to":   func(s *Scenario) { s.Clients = 0 },
		"10000001 clients":       func(s *Scenario) { s.Clients = MaxClients + 1 },
		"17 hosts: from 1 to 16": func(s *Scenario) { s.Hosts = 17 },
		"1001 days":              func(s *Scenario) { s.Days = 1001 },
		"grows for 4321h0m0s":    func(s *Scenario) { s.Grow = 4321 * time.Hour },
		"jitter 0.6":             func(s *Scenario) { s.Jitter = 0.6 },
		"warm at 51 clients":     func(s *Scenario) { s.Copy = 51 },
		"activation_interval 1s": func(s *Scenario) { s.Activation = time.Second },
		"ttl 10m0s":              func(s *Scenario) { s.TTL = 10 * time.Minute },
		"probe interval 0s":      func(s *Scenario) { s.Probe.Interval = 0 },
		"part of 2 of failures":  func(s *Scenario) { s.HangPart = 2 },
		"failures every 1m0s":    func(s *Scenario) { s.Fail = time.Minute },
		"outages of 0s":          func(s *Scenario) { s.OutageFor = 0 },
		"services of 500h0m0s":   func(s *Scenario) { s.ServiceFor = 500 * time.Hour },
	} {
		s := Default()
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Got %v, want %q", err, want)
		}
		if _, err := Run(t.Context(), s, nil); err == nil {
			t.Errorf("%s: it was lived through all the same", want)
		}
	}
}

// BenchmarkRun says how many days of how many clients are lived through in a second.
func BenchmarkRun(b *testing.B) {
	for _, way := range Ways() {
		b.Run(way.String(), func(b *testing.B) {
			s := Default()
			s.Clients, s.Days, s.Way = 100_000, 30, way
			for b.Loop() {
				mustRun(b, s)
			}
			b.ReportMetric(float64(s.Clients*s.Days)*float64(b.N)/b.Elapsed().Seconds(), "clients·days/s")
		})
	}
}
