package simulate

import "time"

// Seconds is a time as programs read it.
type Seconds float64

func seconds(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// Duration is s as people read it, to the second.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Result is what came of a scenario.
type Result struct {
	Scenario Scenario `json:"scenario"`

	// Attempts of clients, by how they ended: activated; answered by a host that counts too few clients; not answered by any.
	Attempts  uint64 `json:"attempts"`
	Activated uint64 `json:"activated"`
	TooFew    uint64 `json:"too_few"`
	Failed    uint64 `json:"failed"`

	Calls     uint64  `json:"calls"`          // of clients, to hosts and the responder: one attempt may take several
	CallsLost uint64  `json:"calls_lost"`     // those of them that were not answered
	Waited    Seconds `json:"waited_seconds"` // by clients, for all of their attempts

	Share     float64 `json:"share"`          // of the time since clients were installed, in which they were activated
	ShareLast float64 `json:"share_last"`     // of clients, activated at the end
	Never     int     `json:"never"`          // clients that were never activated
	Median    Seconds `json:"median_seconds"` // from a client's first attempt to its activation
	P99       Seconds `json:"p99_seconds"`
	Longest   Seconds `json:"longest_seconds"`

	Hosts     []HostResult `json:"hosts"`
	Responder *NodeResult  `json:"responder,omitempty"` // nil for way Direct
	Changes   int          `json:"changes"`             // of health, that the pool saw
	Samples   []Sample     `json:"samples"`
}

// HostResult is what one host had to bear.
type HostResult struct {
	Name   string  `json:"name"`
	Calls  uint64  `json:"calls"`       // answered, copies included
	Copies uint64  `json:"copies"`      // of other hosts' calls, to keep it warm
	Lost   uint64  `json:"lost"`        // calls that came while it could not answer
	Peak   uint64  `json:"peak"`        // calls answered in the hour that had most
	Bad    Seconds `json:"bad_seconds"` // how long something was wrong with it
	Count  uint32  `json:"count"`       // the last that it answered
	Most   uint32  `json:"most"`        // the highest that it answered
}

// NodeResult is what the responder did.
type NodeResult struct {
	Calls     uint64 `json:"calls"`
	Answered  uint64 `json:"answered"`  // by a host
	Failovers uint64 `json:"failovers"` // hosts given up for another one
	Failed    uint64 `json:"failed"`    // no host answered, though some were believed alive
	NoHost    uint64 `json:"no_host"`   // none was
}

// Sample is how things stood at a moment.
type Sample struct {
	At        Seconds  `json:"at_seconds"` // since the start
	Installed int      `json:"installed"`
	Activated int      `json:"activated"`
	Calls     []uint64 `json:"calls"` // answered by each host since the last sample
}

// Share is the part of the installed clients that was activated.
func (s Sample) Share() float64 {
	if s.Installed == 0 {
		return 0
	}
	return float64(s.Activated) / float64(s.Installed)
}

// delays is how many clients had to wait how long for their first activation, in steps.
type delays struct {
	counts []uint32
	all    uint64
}

const (
	delayStep = 10 * time.Second
	delayMost = 60 * 24 * time.Hour // whoever waited longer is taken for this
)

func newDelays() *delays { return &delays{counts: make([]uint32, delayMost/delayStep+1)} }

func (d *delays) add(t time.Duration) {
	d.counts[min(t, delayMost)/delayStep]++
	d.all++
}

// quantile is what the part q of clients did not wait longer than, to one step.
func (d *delays) quantile(q float64) time.Duration {
	want := uint64(q * float64(d.all))
	var seen uint64
	for i, n := range d.counts {
		if seen += uint64(n); seen > 0 && seen >= want {
			return time.Duration(i) * delayStep
		}
	}
	return 0
}
