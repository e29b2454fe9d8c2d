package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchHost plays a host that is used, no longer, and again, in made-up time.
func TestWatchHost(t *testing.T) {
	const returned, never = 20 * time.Second, time.Hour
	for _, tc := range []struct {
		name        string
		gone, again time.Duration // since the blow
		want        sighting
	}{
		{"found out", 5 * time.Second, 23 * time.Second, sighting{gone: 5*time.Second - lookEvery, back: 3 * time.Second}},
		{"not found out", never, never, sighting{gone: returned - lookEvery, kept: true}},
		{"not taken back", 5 * time.Second, never, sighting{gone: 5*time.Second - lookEvery, lost: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				struck := time.Now()
				l := looker{"", func() (bool, error) {
					since := time.Since(struck)
					return since < tc.gone || since >= tc.again, nil
				}}
				got, err := watchHost(t.Context(), l, struck, struck.Add(returned))
				if err != nil || got != tc.want {
					t.Errorf("Got %+v, %v, want %+v", got, err, tc.want)
				}
			})
		})
	}
}

// TestGoneAndBack: a repetition in which a host was not found out is told, and not counted as a time.
func TestGoneAndBack(t *testing.T) {
	one := func(s sighting) detected { return detected{seen: [][]sighting{{s}}} }
	all := []detected{
		one(sighting{gone: 4 * time.Second, back: time.Second}),
		one(sighting{gone: 6 * time.Second, lost: true}),
		one(sighting{gone: 20 * time.Second, kept: true}),
	}
	gone, back := goneAndBack(all, 0, 0, 20)
	if want := "5.0 (4.0–6.0), 1 of 3 times not within 20"; gone != want {
		t.Errorf("Got %q, want %q", gone, want)
	}
	if want := "1.0 (1.0–1.0), 1 of 3 times not within 40"; back != want {
		t.Errorf("Got %q, want %q", back, want)
	}
}
