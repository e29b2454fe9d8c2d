package main

import (
	"testing"
	"time"
)

// usual is the defaults of the server.
var usual = bounds{interval: 10 * time.Second, timeout: 2 * time.Second, rise: 2, fall: 3}

// TestBounds: with the defaults they are what docs/design.md and README.md promise.
func TestBounds(t *testing.T) {
	for _, tc := range []struct {
		name           string
		got, want, max time.Duration
	}{
		{"last tier", usual.lastTier(0), 13 * time.Second, 13500 * time.Millisecond},
		{"gone", usual.gone(0), 17400 * time.Millisecond, 18 * time.Second},
		{"back after an hour", usual.back(illness{long: time.Hour}), 70200 * time.Millisecond, 70200 * time.Millisecond},
		{"last tier, as tested", settings.lastTier(0), 3200 * time.Millisecond, 3200 * time.Millisecond},
		{"gone, with two reloads, as tested", settings.gone(2), 9600 * time.Millisecond, 9600 * time.Millisecond},
		{"gone, as tested", settings.gone(0), 7600 * time.Millisecond, 7600 * time.Millisecond},
	} {
		if tc.got != tc.want || tc.got > tc.max {
			t.Errorf("%s: got %s, want %s, promised is %s", tc.name, tc.got, tc.want, tc.max)
		}
	}
}

// TestBack: the longer a host was ill, the longer it may be left alone, up to a minute. One that had nothing to lose is left alone
// from its first failure on, and so is one that flaps, which has to pass ten times.
func TestBack(t *testing.T) {
	last := time.Duration(0)
	for ill := time.Duration(0); ill < 10*time.Minute; ill += time.Second {
		now := usual.back(illness{long: ill})
		if now < last {
			t.Errorf("After %s: %s, and %s after a second less", ill, now, last)
		}
		claimed := usual.back(illness{long: ill, claimed: true})
		if want := usual.back(illness{long: ill + time.Duration(usual.fall-1)*early(fastest)}); claimed != want {
			t.Errorf("After %s: %s if it had nothing to lose, want %s", ill, claimed, want)
		}
		if flapping := usual.back(illness{long: ill, flapping: true}); flapping != claimed+8*late(fastest) {
			t.Errorf("After %s: %s, %s if it flaps", ill, claimed, flapping)
		}
		if reloaded := usual.back(illness{long: ill, reloads: 1}); reloaded < now || reloaded > usual.back(illness{long: time.Hour}) {
			t.Errorf("After %s: %s, %s if there was a reload", ill, now, reloaded)
		}
		last = now
	}
	if first := usual.back(illness{}); first != 15200*time.Millisecond {
		t.Errorf("After no time: got %s, want 11 s to the next probe, 2.2 to the one after, and a timeout", first)
	}
}
