package history

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

const kms1 = "kms1.example.org:1688"

func passed(rtt time.Duration) probe.Result { return probe.Result{Outcome: probe.Passed, RTT: rtt} }

// TestMinutes: probes gather by the minute, for an hour.
func TestMinutes(t *testing.T) {
	var h Hosts
	h.Probed("p", kms1, passed(4*time.Millisecond), start)
	h.Probed("p", kms1, passed(2*time.Millisecond), start.Add(10*time.Second))
	h.Probed("p", kms1, probe.Result{Outcome: probe.Timeout, RTT: 2 * time.Second}, start.Add(59*time.Second))
	h.Probed("p", kms1, passed(7*time.Millisecond), start.Add(time.Minute))
	h.Probed("other", kms1, passed(time.Second), start)

	got := h.Past("p", kms1, start.Add(time.Minute)).Minutes
	want := Minute{Start: start, Min: 2 * time.Millisecond, Max: 4 * time.Millisecond, Sum: 6 * time.Millisecond, Passed: 2, Failed: 1}
	if len(got) != 2 || got[0] != want || got[0].Mean() != 3*time.Millisecond || got[1].Passed != 1 {
		t.Errorf("Minutes %+v", got)
	}
	if got := h.Past("p", kms1, start.Add(Minutes*time.Minute)).Minutes; len(got) != 1 || got[0].Passed != 1 || !got[0].Start.Equal(start.Add(time.Minute)) {
		t.Errorf("An hour later: %+v", got)
	}
	h.Probed("p", kms1, passed(time.Millisecond), start.Add(Minutes*time.Minute)) // takes the place of the first
	if got := h.Past("p", kms1, start.Add(Minutes*time.Minute)).Minutes; len(got) != 2 || got[1].Max != time.Millisecond {
		t.Errorf("The place is used again: %+v", got)
	}
	if got := (Minute{Failed: 3}).Mean(); got != 0 {
		t.Errorf("Mean of nothing is %s", got)
	}
}

func TestTransitions(t *testing.T) {
	var h Hosts
	why := errors.New("refused")
	for n := range MaxTransitions + 3 {
		h.Changed("p", pool.Transition{Host: kms1, From: pool.Up, To: pool.Suspect, After: time.Duration(n), Reason: why}, start)
	}
	h.Changed("p", pool.Transition{Host: "kms2.example.org:1688", From: pool.Unchecked, To: pool.Up}, start)
	got := h.Past("p", kms1, start).Transitions
	if len(got) != MaxTransitions || got[0].After != MaxTransitions+2 || got[0].Reason != why || got[MaxTransitions-1].After != 3 {
		t.Errorf("%d transitions from %+v to %+v", len(got), got[0], got[len(got)-1])
	}
	events := h.Events()
	if len(events) != MaxTransitions+4 || events[0].Host != "kms2.example.org:1688" || events[0].Pool != "p" {
		t.Errorf("%d events, the newest %+v", len(events), events[0])
	}
	for range 2 * MaxEvents {
		h.Changed("p", pool.Transition{Host: kms1}, start)
	}
	if n := len(h.Events()); n != MaxEvents {
		t.Errorf("%d events, want %d", n, MaxEvents)
	}
}

func TestServedAndFailed(t *testing.T) {
	var h Hosts
	h.Served("p", kms1, 26, start)
	h.Served("p", kms1, 0, start.Add(time.Second)) // version 6: nobody sees the count
	for n, code := range []string{"silent", "0xC004F042", "silent"} {
		h.Failed("p", kms1, code, start.Add(time.Duration(n)*time.Second))
	}
	got := h.Past("p", kms1, start)
	if got.Served != 2 || !got.LastServed.Equal(start.Add(time.Second)) || got.Count != 26 || !got.CountAt.Equal(start) {
		t.Errorf("Served: %+v", got)
	}
	want := []Failure{{"silent", 2, start.Add(2 * time.Second)}, {"0xC004F042", 1, start.Add(time.Second)}}
	if fmt.Sprint(got.Failures) != fmt.Sprint(want) {
		t.Errorf("Failures %v, want %v", got.Failures, want)
	}
	for n := range 3 * maxCodes {
		h.Failed("p", kms1, fmt.Sprint(n), start)
	}
	if n := len(h.Past("p", kms1, start).Failures); n != maxCodes {
		t.Errorf("%d kinds of failures, want %d", n, maxCodes)
	}
	h.Forget("p", kms1)
	if got := h.Past("p", kms1, start); got.Served != 0 || got.Failures != nil {
		t.Errorf("Forgotten: %+v", got)
	}
}

// TestHostsBound: announced hosts may come and go under ever new names.
func TestHostsBound(t *testing.T) {
	var h Hosts
	for n := range maxHosts + 5 {
		h.Probed("p", fmt.Sprint(n), passed(1), start.Add(time.Duration(n)*time.Second))
	}
	if len(h.hosts) != maxHosts {
		t.Errorf("%d hosts, want %d", len(h.hosts), maxHosts)
	}
	if _, ok := h.hosts[hostKey{"p", "4"}]; ok {
		t.Error("The one that was silent for longest is still there")
	}
	if _, ok := h.hosts[hostKey{"p", "5"}]; !ok {
		t.Error("One that is needed was forgotten")
	}
}
