package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// recorder is an Observer by another clock.
type recorder struct {
	*world
	changes *[]string
	since   func() time.Duration
}

func (r recorder) Changed(t Transition) {
	*r.changes = append(*r.changes, fmt.Sprintf("%s %s", r.since().Round(time.Second), t.To))
}

// TestStep: whoever has a time of his own steps a pool through it, and has the same pool each time: a host that dies is
// probed by the schedule of Run, and the orderings are those that the generator makes.
func TestStep(t *testing.T) {
	live := func() (changes []string, order [][]uint16) {
		w := newWorld()
		now := w.start
		means := w.means()
		means.Now = func() time.Time { return now }
		means.Rand = rand.New(rand.NewPCG(1, 2))
		dead := false
		means.Probe = func(context.Context, []netip.Addr, uint16) probe.Result {
			if dead {
				return probe.Result{Outcome: probe.Refused, Stage: probe.Connect, Err: errors.New("refused"), Start: now}
			}
			return probe.Result{Start: now}
		}
		means.Observer = recorder{w, &changes, func() time.Duration { return now.Sub(w.start) }}
		hosts := hosts(3)
		for i := range hosts {
			hosts[i].Priority, hosts[i].Weight = 0, uint16(10*i)
		}
		p := New(hosts, config.Default().Probe, means, nil)
		var jobs []Job
		for now.Sub(w.start) < time.Minute {
			dead = now.Sub(w.start) > 25*time.Second
			pause := p.Step(t.Context(), func(j Job) { jobs = append(jobs, j) })
			if p.Roused() {
				t.Error("The schedule changed although nothing has happened")
			}
			if pause <= 0 {
				t.Fatalf("The next step in %s", pause)
			}
			for _, j := range jobs {
				j.Run()
			}
			if p.Roused() != (len(jobs) > 0) {
				t.Errorf("After %d probes the schedule changed: %t", len(jobs), len(jobs) == 0)
			}
			if len(jobs) == 0 {
				now = now.Add(pause)
			}
			jobs = jobs[:0]
		}
		return changes, p.Snapshot().orders
	}
	changes, order := live()
	// Probed every ten seconds and, once they fail, after two more: up at the start, suspect at thirty, down at thirty-four.
	want := []string{"1s up", "1s up", "1s up", "31s suspect", "31s suspect", "31s suspect", "35s down", "35s down", "35s down"}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("Got %q, want %q", changes, want)
	}
	again, sameOrder := live()
	if !reflect.DeepEqual(changes, again) || !reflect.DeepEqual(order, sameOrder) {
		t.Error("Got another pool the second time")
	}
}
