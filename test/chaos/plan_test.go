package main

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestPlanRepeats: the same seed gives the same faults, another one others.
func TestPlanRepeats(t *testing.T) {
	first := plan(7, 10*time.Minute, 4, 4)
	if !reflect.DeepEqual(first, plan(7, 10*time.Minute, 4, 4)) {
		t.Error("Not the same twice")
	}
	if reflect.DeepEqual(first, plan(8, 10*time.Minute, 4, 4)) {
		t.Error("The seed makes no difference")
	}
	if len(first) < 45 {
		t.Errorf("Only %d faults in ten minutes", len(first))
	}
}

// TestPlanHasAll: an hour has every kind of fault, and so have most runs of ten minutes.
func TestPlanHasAll(t *testing.T) {
	for _, k := range kinds {
		ten := 0
		for seed := range uint64(20) {
			if count(plan(seed, time.Hour, 4, 4), k) == 0 {
				t.Errorf("Seed %d: no %s in an hour", seed, k)
			}
			ten += min(1, count(plan(seed, 10*time.Minute, 4, 4), k))
		}
		if ten < 10 {
			t.Errorf("%s in %d of 20 runs of ten minutes", k, ten)
		}
	}
}

// TestPlanRules: whatever is drawn, one host of the Corefile is left alone at any time, but for nights and isles; no host has two
// faults at a time; nobody stops the server while something is wrong that it would trip over, nor in the last part; and all
// is undone some time before the end.
func TestPlanRules(t *testing.T) {
	const length, fixed = 10 * time.Minute, 4
	for seed := range uint64(200) {
		faults := plan(seed, length, fixed, 4)
		if !slices.IsSortedFunc(faults, func(a, b fault) int { return int(a.At - b.At) }) {
			t.Fatalf("Seed %d: not in order", seed)
		}
		for i, f := range faults {
			if f.At < quiet || f.end() > length-repose {
				t.Errorf("Seed %d: %s at %s", seed, f, f.At)
			}
			if (f.Kind == crash || f.Kind == stop) && f.end() > length*(100-sprint)/100 {
				t.Errorf("Seed %d: %s at %s", seed, f, f.At)
			}
			harmed := make(map[int]bool)
			for _, g := range faults[:i] {
				if g.end() <= f.At {
					continue
				}
				if g.Host >= 0 && g.Host < fixed && f.Host >= 0 {
					harmed[g.Host] = true
				}
				if f.Host >= 0 && g.Host == f.Host || f.Host < 0 && f.Kind == g.Kind {
					t.Errorf("Seed %d: %s at %s during %s", seed, f, f.At, g)
				}
				switch g.Kind {
				case crash, stop, isle, night:
					t.Errorf("Seed %d: %s at %s during %s", seed, f, f.At, g)
				case bad, disk, names:
					if f.Kind == crash || f.Kind == stop {
						t.Errorf("Seed %d: %s at %s during %s", seed, f, f.At, g)
					}
				}
			}
			if f.Host >= 0 && f.Host < fixed {
				harmed[f.Host] = true
			}
			if len(harmed) == fixed {
				t.Errorf("Seed %d: at %s, %s leaves no host alone", seed, f.At, f)
			}
		}
	}
}

// count is how many faults there are of a kind.
func count(faults []fault, k kind) int {
	n := 0
	for _, f := range faults {
		if f.Kind == k {
			n++
		}
	}
	return n
}
