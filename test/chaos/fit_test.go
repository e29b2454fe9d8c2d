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
