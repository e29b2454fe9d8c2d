// Package pool holds the KMS hosts of one kms block: what is known of each, in which order clients should try them, and who
// is left out. It owns the health state machine and the schedule of probes; readers see immutable snapshots.
//
// It knows nothing of DNS or RPC: how a host is asked and how an answer is put are passed in or built on top.
package pool

import "fmt"

// State is what is believed of a host.
type State uint8

const (
	Unchecked State = iota // not asked yet; offered to clients all the same
	Up                     // its last probe passed, or real traffic did
	Suspect                // failed since, not often enough to be sure: offered behind every healthy host
	Down                   // failed often enough: not offered
	Claimed                // announced itself and has not proved yet that it serves: not offered, and counts for nobody
	Drained                // taken out by a person; wins over everything
)

var stateWords = [...]string{"unchecked", "up", "suspect", "down", "claimed", "drained"}

func (s State) String() string {
	if int(s) >= len(stateWords) {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return stateWords[s]
}

// States is every state, for those who prepare a row for each.
func States() []State { return []State{Unchecked, Up, Suspect, Down, Claimed, Drained} }

// Event is something that happened to a host.
type Event uint8

const (
	Pass    Event = iota // a probe passed, or real traffic was served
	Fail                 // a probe failed
	Drain                // a person took the host out
	Undrain              // a person put it back
)

// window is both the number of failures that take a flapping host out, and the number of straight passes that forget them.
// Neither consecutive count sees a host that fails every second probe (gdnsd's ok_thresh does, and this is its rule).
const window = 10

// Thresholds are the consecutive answers that change a host's state, 1 to 100 each.
type Thresholds struct{ Rise, Fall int }

// Health is the state of one host and the counts that lead to the next. The zero value is an unchecked host. It is a value:
// Next changes nothing, reads no clock and takes no lock.
type Health struct {
	believed State // never Drained
	drained  bool
	passes   int // consecutive, up to 100
	fails    int // consecutive, up to 100
	recent   int // failures while not down since the last window straight passes, up to window
	missed   int // consecutive failures since the one that took it out, up to 100: what backing off counts
}

// State is what to tell people and answer clients by.
func (h Health) State() State {
	if h.drained {
		return Drained
	}
	return h.believed
}

// Next is h after e, and whether its State changed.
func (h Health) Next(e Event, t Thresholds) (Health, bool) {
	next := h
	switch e {
	case Pass:
		next.pass(t.Rise)
	case Fail:
		next.fail(t.Fall)
	case Drain:
		next.drained = true
	case Undrain:
		next.drained = false
	}
	return next, next.State() != h.State()
}

// out is whether h has to earn its place among those offered: it lost it, or never had one.
func (h Health) out() bool { return h.believed == Down || h.believed == Claimed }

// pass: one pass clears suspicion. Only a host that is out has to earn its place, by rise passes, or by a whole window of
// them if it flapped.
func (h *Health) pass(rise int) {
	h.fails, h.missed = 0, 0
	h.passes = min(h.passes+1, 100)
	if h.flapping() {
		rise = max(rise, window)
	}
	if h.passes >= window {
		h.recent = 0
	}
	if !h.out() || h.passes >= rise {
		h.believed = Up
	}
}

func (h *Health) fail(fall int) {
	h.passes = 0
	h.fails = min(h.fails+1, 100)
	switch h.believed {
	case Down:
		h.missed = min(h.missed+1, 100)
		return
	case Claimed:
		h.missed = h.fails - 1 // its first failure is what the one that took it out is to a down host
		return
	}
	h.recent = min(h.recent+1, window)
	h.believed = Suspect
	if h.fails >= fall || h.flapping() {
		h.believed = Down
	}
}

// anew is h with pauses that begin anew, as if it had just gone down, or just announced itself.
func (h Health) anew() Health {
	h.missed = 0
	if h.believed == Claimed {
		h.fails = 0 // what its pauses are counted by
	}
	return h
}

func (h Health) flapping() bool { return h.recent >= window }
