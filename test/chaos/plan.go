package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A kind is what a fault does.
type kind string

const (
	kill  kind = "host killed"                // SIGKILL, and started again at the end
	hang  kind = "host hung"                  // SIGSTOP: the kernel still accepts connections for it
	slow  kind = "host slowed"                // it may run 50 ms of every 200: too slow for nobody
	cut   kind = "host cut off"               // its link is down
	deaf  kind = "host deaf"                  // it has no way back to the server, but to clients
	drain kind = "host drained"               // and put back at the end
	good  kind = "good Corefile"              // other weights, another TTL
	bad   kind = "bad Corefile"               // of all sorts, put right at the end
	clock kind = "clock stepped"              // the server's alone
	disk  kind = "disk full"                  // that of the store
	names kind = "resolver broken"            // the one that the server asks for hosts' names
	crash kind = "server killed"              // SIGKILL, and started again
	stop  kind = "server stopped"             // SIGTERM, and started again
	isle  kind = "server cut off from hosts"  // from every one, but not from clients
	night kind = "all hosts down, one by one" // and all up again at the end
)

// kinds is every kind there is, in the order of reports.
var kinds = []kind{kill, hang, slow, cut, deaf, drain, good, bad, clock, disk, names, crash, stop, isle, night}

// A fault is one thing that goes wrong, for a while or (For is 0) at once.
type fault struct {
	At   time.Duration // since the start of the run
	Kind kind
	Host int           // of which host, for those that are of one; -1
	For  time.Duration // until it is undone
	Turn int           // which of the ways there are, or by how much: read by who carries it out
}

// end is when the fault is undone.
func (f fault) end() time.Duration { return f.At + f.For }

func (f fault) String() string {
	text := string(f.Kind)
	if f.Host >= 0 {
		text += fmt.Sprintf(", number %d", f.Host)
	}
	if f.For > 0 {
		text += fmt.Sprintf(", for %s", f.For)
	}
	return text
}

const (
	quiet  = 20 * time.Second // at the start, for everything to be up
	repose = 75 * time.Second // at the end, for everything to be up again: a host may be left alone for a minute

	// sprint is the last part of a run in which nobody stops the server, in hundredths: what its memory does is measured there.
	sprint = 55
)

// plan draws the faults of a run from its seed, in order. fixed hosts of the Corefile come first, then announced ones. The same
// arguments give the same faults.
//
// It keeps one host of the Corefile out of harm's way at any time, but for the nights and the isles: what is promised is
// promised as long as one lives. No host has two faults at a time, and nothing that changes the whole world has company of
// its like.
func plan(seed uint64, length time.Duration, fixed, announced int) []fault {
	d := &drawing{rnd: rand.New(rand.NewPCG(seed, 0x6b6d73)), length: length, fixed: fixed, busy: make([]time.Duration, fixed+announced)}
	for at := quiet; ; at += d.between(1500*time.Millisecond, 5*time.Second) {
		at = max(at, d.world)
		if at >= length-repose {
			return d.faults
		}
		if f, ok := d.draw(at); ok {
			d.faults = append(d.faults, f)
		}
	}
}

// drawing is a plan that is being made.
type drawing struct {
	rnd    *rand.Rand
	length time.Duration
	fixed  int
	faults []fault

	busy   []time.Duration // until when each host has its fault
	world  time.Duration   // until when nothing else may begin
	file   time.Duration   // until when the Corefile is bad
	space  time.Duration   // until when the disk is full
	naming time.Duration   // until when the resolver is broken
}

func (d *drawing) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(d.rnd.Int64N(int64(most-least)))).Round(time.Millisecond)
}

// weights is how often each kind is drawn, beside the others.
var weights = []struct {
	kind   kind
	weight int
}{
	{kill, 20}, {hang, 14}, {slow, 8}, {cut, 12}, {deaf, 8}, {drain, 14}, {good, 8}, {bad, 6},
	{clock, 7}, {disk, 3}, {names, 4}, {crash, 7}, {stop, 6}, {isle, 3}, {night, 2},
}

// draw draws one fault that begins at at. It is none if what was drawn does not fit.
func (d *drawing) draw(at time.Duration) (fault, bool) {
	sum := 0
	for _, w := range weights {
		sum += w.weight
	}
	n, i := d.rnd.IntN(sum), 0
	for n -= weights[0].weight; n >= 0; n -= weights[i].weight {
		i++
	}
	f := fault{At: at, Kind: weights[i].kind, Host: -1, Turn: d.rnd.IntN(1 << 16)}
	switch f.Kind {
	case kill, hang, slow, cut, deaf, drain:
		return d.ofHost(f)
	case bad:
		f.For = d.between(3*time.Second, 9*time.Second)
		return f, d.alone(&d.file, f)
	case good:
		return f, d.alone(&d.file, f)
	case disk:
		f.For = d.between(5*time.Second, 20*time.Second)
		return f, d.alone(&d.space, f)
	case names:
		f.For = d.between(10*time.Second, 40*time.Second)
		return f, d.alone(&d.naming, f)
	case crash, stop:
		f.For = d.between(200*time.Millisecond, 3*time.Second)
		calm := d.file <= at && d.space <= at && d.naming <= at
		return f, calm && f.end() < d.length*(100-sprint)/100 && d.whole(f)
	case isle:
		f.For = d.between(8*time.Second, 20*time.Second)
		if f.Turn%3 > 0 {
			f.At = d.calm(at)
		}
		return f, d.whole(f)
	case night:
		f.For = d.between(30*time.Second, 45*time.Second)
		f.At = d.calm(at)
		return f, d.whole(f)
	}
	return f, true // the clock
}

// calm is from when on all hosts of the Corefile are well, and were seen to be, if nothing begins after at.
func (d *drawing) calm(at time.Duration) time.Duration {
	for _, until := range d.busy[:d.fixed] {
		at = max(at, until+12*time.Second)
	}
	return at
}

// ofHost chooses the host of f.
func (d *drawing) ofHost(f fault) (fault, bool) {
	f.Host = d.rnd.IntN(len(d.busy))
	f.For = d.between(3*time.Second, 25*time.Second)
	spared, harmed := 0, 0
	for i, until := range d.busy {
		switch {
		case until > f.At:
			harmed++
		case i < d.fixed && i != f.Host:
			spared++
		}
	}
	if d.busy[f.Host] > f.At || spared == 0 || harmed > len(d.busy)/2 || f.end() > d.length-repose {
		return f, false
	}
	// It is given time to be seen well again, most of the time.
	d.busy[f.Host] = f.end() + time.Duration(f.Turn%3)*10*time.Second
	return f, true
}

// alone takes the thing that is in use until then for f.
func (d *drawing) alone(until *time.Duration, f fault) bool {
	if *until > f.At || f.end() > d.length-repose {
		return false
	}
	*until = f.end() + 5*time.Second
	return true
}

// whole takes the whole world for f.
func (d *drawing) whole(f fault) bool {
	if f.end() > d.length-repose {
		return false
	}
	d.world = f.end() + 5*time.Second
	for i := range d.busy[:d.fixed] {
		d.busy[i] = max(d.busy[i], f.end())
	}
	return true
}
