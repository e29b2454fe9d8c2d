package main

import (
	"testing"
	"time"
)

// TestPart: a machine that has no way to the server for two reasons has none until both are gone.
func TestPart(t *testing.T) {
	m := new(machine)
	now := time.Now()
	for _, step := range []struct {
		reasons int
		apart   bool
	}{{1, true}, {1, true}, {-1, true}, {-1, false}, {1, true}, {-1, false}} {
		m.part(step.reasons)
		if got := len(m.unplugged)%2 == 1; got != step.apart {
			t.Errorf("After %+d: apart is %t", step.reasons, got)
		}
	}
	if !during(m.unplugged, now, 0) {
		t.Error("It was never apart")
	}
}
