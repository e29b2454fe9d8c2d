package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// line is a reading a second for an hour: a start, what it grows by, noise either way.
func line(start, growth, noise float64) []reading {
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []reading
	for i := range 3600 {
		all = append(all, reading{time.Duration(i) * time.Second, start + growth*float64(i)/3599 + noise*(2*rnd.Float64()-1)})
	}
	return all
}

func TestTrend(t *testing.T) {
	for _, tc := range []struct {
		name                        string
		start, growth, noise, slack float64
		flat                        bool
	}{
		{"nothing moves", 100, 0, 0, 0, true},
		{"noise alone", 100, 0, 30, 0, true},
		{"it shrinks", 100, -50, 5, 0, true},
		{"it grows by a little", 100, 4, 1, 0, true},
		{"it grows by what is allowed", 100, 14, 1, 10, true},
		{"it grows", 100, 20, 1, 10, false},
		{"it grows under noise", 100, 40, 30, 10, false},
		{"a goroutine a minute", 35, 60, 3, 10, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := trendOf("x", line(tc.start, tc.growth, tc.noise), tc.slack)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got.Grown-tc.growth) > 4*got.Error+1e-6 {
				t.Errorf("Got a growth of %.2f ± %.2f, want %.2f", got.Grown, got.Error, tc.growth)
			}
			if got.flat() != tc.flat {
				t.Errorf("Got flat %t, want %t: %+v", got.flat(), tc.flat, got)
			}
		})
	}
	if _, err := trendOf("x", line(1, 1, 1)[:2], 0); err == nil {
		t.Error("Two readings make a trend")
	}
}

// TestFlat: chance excuses as much again as is allowed, and no more.
func TestFlat(t *testing.T) {
	for _, tc := range []struct {
		grown, err float64
		flat       bool
	}{{15, 0, true}, {16, 0, false}, {16, 5, false}, {16, 6, true}, {30, 10, true}, {31, 1000, false}} {
		if got := (trend{Mean: 100, Slack: 10, Grown: tc.grown, Error: tc.err}).flat(); got != tc.flat {
			t.Errorf("%.0f ± %.0f: got flat %t", tc.grown, tc.err, got)
		}
	}
}

// TestFloor: a leak under what comes and goes lifts the floor.
func TestFloor(t *testing.T) {
	var readings []reading
	for i := range 1200 {
		busy := []float64{0, 700, 30, 200}[i*i%7%4]
		readings = append(readings, reading{time.Duration(i) * 3 * time.Second, 40 + busy + float64(i)/30})
	}
	got, err := trendOf("x", floor(readings, flooring), 10)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Grown-40) > 0.5 || got.flat() {
		t.Errorf("Of a leak of 40 in an hour, the floor shows %.2f ± %.2f, flat %t", got.Grown, got.Error, got.flat())
	}
	if all, err := trendOf("x", readings, 10); err != nil || all.Error < 10*got.Error {
		t.Errorf("All readings show %.2f ± %.2f, %v", all.Grown, all.Error, err)
	}
}

// TestTurns: what lasts by turns is known to have lasted at any time since a moment.
func TestTurns(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	for _, tc := range []struct {
		name  string
		turns []time.Time
		since time.Time
		want  bool
	}{
		{"never", nil, at(5), false},
		{"began and lasts", []time.Time{at(1)}, at(5), true},
		{"over before", []time.Time{at(1), at(3)}, at(5), false},
		{"over just before", []time.Time{at(1), at(4)}, at(5), true},
		{"over since", []time.Time{at(1), at(6)}, at(5), true},
		{"again", []time.Time{at(1), at(2), at(3)}, at(5), true},
	} {
		if got := during(tc.turns, tc.since, 2*time.Second); got != tc.want {
			t.Errorf("%s: got %t", tc.name, got)
		}
	}
}
