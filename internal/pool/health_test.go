package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

var standard = Thresholds{Rise: 2, Fall: 3}

// play runs a script: p pass, f fail, d drain, u undrain; a c at its beginning begins with a claim.
func play(h Health, script string, t Thresholds) Health {
	script, claimed := strings.CutPrefix(script, "c")
	if claimed {
		h.believed = Claimed
	}
	for _, c := range script {
		h, _ = h.Next(Event(strings.IndexRune("pfdu", c)), t)
	}
	return h
}

func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   State
	}{
		{"", Unchecked},
		{"p", Up},
		{"f", Suspect},
		{"ff", Suspect},
		{"fff", Down},
		{"pf", Suspect},
		{"pfp", Up},         // one pass clears suspicion
		{"pffpff", Suspect}, // and zeroes the failures
		{"pffpfff", Down},
		{"pfffp", Down}, // coming back takes rise passes
		{"pfffpp", Up},
		{"pfffpfp", Down}, // in a row
		{"pfffpfpp", Up},
		{"pfffppf", Suspect},
		// Flapping: ten failures without ten straight passes.
		{"p" + strings.Repeat("fp", 9), Up},
		{"p" + strings.Repeat("fp", 9) + "f", Down},
		{"p" + strings.Repeat("fp", 9) + "fpp", Down}, // a flapper needs ten straight passes
		{"p" + strings.Repeat("fp", 9) + "f" + strings.Repeat("p", 9), Down},
		{"p" + strings.Repeat("fp", 9) + "f" + strings.Repeat("p", 10), Up},
		{"p" + strings.Repeat("fp", 9) + strings.Repeat("p", 10) + "f", Suspect}, // forgotten after ten
		// Failures while down are not flapping: a host that was dead for long is back after rise passes.
		{"p" + strings.Repeat("f", 50) + "pp", Up},
		// Three deaths in a row count nine; the fourth needs one failure.
		{"p" + strings.Repeat("fffpp", 3), Up},
		{"p" + strings.Repeat("fffpp", 3) + "f", Down},
		// Drained wins over everything and forgets nothing.
		{"d", Drained},
		{"pd", Drained},
		{"pdfff", Drained},
		{"pdfffu", Down},
		{"pffdppu", Up},
		{"dd", Drained},
		{"ddu", Unchecked},
		{"u", Unchecked},
		// A claim proves itself by rise straight passes, and by nothing else.
		{"c", Claimed},
		{"cp", Claimed},
		{"cpp", Up},
		{"cfp", Claimed},
		{"cpfp", Claimed},
		{"cpfpp", Up},
		{"c" + strings.Repeat("f", 500), Claimed}, // it was never in, so it is not down
		{"c" + strings.Repeat("f", 500) + "p", Claimed},
		{"c" + strings.Repeat("f", 500) + "pp", Up},
		{"c" + strings.Repeat("pf", 50), Claimed},   // failing every other probe is no proof, and
		{"c" + strings.Repeat("pf", 50) + "pp", Up}, // no flapping of a host that is offered
		{"cppf", Suspect}, // from then on it is like any other
		{"cppfff", Down},
		{"cppfffp", Down},
		{"cd", Drained},
		{"cdu", Claimed},
		{"cdpu", Claimed},
		{"cdppu", Up}, // it proved itself all the while
		{"cdpp", Drained},
	} {
		if got := play(Health{}, tt.script, standard).State(); got != tt.want {
			t.Errorf("After %q: got %s, want %s", tt.script, got, tt.want)
		}
	}
}

func TestHealthThresholdsOfOne(t *testing.T) {
	one := Thresholds{Rise: 1, Fall: 1}
	if got := play(Health{}, "pf", one).State(); got != Down {
		t.Errorf("fall 1: got %s after one failure, want down", got)
	}
	if got := play(Health{}, "pfp", one).State(); got != Up {
		t.Errorf("rise 1: got %s after one pass, want up", got)
	}
}

// TestHealthEveryStateAndEvent pins the whole table: the state before, the event, the state after and whether it changed.
func TestHealthEveryStateAndEvent(t *testing.T) {
	reach := map[State]string{Unchecked: "", Up: "p", Suspect: "pf", Down: "pfff", Claimed: "c", Drained: "pd"}
	want := map[State][4]State{ // after pass, fail, drain, undrain
		Unchecked: {Up, Suspect, Drained, Unchecked},
		Up:        {Up, Suspect, Drained, Up},
		Suspect:   {Up, Suspect, Drained, Suspect},
		Down:      {Down, Down, Drained, Down},
		Claimed:   {Claimed, Claimed, Drained, Claimed},
		Drained:   {Drained, Drained, Drained, Up},
	}
	for _, from := range States() {
		for e := Pass; e <= Undrain; e++ {
			h := play(Health{}, reach[from], standard)
			if h.State() != from {
				t.Fatalf("The script for %s leads to %s", from, h.State())
			}
			next, changed := h.Next(e, standard)
			if next.State() != want[from][e] || changed != (from != want[from][e]) {
				t.Errorf("%s, event %d: got %s (changed %v), want %s", from, e, next.State(), changed, want[from][e])
			}
		}
	}
}

// TestHealthRiseOfAClaim: rise straight passes, for each rise that may be set, after whatever came before.
func TestHealthRiseOfAClaim(t *testing.T) {
	for rise := 1; rise <= 100; rise++ {
		th := Thresholds{Rise: rise, Fall: 3}
		for _, before := range []string{"", "f", "fff", strings.Repeat("p", rise-1) + "f"} {
			if got := play(Health{}, "c"+before+strings.Repeat("p", rise-1), th).State(); got != Claimed {
				t.Errorf("rise %d: %s after %d passes", rise, got, rise-1)
			}
			if got := play(Health{}, "c"+before+strings.Repeat("p", rise), th).State(); got != Up {
				t.Errorf("rise %d: %s after as many passes", rise, got)
			}
		}
	}
}

// FuzzHealth plays any script and checks what must hold whatever happens.
func FuzzHealth(f *testing.F) {
	f.Fuzz(func(t *testing.T, script string, rise, fall int, claimed bool) {
		if rise < 1 || rise > 100 || fall < 1 || fall > 100 || len(script) > 1000 {
			t.Skip()
		}
		th := Thresholds{Rise: rise, Fall: fall}
		var h Health
		if claimed {
			h.believed = Claimed
		}
		straightPasses, straightFails, drained := 0, 0, false
		for i, c := range script {
			e := Event(uint(c) % 4)
			before := h
			var changed bool
			h, changed = h.Next(e, th)
			switch e {
			case Pass:
				straightPasses, straightFails = straightPasses+1, 0
			case Fail:
				straightPasses, straightFails = 0, straightFails+1
			case Drain:
				drained = true
			case Undrain:
				drained = false
			}
			at := fmt.Sprintf("step %d of %q, rise %d fall %d", i, script, rise, fall)
			if changed != (before.State() != h.State()) {
				t.Fatalf("%s: changed is %v from %s to %s", at, changed, before.State(), h.State())
			}
			if drained != (h.State() == Drained) {
				t.Fatalf("%s: drained is %v, state %s", at, drained, h.State())
			}
			if before.believed == Down && h.believed != Down && straightPasses < rise {
				t.Fatalf("%s: back after %d straight passes", at, straightPasses)
			}
			if before.believed == Claimed && h.believed != Claimed && (h.believed != Up || straightPasses < rise) {
				t.Fatalf("%s: a claim is %s after %d straight passes", at, h.believed, straightPasses)
			}
			if before.believed != Claimed && h.believed == Claimed {
				t.Fatalf("%s: %s became a claim", at, before.believed)
			}
			if straightFails >= fall && !h.out() {
				t.Fatalf("%s: %s after %d straight failures", at, h.believed, straightFails)
			}
			if !h.out() && e == Pass && h.believed != Up {
				t.Fatalf("%s: %s after a pass", at, h.believed)
			}
			if straightPasses >= max(rise, window) && h.believed != Up {
				t.Fatalf("%s: %s after %d straight passes", at, h.believed, straightPasses)
			}
			if h.passes > 0 && h.fails > 0 || h.recent > window || h.missed > 100 || h.fails > 100 || h.passes > 100 {
				t.Fatalf("%s: counts %+v", at, h)
			}
		}
	})
}

func TestPause(t *testing.T) {
	p := config.Default().Probe
	for _, tt := range []struct {
		script string
		self   bool
		want   time.Duration
	}{
		{"", false, 2 * time.Second},
		{"p", false, 10 * time.Second},
		{"pf", false, 2 * time.Second},
		{"pfff", false, 10 * time.Second},
		{"pffff", false, 20 * time.Second},
		{"pfffff", false, 40 * time.Second},
		{"pffffff", false, 60 * time.Second},
		{"p" + strings.Repeat("f", 1000), false, 60 * time.Second}, // never stops
		{"pffffffp", false, 2 * time.Second},                       // coming up
		{"c", false, 10 * time.Second},                             // not asked yet: it is, when it is enlisted
		{"cf", false, 10 * time.Second},                            // as a host that has just gone down
		{"cff", false, 20 * time.Second},
		{"cfff", false, 40 * time.Second},
		{"cffff", false, 60 * time.Second},
		{"c" + strings.Repeat("f", 1000), false, 60 * time.Second},
		{"cp", false, 2 * time.Second}, // coming up
		{"cpf", false, 10 * time.Second},
		{"cpp", false, 10 * time.Second},
		{"pffffff", true, 10 * time.Second}, // our own network: notice when it is back
	} {
		if got := pause(play(Health{}, tt.script, standard), p, tt.self); got != tt.want {
			t.Errorf("After %q: got %s, want %s", tt.script, got, tt.want)
		}
	}
	p.Interval = 5 * time.Minute
	if got := pause(play(Health{}, "pffffff", standard), p, false); got != p.Interval {
		t.Errorf("A down host with an interval of 5m: got %s, want the interval", got)
	}
	p.Interval = time.Second
	if got := pause(play(Health{}, "pf", standard), p, false); got != time.Second {
		t.Errorf("A suspect with an interval of 1s: got %s, want the interval", got)
	}
}

func TestJittered(t *testing.T) {
	for where, want := range map[float64]time.Duration{-1: 9 * time.Second, 0: 10 * time.Second, 1: 11 * time.Second} {
		if got := jittered(10*time.Second, where); got != want {
			t.Errorf("jittered(10s, %v) = %s, want %s", where, got, want)
		}
	}
}
