package kmsresponder

import (
	"errors"
	"syscall"
	"time"
)

// New clients wake every loop that listens for them, and one of them has the
// client. So a loop but the first listens only while the one before it has little
// time left: at 1,000 calls a second, which leave one loop nine tenths of its time,
// a second that listened would make a call a quarter dearer (docs/performance.md,
// "What was tried").

const (
	// dutyPeriod is over how long a loop's load is looked at, at least: as long as
	// some hundred calls. It is longer, up to lookEvery, where the loop has nothing
	// to do; then help that is not needed any more stays so long.
	dutyPeriod = 10 * time.Millisecond

	// dutyHigh and dutyLow are the parts of its time from which a loop wants the
	// next one's help, and below which no longer. At 0.9 and 0.8, 6 % fewer calls
	// are made at full load; with help that is always there, 3 % more than now.
	dutyHigh, dutyLow = 0.75, 0.55
)

// duty is how much of its time a loop has something to do.
type duty struct {
	since time.Time // when the period began
	busy  time.Duration
}

// turn takes one turn of the loop, which has help or not, and reports whether it
// wants help from now on. Time in which the system lets others run counts:
// clients wait then too.
func (d *duty) turn(began, ended time.Time, helped bool) bool {
	d.busy += ended.Sub(began)
	period := ended.Sub(d.since)
	if period < dutyPeriod {
		return helped
	}
	share := float64(d.busy) / float64(period)
	d.since, d.busy = ended, 0
	return share >= dutyHigh || helped && share >= dutyLow
}

// seekRelief has the next loop listen for clients, or no longer, as this one's
// load has it after a turn that has ended.
func (l *loop) seekRelief(ended time.Time) {
	helped := l.next.wanted.Load()
	if much := l.duty.turn(l.now, ended, helped); much != helped {
		l.next.wanted.Store(much)
		l.next.nudge()
	}
}

// listen has new clients told if that is wanted now, and else no longer.
func (l *loop) listen() error {
	wanted := l.wanted.Load()
	if wanted == l.listens || !l.draining.IsZero() {
		return nil
	}
	l.listens = wanted
	return l.watchDoor()
}

// standIn takes clients that wait although l does not listen: the loop that is to
// have them may be stuck in a turn, at whose end only it asks for help.
func (l *loop) standIn() error {
	some, err := l.acceptSome()
	if some {
		l.expect(l.now.Add(lookPause))
	}
	return err
}

// watchDoor has new clients told if l listens, unless it pauses.
func (l *loop) watchDoor() error {
	var events uint32
	if l.listens && l.reopen.IsZero() {
		events = syscall.EPOLLIN
	}
	var err error
	failed := l.accepts.Control(func(fd uintptr) {
		err = l.poll.watch(syscall.EPOLL_CTL_MOD, int(fd), events, door)
	})
	return errors.Join(failed, err)
}
