package history

import (
	"fmt"
	"testing"
	"time"
)

// TestTurnedAway: by address and by limit, as long as a day, and no more than there is room for.
func TestTurnedAway(t *testing.T) {
	var c Clients
	nth := addresses(2 * maxTurned)
	for n := range 2 * maxTurned {
		c.TurnAway(Turned{At: start, Pool: "p", From: nth(n), Reason: "client", Limit: "limit client 1"})
	}
	for range 3 {
		c.TurnAway(Turned{At: start.Add(23 * time.Hour), Pool: "p", From: nth(0), Reason: "rate", Limit: "limit rate 1"})
	}
	if last, n := c.TurnedAway(nth(0)); n != 3 || len(last) != 3 || last[0].Reason != "rate" {
		t.Errorf("%d times, %+v", n, last)
	}
	if _, n := c.TurnedAway(nth(1)); n != 0 {
		t.Error("The oldest of too many is remembered")
	}
	for hours, want := range map[int]string{23: "limit client 1 4096, limit rate 1 3", 24: "limit rate 1 3", 47: ""} {
		got := ""
		for _, one := range c.Turnings(start.Add(time.Duration(hours) * time.Hour)) {
			got += fmt.Sprintf("%s %d, ", one.Limit, one.Count)
		}
		if got = got[:max(len(got)-2, 0)]; got != want {
			t.Errorf("After %d hours %q, want %q", hours, got, want)
		}
	}
	for n := range 3 * maxLimits {
		c.TurnAway(Turned{At: start.Add(time.Duration(24+n) * time.Hour), Pool: fmt.Sprint(n), From: nth(n)})
	}
	for n := range 3 * maxLimits {
		c.TurnAway(Turned{At: start.Add(1000 * time.Hour), Pool: fmt.Sprint(n), From: nth(n)})
	}
	if len(c.turnings) > maxLimits || len(c.turned.by) > maxTurned {
		t.Errorf("%d limits and %d addresses are remembered", len(c.turnings), len(c.turned.by))
	}
	if got := c.Turnings(start.Add(1000 * time.Hour)); len(got) != maxLimits {
		t.Errorf("%d limits, want the %d latest", len(got), maxLimits)
	}
}
